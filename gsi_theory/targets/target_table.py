"""The one table of targets: `target_named` is how everything asks for a target.

A target is given as a name, or as a `Target`. A family takes its parameter after a colon.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gsi_theory.errors import InputError, require_name
from gsi_theory.targets.chi2 import CHI2
from gsi_theory.targets.kl import KL
from gsi_theory.targets.order import order
from gsi_theory.targets.power import power
from gsi_theory.targets.target import Target

__all__ = ["TARGETS", "TARGET_FAMILIES", "require_plain", "target_named", "target_names"]

TARGETS: dict[str, Target] = {target.name: target for target in (KL, CHI2)}
# "name:PARAMETER" -> the target of a parameter, as text
TARGET_FAMILIES: dict[str, Callable[[str], Target]] = {"order:Q": order, "power:ALPHA": power}


def target_names() -> tuple[str, ...]:
    """Targets as they are written."""
    return (*TARGETS, *TARGET_FAMILIES)


def target_named(target: str | Target) -> Target:
    """The target of a name; a `Target` as it is. InputError with the nearest names for what is neither."""
    return target if isinstance(target, Target) else _named(target) if isinstance(target, str) else _refused(target)


@cache
def _named(name: str) -> Target:
    kind, colon, parameter = name.partition(":")
    family = next((make for written, make in TARGET_FAMILIES.items() if written.partition(":")[0] == kind), None)
    if family is not None:
        if not colon:
            raise InputError(f"target {name!r}: give its parameter after a colon")
        return family(parameter)
    return TARGETS[name] if name in TARGETS else _refused(name)


def _refused(name: object) -> Target:
    require_name(name, "target", target_names())
    raise AssertionError(name)  # a name of the table is never refused


def require_plain(target: str | Target, place: str) -> None:
    """InputError unless candidates can be weighted for this target one by one, by reward and log-ratio alone."""
    named = target_named(target)
    if not named.plain:
        plain = ", ".join(repr(each.name) for each in TARGETS.values() if each.plain)
        raise InputError(
            f"target {named.name!r} in {place}: its weights need the whole law of the base, of which there are only "
            f"candidates here; give target {plain}, or an Instance to gsi_law"
        )
