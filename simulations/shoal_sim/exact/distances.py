"""Where nodes stand and what lies between them, as the vector tier has it.

::

    scenario, seed ─► vector.model.latency_of ─► places of nodes, people first ─► links.lay
                                                  └─ a link: fixed, or from place to place,
                                                     and up to jitter more, drawn of each packet

The same scenario and seed put the same nodes at the same places in both tiers.
"""

from collections.abc import Mapping

from shoal_sim.exact.links import Between, Links
from shoal_sim.scenario import Scenario
from shoal_sim.traces import latencies
from shoal_sim.vector import latency
from shoal_sim.vector.model import latency_of


def lay(scenario: Scenario, seed: int, links: Links, numbers: Mapping[str, int]) -> None:
    """Let links take what the scenario says.

    Args:
        numbers: of nodes by their names, people first, from 0 on without a gap.

    Raises:
        UserError: ``links.file`` can't be read.
    """
    model = latency_of(scenario, len(numbers), seed)
    if isinstance(model, latency.Fixed) and not model.jitter_ns:
        links.lay_all(model.latency_ns)
    elif isinstance(model, latency.Fixed):
        links.lay(_more(links, lambda one, other: model.latency_ns, model.jitter_ns))
    elif isinstance(model, latency.Between):
        places = model.places
        assert isinstance(places, latencies.Coordinates | latencies.Matrix)
        link_ns = places.link_ns
        links.lay(
            _more(links, lambda one, other: link_ns(numbers[one], numbers[other]), model.jitter_ns)
        )


def _more(links: Links, between: Between, jitter_ns: int) -> Between:
    """Return ``between`` with up to ``jitter_ns`` more, drawn from the link's stream."""
    if not jitter_ns:
        return between
    chance = links.chance
    return lambda one, other: between(one, other) + chance(one, other).below(jitter_ns + 1)
