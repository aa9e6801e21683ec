"""Which adversaries there are: those shipped, and those of installed distributions.

::

    name ─┬─ SHIPPED: module:class of this package
          └─ entry point of the group shoal.adversaries ──► make(name, keys) ──► Adversary
    its parameters, with types and ranges ──► fault(name, key, value): what is wrong with a key
"""

import importlib
import inspect
from collections.abc import Mapping
from importlib import metadata
from typing import Annotated, Any, Final, get_args, get_origin

from shoal_protocol.errors import UserError
from shoal_sim.adversaries.base import PACKETS, Adversary, Question, Range
from shoal_sim.lines import shown

_ARGS, _KEYS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
GROUP: Final = "shoal.adversaries"
SHIPPED: Final[Mapping[str, str]] = {
    "churn": "shoal_sim.adversaries.churn:Churn",
    "corrupt_relays": "shoal_sim.adversaries.corrupt_relays:CorruptRelays",
    "eclipse_dht": "shoal_sim.adversaries.eclipse_dht:EclipseDht",
    "global_passive": "shoal_sim.adversaries.global_passive:GlobalPassive",
    "intersection": "shoal_sim.adversaries.intersection:Intersection",
    "least_squares": "shoal_sim.adversaries.statistical_disclosure:LeastSquares",
    "n_minus_1": "shoal_sim.adversaries.n_minus_1:NMinusOne",
    "statistical_disclosure": "shoal_sim.adversaries.statistical_disclosure:StatisticalDisclosure",
    "sybil_directory": "shoal_sim.adversaries.sybil_directory:SybilDirectory",
}


def names() -> list[str]:
    """Return the names of all adversaries, in order."""
    return sorted({*SHIPPED, *(point.name for point in metadata.entry_points(group=GROUP))})


def make(name: str, **keys: Any) -> Adversary:
    """Return the adversary ``name``, made with its own keys of the scenario.

    Raises:
        UserError: unknown name, two plug-ins of one name, a plug-in that is none, keys that
            it does not take.
    """
    made = _class_of(name)
    try:
        inspect.signature(made).bind(**keys)
    except TypeError as error:
        raise UserError(f"Adversary {name} can't be made with these keys: {error}.") from error
    adversary = made(**keys)
    if not isinstance(adversary, Adversary):
        raise UserError(f"Adversary {name} has no prepare and infer, so it is none.")
    return adversary


def fault(name: str, key: str, value: bool | float | str) -> str:
    """Return what is wrong with a key of the adversary ``name``, as a sentence's end, or ``""``.

    Raises:
        UserError: there is no such adversary.
    """
    parameters = inspect.signature(_class_of(name), eval_str=True).parameters
    taken = [each for each in parameters.values() if each.kind not in (_ARGS, _KEYS)]
    if key not in {each.name for each in taken}:
        if any(each.kind is _KEYS for each in parameters.values()):
            return ""
        known = ", ".join(each.name for each in taken)
        return f"is unknown; {name} has {known or 'no keys'}"
    hint = parameters[key].annotation
    ranges = [each for each in get_args(hint) if isinstance(each, Range)]
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in (int, float) and not (number and (kind is float or isinstance(value, int))):
        return f"is a {'whole ' if kind is int else ''}number, not {shown(value)}"
    if kind in (bool, str) and not isinstance(value, kind):
        return f"is {'a text' if kind is str else 'true or false'}, not {shown(value)}"
    if isinstance(value, str):
        return ""
    for each in ranges:
        if not each.least <= value <= each.most:
            return f"lies between {each.least:g} and {each.most:g}, and {shown(value)} does not"
    return ""


def questions(adversary: Adversary) -> tuple[Question, ...]:
    """Return which questions an adversary can be asked."""
    return tuple(getattr(adversary, "answers", PACKETS))


def _class_of(name: str) -> Any:
    """Return what makes the adversary ``name``."""
    points = sorted(
        metadata.entry_points(group=GROUP, name=name), key=lambda point: (point.name, point.value)
    )
    places = sorted({point.value for point in points})
    if name in SHIPPED:
        if places and places != [SHIPPED[name]]:
            raise UserError(f"Adversary {name} is shipped; a plug-in must have another name.")
        module, attribute = SHIPPED[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    if len(places) > 1:
        raise UserError(f"Two plug-ins call themselves {name}: {' and '.join(places)}.")
    if not points:
        raise UserError(f"There is no adversary {name}; there are {', '.join(names())}.")
    return points[0].load()
