"""The numbers of `lm_study` at one draft and step length: every method predicted from one part of a pool, and played on
the other.

At each problem the first candidates of each source predict (M31, `predict_methods`); the others are fresh draws, on
which every method is played in independent runs (`play`). Both are unbiased for the same mean, so their difference over
problems has mean 0: Student's t judges it, whatever the errors. A problem's own z, difference over the error that
prediction and runs state for it, says whether those errors are right. Shapes: P problems, C cells, V values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory import Candidates, Scheme
from gsi_theory.methods import METHODS, Method
from gsi_theory.types import Floats, Record
from llm_check.logs.pools.pool import Pool
from llm_check.logs.prediction import predict_methods
from llm_check.models.checks.significance import mean_difference
from llm_check.models.decoding.played_candidates import play

__all__ = ["STUDIED", "Results", "StudyProblem", "problems_of", "results", "studied_schemes"]

STUDIED = (
    "draft",
    "base",
    "soft_bon_draft",
    "soft_bon_base",
    "rsd",
    "gsi_ungated",
    "gsi",
    "gsi_race",
    "gsi_score_gate",
)


@dataclass(frozen=True)
class StudyProblem:
    """One problem's candidates (draft, base) and their values (V, N) and (V, N_B)."""

    name: str
    draft: Candidates
    base: Candidates
    values: tuple[Floats, Floats]

    def part(self, places: slice) -> StudyProblem:
        """Some of the candidates of either source."""

        def side(whole: Candidates) -> Candidates:
            reward = whole.reward[places]
            return Candidates(np.full(reward.size, -np.log(reward.size)), reward, whole.log_ratio[places])

        values = self.values[0][:, places], self.values[1][:, places]
        return StudyProblem(self.name, side(self.draft), side(self.base), values)


def problems_of(pool: Pool, names: Sequence[str]) -> list[StudyProblem]:
    """The first positions of a pool's prompts, with the columns `names` as values."""
    problems = []
    for key in pool.arrays.names:
        values = [
            # an answer that the grader gave up on is not right
            np.nan_to_num([np.asarray(pool.column(*key, source, name), dtype=np.float64) for name in names])
            for source in ("draft", "base")
        ]
        problems.append(
            StudyProblem(key[0], pool.draft_candidates(*key), pool.base_candidates(*key), (values[0], values[1]))
        )
    return problems


def studied_schemes(ns: Sequence[int], betas: Sequence[float], threshold: float) -> list[tuple[Method, Scheme]]:
    """Every method at every β × n, each once: what has no β or n of its own stands at the first of them."""
    played, seen = [], set()
    for key in STUDIED:
        method = METHODS[key]
        for beta in betas:
            for n in ns:
                scheme = method.scheme(beta, n, threshold)
                chosen = scheme.n > 1 or method.gate in ("tilted_reward", "score")
                level = beta if chosen and method.weight in ("reward", "ratio") else betas[0]
                if (mark := (key, level, scheme.n)) not in seen:
                    seen.add(mark)
                    played.append((method, scheme))
    return played


@dataclass(frozen=True)
class Results:
    """Of C schemes at P problems: predicted values (P, C, V) with standard errors, the deviation of one run, and
    acceptance (P, C); measured means (P, C, V), their runs' variance, acceptance, and how many runs (C,)."""

    played: tuple[tuple[Method, Scheme], ...]
    predicted: Floats
    predicted_se: Floats
    accept: Floats
    accept_se: Floats
    measured: Floats
    variance: Floats
    measured_accept: Floats
    runs: Floats

    def z(self, value: int) -> Floats:
        """Scores (P, C) of the value: difference over its stated error; NaN where neither side shows any spread."""
        spread = self.predicted_se[..., value] ** 2 + self.variance[..., value] / self.runs
        gap = self.predicted[..., value] - self.measured[..., value]
        return np.where(spread > 0, gap / np.sqrt(np.where(spread > 0, spread, 1.0)), np.nan)

    def rows(self, names: Sequence[str]) -> Iterator[Record]:
        """One record for every scheme and value ("p_accept" where there is a gate), over problems."""
        for c, (method, scheme) in enumerate(self.played):
            for v, name in enumerate(names):
                yield _row(
                    method, scheme, name, self.predicted[:, c, v], self.predicted_se[:, c, v], self.measured[:, c, v]
                )
            if method.rejects(scheme):
                yield _row(
                    method, scheme, "p_accept", self.accept[:, c], self.accept_se[:, c], self.measured_accept[:, c]
                )


def _row(method: Method, scheme: Scheme, quantity: str, predicted: Floats, error: Floats, measured: Floats) -> Record:
    gap, size = mean_difference(predicted - measured), np.sqrt(predicted.size)
    return {
        "method": method.id,
        "beta": scheme.beta if method.weight in ("reward", "ratio") else None,
        "n": scheme.n,
        "threshold": scheme.threshold if method.rejects(scheme) else None,
        "quantity": quantity,
        "predicted": float(predicted.mean()),
        "predicted_se": float(predicted.std(ddof=1) / size),
        "predicted_se_fixed": float(np.sqrt((error**2).sum()) / predicted.size),
        "measured": float(measured.mean()),
        "measured_se": float(measured.std(ddof=1) / size),
        "difference": gap.mean,
        "difference_se": gap.stderr,
        "p_value": gap.p_value,
    }


def results(
    problems: Sequence[StudyProblem], played: Sequence[tuple[Method, Scheme]], predicting: int, seed: int
) -> Results:
    """Predict from the first `predicting` candidates of each source, play on the others; selection noise from `seed`.

    Raises InputError as `predict_methods` and `play`.
    """
    value_count = len(problems[0].values[0])
    shape = len(problems), len(played), value_count
    predicted, error, measured, variance = (np.zeros(shape) for _ in range(4))
    accept, accept_error, passed = (np.ones(shape[:2]) for _ in range(3))
    fresh = min(min(p.draft.reward.size, p.base.reward.size) for p in problems) - predicting
    sets = np.array([max(s.n, s.base_draws) for _, s in played])
    runs = np.maximum(1, fresh // sets).astype(np.float64)
    for p, problem in enumerate(problems):
        mine, others = problem.part(slice(0, predicting)), problem.part(slice(predicting, None))
        f = tuple(np.concatenate([side, side**2]) for side in mine.values)
        found = predict_methods(mine.draft, mine.base, played, (f[0], f[1]))
        predicted[p], error[p] = found.value[:, :value_count], found.stderr[:, :value_count]
        square = found.value[:, value_count:]
        accept[p], accept_error[p] = found.p_accept, found.p_accept_se
        for c, (method, scheme) in enumerate(played):
            rng = np.random.default_rng([seed, p, c])
            taken = play(method, scheme, others.draft, others.base, int(runs[c]), rng)
            rows = np.stack([taken.taken(a, b) for a, b in zip(*others.values, strict=True)])
            measured[p, c], passed[p, c] = rows.mean(axis=1), taken.accepted.mean()
            variance[p, c] = _variance_of_a_run(predicted[p, c], square[c], error[p, c], predicting / sets[c], rows)
    return Results(tuple(played), predicted, error, accept, accept_error, measured, variance, passed, runs)


def _variance_of_a_run(predicted: Floats, square: Floats, error: Floats, sets: float, rows: Floats) -> Floats:
    """What one run scatters by (V,), if predicted means (V,) and rows (V, R) are of one law.

    Its two moments are those of both sides together, by the `sets` of candidates that predict and the R runs: either
    side alone says 0 where it has not seen what happens rarely, and then what the other saw would be any number of
    standard errors away. With the share s of the sets the joint mean varies by s² error² + (1 - s)² variance/R, which
    its square lacks. Unbiased; but the difference that is judged is in it: with right errors the score of four runs or
    more varies by 0.97 to 1, that of a single run by 0.6 to 0.8.
    """
    runs = rows.shape[1]
    share = sets / (sets + runs)
    first = share * predicted + (1.0 - share) * rows.mean(axis=1)
    second = share * square + (1.0 - share) * (rows**2).mean(axis=1)
    short = np.maximum(second - first**2 + (share * error) ** 2, 0.0)
    return np.asarray(short / (1.0 - (1.0 - share) ** 2 / runs))
