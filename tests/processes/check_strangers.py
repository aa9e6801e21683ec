"""Two people talk while strangers misbehave against every relay: nothing lost, memory bounded."""

from processes.strangers import Strangers
from processes.waiting import Say, until
from shoal_node import demo, demo_texts, fleet
from shoal_node.transport import address

RELAYS = 5
MESSAGES = 8  # each way
KINDS = {"garbage", "truncated", "oversized", "silent", "slow"}
EACH = 10  # connections of each kind at least, before the talk ends
GROWTH_MB = 32.0  # of one relay's memory; what it holds for one stranger is 16 KB at most
SEED = "strangers"


def _person(name: str, node: fleet.Node, texts: list[str]) -> demo.Person:
    client = node.client()
    persona = client.post("personas", body={})
    return demo.Person(name, client, persona["id"], persona["pseudonym"], texts)


def _target(node: fleet.Node) -> tuple[str, int]:
    parsed = address.parse(node.client().api.addrs[0])
    return parsed.host, parsed.port


def test_people_talk_on_while_strangers_send_garbage_too_much_too_little_or_nothing(
    say: Say,
) -> None:
    with fleet.Fleet(RELAYS, 2) as network:
        network.start()
        network.await_ready()
        left, right = (
            _person(name, node, texts)
            for name, node, texts in zip(
                ("A", "B"), network.people, demo_texts.make(SEED, MESSAGES), strict=True
            )
        )
        before = [node.rss_mb() or 0.0 for node in network.relays]
        talk = demo.Talk(left, right, SEED)
        with Strangers([_target(node) for node in network.relays]) as strangers:
            talk.introduce()
            talk.run(lambda _: None, lambda: None)
            until(
                lambda: all(strangers.met[kind] >= EACH for kind in KINDS),
                30.0,
                "strangers of every kind",
            )
        network.check()
        growth = [
            (node.rss_mb() or 0.0) - mb for node, mb in zip(network.relays, before, strict=True)
        ]
        for found in (demo.compare(right, left), demo.compare(left, right)):
            assert (found.delivered, found.lost, found.duplicates) == (MESSAGES, 0, 0)
            assert found.verified
        assert max(growth) < GROWTH_MB
        assert all(node.client().get("status")["ready"] for node in network.relays)
        met = ", ".join(f"{count} {kind}" for kind, count in sorted(strangers.met.items()))
        say(f"{met}; relays' memory grew by {max(growth):.1f} MB at most")
