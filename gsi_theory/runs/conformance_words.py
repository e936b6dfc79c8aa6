"""What is said of a sampler that was held against a law, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gsi_theory.conformance.play import Conformance
from gsi_theory.runs.terminal import counted, formatted, wrapped
from gsi_theory.types import Record

__all__ = ["Told", "outcome_lines", "outcome_record"]


@dataclass(frozen=True)
class Told:
    """Words of one kind of bench: who is `tested` against `what`, on which `problems`, what a `draw` is called, and the
    place (problem, outcome) in words."""

    tested: str
    what: str
    problems: str
    draw: str
    place: Callable[[int, int], str]


def outcome_record(outcome: Conformance) -> Record:
    """The fields of a JSON answer."""
    nearest = None if outcome.nearest is None else {
        "id": outcome.nearest.id,
        "kind": outcome.nearest.kind,
        "words": outcome.nearest.words,
        "log_e": outcome.nearest.log_e,
        "alike": list(outcome.nearest.alike),
        "close": list(outcome.nearest.close),
        "explains": outcome.nearest.explains,
    }  # fmt: skip
    return {
        "conforms": outcome.conforms,
        "p": outcome.p,
        "level": outcome.level,
        "draws": outcome.draws,
        "refuted_at": outcome.refuted_at,
        "tv_low": outcome.tv_low,
        "tv_high": outcome.tv_high,
        "detectable_tv": outcome.detectable,
        "nearest": nearest,
        "problems": [
            {"counts": count.tolist(), "law": law.tolist()}
            for count, law in zip(outcome.counts, outcome.laws, strict=True)
        ],
    }


def outcome_lines(outcome: Conformance, told: Told) -> list[str]:
    """What a user reads: a verdict, and where it does not conform the place, and what it is instead."""
    if outcome.conforms:
        return [
            wrapped(
                f"{told.tested} conforms to {told.what}: {counted(outcome.draws, told.draw)} on {told.problems} do not "
                f"refute it (p = {formatted(outcome.p)}, level {outcome.level:g}, looked at after each). At 95 % its "
                f"law is within TV {formatted(outcome.tv_high, '.2g')} of the stated one on every problem; one off by "
                f"{formatted(outcome.detectable, '.2g')} on a single problem would be found in 4 of 5 such runs."
            )
        ]
    problem, cell = outcome.worst
    count, law = outcome.counts[problem], outcome.laws[problem]
    said = (
        f"{told.tested} does not conform to {told.what}: refuted at level {outcome.level:g} after "
        f"{counted(outcome.refuted_at or 0, told.draw)}; p = {outcome.p:.1e} after all {outcome.draws:,}."
    )
    if outcome.tv_low > 0.0:
        said += f" On some problem its law is at least TV {formatted(outcome.tv_low, '.2g')} away."
    expected = formatted(float(count.sum() * law[cell]), ".1f")
    lines = [
        wrapped(said),
        wrapped(
            f"{told.place(problem, cell)}: came {count[cell]:,} times of {int(count.sum()):,}, expected {expected}"
        ),
    ]
    near = outcome.nearest
    if near is not None:
        verb = "It draws as if" if near.explains else "Nothing known explains the draws; nearest is"
        alike = f" (just as likely: {', '.join(near.alike)})" if near.alike else ""
        alike += f" (more draws would tell it from {', '.join(near.close)})" if near.close else ""
        kind = "this mistake" if near.kind == "mistake" else "this method"
        lines.append(
            wrapped(
                f"{verb} by {kind}: {near.id}, {near.words}{alike}; likelier than the stated law by "
                f"{formatted(near.log_e, '.0f')} nats."
            )
        )
    return lines
