"""Playing a sampler on problems in turn until it is refuted, or has been drawn from often enough (M50)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gsi_theory.conformance.e_process import EProcess, detectable_tv, tv_bounds
from gsi_theory.errors import InputError, quoted
from gsi_theory.types import Floats, Ints

__all__ = ["Conformance", "Nearest", "Rival", "judge", "play", "whole_outcome"]

CHUNK = 60  # outcomes between two looks; the evidence is that after each of them
LEAD = float(np.log(1000.0))  # nats by which the nearest leads before naming ends
SAME = 1e-9  # TV, or share of a likelihood in nats: rivals that no sample of this size tells apart
COVERAGE = 0.95


class Rival(NamedTuple):
    """What a sampler may be instead: kind ("method" or "mistake"), id, words, its law on every problem, (K,) each; none
    where it is known by log-likelihood ratios alone."""

    kind: str
    id: str
    words: str
    laws: tuple[Floats, ...] = ()


Part = tuple[Ints, Ints, Floats | None]


@dataclass(frozen=True)
class Nearest:
    """The rival of the largest likelihood: kind, id, words; alike: ids of the same law on every problem; close: ids
    at least a thousandth as likely, which more draws would tell apart; log_e: nats by which it is likelier than the
    stated law; explains: whether the draws do not refute it too."""

    kind: str
    id: str
    words: str
    alike: tuple[str, ...]
    close: tuple[str, ...]
    log_e: float
    explains: bool


@dataclass(frozen=True)
class Conformance:
    """Whether the draws refute the stated law at `level`, however often they were looked at.

    p: 1/(the largest evidence) of all draws, at most 1. draws: outcomes judged, those that told which rival is nearest
    among them; refuted_at: how many refuted it, None if it conforms.
    tv_low, tv_high: the largest TV distance from the law over the problems lies between, at 95 % and at any time.
    detectable: the TV, on one problem, from which on a sampler would have been refuted with probability 80 %.
    nearest: what it is instead, None where it conforms. counts: of outcomes, (K,) a problem; laws: as stated.
    """

    conforms: bool
    p: float
    level: float
    draws: int
    refuted_at: int | None
    tv_low: float
    tv_high: float
    detectable: float
    nearest: Nearest | None
    counts: tuple[Ints, ...]
    laws: tuple[Floats, ...]

    @property
    def worst(self) -> tuple[int, int]:
        """(problem, outcome) that comes most unlike its law, in standard errors."""
        scores = []
        for count, law in zip(self.counts, self.laws, strict=True):
            total = max(int(count.sum()), 1)
            scores.append(
                (count.sum() > 0) * np.abs(count - total * law) / np.sqrt(np.maximum(total * law * (1.0 - law), 1e-12))
            )
        problem = int(np.argmax([score.max() for score in scores]))
        return problem, int(np.argmax(scores[problem]))


def play(
    draw: Callable[[int], object],
    laws: Sequence[Floats],
    errors: Sequence[float],
    rivals: Sequence[Rival] = (),
    *,
    draws: int = 20_000,
    level: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
) -> Conformance:
    """Draw from `draw(problem)`, problems in turn, and judge the outcomes after each one.

    Ends when the stated `laws` (each within TV `errors`) are refuted at `level` and the nearest rival is clear, or
    after `draws`. Raises InputError for outcomes that are no whole numbers of 0 … K−1, and for draws, level out of
    range.
    """
    if draws < len(laws) or not 0.0 < level < 1.0:
        raise InputError(f"draws = {draws}, level = {level:g}: give at least {len(laws)} draws, and a level in (0, 1)")
    turns = np.arange(draws) % len(laws)

    def parts() -> Iterator[Part]:
        for start in range(0, draws, CHUNK):
            problems = turns[start : start + CHUNK]
            yield (
                problems,
                np.array([whole_outcome(draw(int(m)), f"problem {m}", len(laws[m])) for m in problems], dtype=np.int64),
                None,
            )

    process = EProcess(laws, errors, [rival.laws for rival in rivals])
    return judge(parts(), process, rivals, level=level, planned=draws, progress=progress)


def judge(
    parts: Iterable[Part],
    process: EProcess,
    rivals: Sequence[Rival],
    *,
    level: float,
    planned: int,
    progress: Callable[[int, int], None] | None = None,
) -> Conformance:
    """Read `parts` (problems, outcomes, what `EProcess.read` calls further) until the laws of `process` are refuted at
    `level` and the nearest rival is clear, or to the end, after about `planned` outcomes."""
    refuted, seen = None, 0
    for problems, outcomes, further in parts:
        _, read = process.read(problems, outcomes, level if refuted is None else None, further)
        if refuted is None and process.highest >= -np.log(level):
            refuted = seen + read
            process.read(problems[read:], outcomes[read:], None, None if further is None else further[:, read:])
        seen += len(outcomes)
        if progress is not None:
            progress(min(seen, planned), planned)
        if refuted is not None and _clear(process.log_named, rivals):
            break
    high, low = 0.0, 0.0
    for count, law, error in zip(process.counts, process.laws, process.errors, strict=True):
        bounds = tv_bounds(count, law, (1.0 - COVERAGE) / len(process.laws))
        low, high = max(low, bounds[0] - error), max(high, min(bounds[1] + error, 1.0))
    shares = planned * np.array([count.sum() for count in process.counts]) / max(seen, 1)
    return Conformance(
        refuted is None,
        float(np.exp(-process.highest)),
        level,
        process.draws,
        refuted,
        low,
        high,
        detectable_tv(process.laws, shares.astype(np.int64).tolist(), level),
        None if refuted is None else _nearest(process, rivals, level),
        tuple(process.counts),
        tuple(np.asarray(law) for law in process.laws),
    )


def whole_outcome(value: object, place: str, size: int) -> int:
    """`value` as an outcome 0 … size−1. Raises InputError, with the place, for anything else."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        outcome = operator.index(value.item() if isinstance(value, np.ndarray) and value.size == 1 else value)  # type: ignore[arg-type]
    except TypeError:
        outcome = -1
    if not 0 <= outcome < size:
        kind = type(value).__name__
        raise InputError(
            f"{place}: {quoted(value)} ({kind}) was returned: return one outcome, an int from 0 to {size - 1}"
        )
    return outcome


def _alike(log_named: Floats, rivals: Sequence[Rival], to: int) -> list[int]:
    """Indices of the rivals with the law of one of them, itself among them; where it has none, with its likelihood."""
    own = rivals[to].laws
    if not own:
        return np.flatnonzero(np.abs(log_named - log_named[to]) < SAME * (1.0 + abs(log_named[to]))).tolist()
    return [
        j
        for j, other in enumerate(rivals)
        if all(0.5 * np.abs(a - b).sum() < SAME for a, b in zip(other.laws, own, strict=True))
    ]


def _clear(log_named: Floats, rivals: Sequence[Rival]) -> bool:
    if not rivals:
        return True
    best = int(np.argmax(log_named))
    others = np.delete(log_named, _alike(log_named, rivals, best))
    return not others.size or bool(log_named[best] - others.max() > LEAD)


def _nearest(process: EProcess, rivals: Sequence[Rival], level: float) -> Nearest | None:
    if not rivals:
        return None
    best = int(np.argmax(process.log_named))
    alike = _alike(process.log_named, rivals, best)
    first = rivals[alike[0]]
    # the mixture over likelihood of a rival is evidence against that rival
    explains = process.log_mixture - process.log_named[best] < -np.log(level)
    behind = process.log_named[best] - process.log_named
    names = tuple(rivals[j].id for j in alike[1:])
    close = tuple(rivals[j].id for j in np.argsort(behind, kind="stable") if j not in alike and behind[j] <= LEAD)
    return Nearest(first.kind, first.id, first.words, names, close, float(process.log_named[best]), bool(explains))
