"""The API over a real person's node: every route answers, and no odd call makes it fail."""

import json
from functools import partial
from pathlib import Path

import trio

import fake_node
from api_calls import TOKEN, Served, example
from shoal_node.api import endpoints, server
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.household import Household
from shoal_node.transport.memory import MemoryNetwork
from support import START, seeded

STOPS = ("/lock", "/unlock", "/panic", "/passphrase", "/backup", "/conversations/{conversation}")
ODD: tuple[object, ...] = (
    None,
    [],
    {},
    {"text": "\0\u202e🐟", "reply_to": "x"},
    {"name": "\0", "avatar": {"picture": ""}},
    {"alias": "\u200b", "verified": True},
    {"invite": "shoal:", "message": "\0"},
    {"expires_after": 2**63, "persona_slots": 2**70},
)


async def test_no_odd_call_makes_a_persons_node_fail(tmp_path: Path) -> None:
    config = NodeConfig("person", tmp_path, (), (), "lab")
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(latency=0.001)
        house = Household(config, seeded("odd calls"), NodeClock(START), network.run)
        await nursery.start(house.run)
        address = await nursery.start(partial(server.run_api, house, house, token=TOKEN))
        served = Served(fake_node.FakePerson(), int(address.url.rpartition(":")[2]))
        mine, other = await served.post("/personas", {}), await served.post("/personas", {})
        contacts = f"/personas/{mine['id']}/contacts"
        contact = await served.post(contacts, {"pseudonym": other["pseudonym"]})
        talk = f"/conversations/{contact['conversation']}"
        message = await served.post(f"{talk}/messages", {"text": "明天见"})
        names = {
            "/personas/x": f"/personas/{mine['id']}",
            "/contacts/x": f"/contacts/{contact['id']}",
            "/conversations/x": talk,
            "/messages/x": f"/messages/{message['id']}",
        }
        for row in endpoints.ENDPOINTS:
            if row.path in STOPS or row.method == "DELETE":
                continue
            path, body, kind = example(row)
            for stands, name in names.items():
                path = path.replace(stands, name)
            headers = {} if kind is None else {"Content-Type": kind}
            bodies = [body]
            if row.body not in (None, bytes):
                bodies += [json.dumps(odd).encode() for odd in ODD]
            for one in bodies:
                answer = await served.call(row.method, path, raw=one, headers=headers)
                assert 200 <= answer[0] < 500, (row.path, one, answer)
        nursery.cancel_scope.cancel()
