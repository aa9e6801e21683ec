"""What a relay answers to those who pull from it; nothing is kept between two frames.

spec: directory §6
"""

from shoal_protocol.directory import frames, intake, tree
from shoal_protocol.directory.tree import Item
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng


def to_ask(view: DirectoryView, ask: frames.Ask) -> frames.Same | frames.Buckets | frames.Lists:
    """Say that all is the same, or give hashes as fine as the view's size asks for."""
    if ask.root == view.tree.root():
        return frames.Same()
    bits = tree.bits_for(len(view.tree))
    if bits == 0:
        return frames.Lists(0, frames.to_map({0}, 0), tuple(view.tree.items(0, 0)))
    return frames.Buckets(bits, b"".join(view.tree.hashes(bits)))


def to_list(view: DirectoryView, asked: frames.List, rng: Rng) -> frames.Lists:
    """List the items of the first asked buckets that fit into a frame.

    A bucket that alone doesn't fit is answered by a random part of it, another each time.

    Raises:
        RemoteProtocolError: "buckets".
    """
    buckets = frames.from_map(asked.buckets, asked.bits)
    if not buckets:
        raise RemoteProtocolError("buckets")
    answered, items = set[int](), list[Item]()
    for bucket in sorted(buckets):
        found = view.tree.items(bucket, asked.bits)
        if len(found) > frames.MAX_ITEMS:
            found = sorted(rng.sample(found, frames.MAX_ITEMS), key=lambda item: item.relay_id)
        if len(items) + len(found) > frames.MAX_ITEMS:
            break
        answered.add(bucket)
        items += found
    return frames.Lists(asked.bits, frames.to_map(answered, asked.bits), tuple(items))


def to_ages(view: DirectoryView, asked: frames.AskAges) -> frames.Ages:
    """Say how long the next relays after an id have been there."""
    page = view.tenure.page(asked.after, frames.MAX_AGES)
    return frames.Ages(view.tenure.watched, tuple(frames.Age(*each) for each in page))


def to_want(view: DirectoryView, want: frames.Want) -> frames.Records:
    """Give the wanted records that are held, as many as fit."""
    return frames.Records(*intake.gather(view, want.whole, want.leases))
