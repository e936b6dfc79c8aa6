"""The one table of selection rules: `rule_named` is how everything asks for a rule.

A rule is given as a name, or as a `Rule`. A family takes its parameter after a colon.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gsi_theory.errors import InputError, require_name
from gsi_theory.rules.max import MAX
from gsi_theory.rules.race import RACE
from gsi_theory.rules.regularized import regularized
from gsi_theory.rules.rule import Rule, ScoreGate
from gsi_theory.rules.softmax import SOFTMAX

__all__ = ["FAMILIES", "RULES", "is_rule", "rule_named", "rule_names", "rules_and_gates", "score_gate_of"]

RULES: dict[str, Rule] = {rule.name: rule for rule in (SOFTMAX, RACE, MAX)}
# "name:PARAMETER" -> the rule of a parameter, as text
FAMILIES: dict[str, Callable[[str], Rule]] = {"regularized:M": regularized}


def rule_names() -> tuple[str, ...]:
    """Rules as they are written."""
    return (*RULES, *FAMILIES)


def rules_and_gates() -> tuple[tuple[str, str], ...]:
    """Every rule of the table with every gate that goes with it ("none": without one), rule by rule."""
    return tuple(
        (rule.name, gate)
        for rule in RULES.values()
        for gate in ("none", "tilted_reward", "score")
        if gate != "score" or rule.score_gate is not None
    )


def rule_named(rule: str | Rule) -> Rule:
    """The rule of a name; a `Rule` as it is. InputError with the nearest names for what is neither."""
    return rule if isinstance(rule, Rule) else _named(rule) if isinstance(rule, str) else _refused(rule)


@cache
def _named(name: str) -> Rule:
    kind, colon, parameter = name.partition(":")
    family = next((make for written, make in FAMILIES.items() if written.partition(":")[0] == kind), None)
    if family is not None:
        if not colon:
            raise InputError(f"rule {name!r}: give its parameter after a colon")
        return family(parameter)
    return RULES[name] if name in RULES else _refused(name)


def _refused(name: object) -> Rule:
    require_name(name, "rule", rule_names())
    raise AssertionError(name)  # a name of the table is never refused


def is_rule(name: str) -> bool:
    """Whether a name is that of a rule."""
    try:
        return isinstance(rule_named(name), Rule)
    except InputError:
        return False


def score_gate_of(rule: str | Rule) -> ScoreGate:
    """The gate on the winning score (M9) of a rule; InputError where it has none."""
    rule = rule_named(rule)
    if rule.score_gate is None:
        with_gate = ", ".join(repr(each.name) for each in RULES.values() if each.score_gate)
        raise InputError(f"gate 'score' with rule {rule.name!r}: the score gate (M9) is for rule {with_gate}")
    return rule.score_gate
