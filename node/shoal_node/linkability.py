"""What could tell somebody that two personas are one person's, from what this node knows.

::

    facts of personas ─► links: who is affected, by what; the surest first

    contact   one pseudonym talks to both: it can compare everything below
    file      both sent the same file
    avatar    both show the same picture
    name      both are called the same, or names that look it
    created   they were made within minutes: announcements of both appear together
    hours     they are on and off together, since one node runs both: always
    preset    they read and answer at one pace, and a flood at one slows the others a little
    guard     the guard sees that a node is here and when, and not how many personas it has
    style     the same person wrote it: words, languages, mistakes, hours of sleep

A pure function; nothing is measured, sent or kept for it. It can't know what is said, or what
others compare outside of Shoal, so that an empty list would be no promise; for two personas
it never is empty. Threat model: docs/threat-model.md.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shoal_node import lookalikes
from shoal_protocol import clock

Code = Literal["contact", "file", "avatar", "name", "created", "hours", "preset", "guard", "style"]

MINUTE: Final = 60 * clock.SECOND
TOGETHER: Final = 15 * MINUTE  # personas made within this of each other


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one persona.

    Attributes:
        persona: its id.
        created: ns.
        name: what its contacts see it called, None for momo.
        avatar: what its contacts see, as it is sent; None without one.
        contacts: texts of its contacts' pseudonyms, strangers' requests left out.
        files: digests of files that it sent.
        wrote: whether it sent any message.
    """

    persona: str
    created: int
    name: str | None = None
    avatar: bytes | None = None
    contacts: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()
    wrote: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that joins personas.

    ``detail``: of "contact" the pseudonym's text, of "name" the name, of "created" the minutes
    between the first and the last, of "preset" its name; else None.
    """

    code: Code
    personas: tuple[str, ...]
    detail: str | None = None


SENTENCES: Final[dict[Code, str]] = {
    "contact": "The same contact talks to these personas, and can compare all that they show.",
    "file": "These personas sent the same file.",
    "avatar": "These personas show the same picture.",
    "name": "These personas are called the same, or names that look the same.",
    "created": "These personas were made within minutes, and were announced together.",
    "hours": "These personas are on and off at the same hours, since one node runs them.",
    "preset": "These personas read and answer at one pace, and a flood at one slows the others.",
    "guard": "The guard sees when this node is on, and not that it has these personas.",
    "style": "One person writes as these personas: words, language and mistakes can tell.",
}


def links(personas: Sequence[Facts], preset: str) -> list[Link]:
    """Return what joins ``personas``, all on one node, the surest first.

    Args:
        preset: the name of the node's traffic.
    """
    ids = tuple(facts.persona for facts in personas)
    guard = [Link("guard", ids)] if ids else []
    if len(ids) < 2:
        return guard
    writers = tuple(facts.persona for facts in personas if facts.wrote)
    return [
        *_shared("contact", personas, lambda facts: facts.contacts, str),
        *_shared("file", personas, lambda facts: facts.files),
        *_shared("avatar", personas, lambda facts: _given(facts.avatar)),
        *_names(personas),
        *_created(personas),
        Link("hours", ids),
        Link("preset", ids, preset),
        *guard,
        *([Link("style", writers)] if len(writers) > 1 else []),
    ]


def _given(value: Hashable | None) -> tuple[Hashable, ...]:
    return () if value is None else (value,)


def _shared(
    code: Code,
    personas: Iterable[Facts],
    values: Callable[[Facts], Iterable[Hashable]],
    detail: Callable[[Hashable], str] | None = None,
) -> list[Link]:
    """Return a link for every value that two or more personas have."""
    owners: dict[Hashable, dict[str, None]] = {}
    for facts in personas:
        for value in values(facts):
            owners.setdefault(value, {})[facts.persona] = None
    return [
        Link(code, tuple(having), None if detail is None else detail(value))
        for value, having in owners.items()
        if len(having) > 1
    ]


def _names(personas: Sequence[Facts]) -> list[Link]:
    first = {lookalikes.skeleton(f.name): f.name for f in reversed(personas) if f.name is not None}

    def skeletons(facts: Facts) -> Iterable[Hashable]:
        return _given(None if facts.name is None else lookalikes.skeleton(facts.name))

    return _shared("name", personas, skeletons, lambda skeleton: first[str(skeleton)])


def _created(personas: Sequence[Facts]) -> list[Link]:
    """Return a link for every run of personas, each made soon after the one before."""
    runs: list[list[Facts]] = []
    for facts in sorted(personas, key=lambda facts: facts.created):
        if runs and facts.created - runs[-1][-1].created <= TOGETHER:
            runs[-1].append(facts)
        else:
            runs.append([facts])
    return [
        Link(
            "created",
            tuple(facts.persona for facts in run),
            str(-(-(run[-1].created - run[0].created) // MINUTE)),
        )
        for run in runs
        if len(run) > 1
    ]
