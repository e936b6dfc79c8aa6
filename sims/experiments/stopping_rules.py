"""Stopping against a fixed number of draws, at equal expected draws: reward, and TV to the tilted policy.

In reward: best-of-n, the threshold rule of n expected draws and at most CAP·n (`stopping`), the limit without a cap
(M38), and two rules that do not know the law: the threshold from pilot draws (`pilots`, the RANK-th largest of
n(RANK - 1), n expected without ties and cap; pilots are not counted) and from an
upper confidence bound of the reservation value (`learned`, at the price at which `limit_stopping` draws n). In TV:
softmax on n drafts, the limit of fixed n (M19), and the rejection that attains M36, uncapped (`limit_stopping`) and
with a cap and the best weight recalled (`rejection`). All exact, each with a simulation of the reward.

Pilots and bounds decide for themselves how many draws they make, on each problem others. So that means over problems
compare rules at equal draws, `figure` "equal" has their reward at n expected draws of every problem, of the rule that
takes by chance one of two of its own settings, or one draw; where their settings reach n on every problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory.divergence import tv
from gsi_theory.instance import Instance, log_weight, tilted_policy
from gsi_theory.laws.attaining_laws import adaptive_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.stopping import (
    falling_stopping,
    keep_for_draws,
    keep_of,
    learned_thresholds,
    pilot_stopping,
    stopping_law,
)
from gsi_theory.limits import best_of_n_reward, best_reward, best_tv, best_tv_adaptive
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.worlds import checked_worlds, instance_of

BETA = 5.0
NS = tuple(2**k for k in range(1, 9))
CAP, RANK = 2, 3
PUBLISHED = 0.15  # of the draws are saved at least, says the paper's summary
ROUNDING = 1e-9
UNKNOWING = ("pilots", "learned")


class _Cell(NamedTuple):
    world: str
    problem: int


class _Row(NamedTuple):
    world: str
    figure: str  # "reward", "equal" or "tv"
    method: str
    n: int
    draws: float
    value: float
    least: float  # what the value may not be below, and above, on this problem
    most: float
    simulated: float | None
    stderr: float | None


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def _price(instance: Instance, n: int) -> float:
    """The price a draw at which the reservation value is the threshold of n expected draws: E(r - t)_+ at that t."""
    keep = keep_for_draws(instance.reward, instance.log_draft, n)
    cut = float(instance.reward[np.isfinite(keep)].min())
    return float(np.exp(instance.log_draft) @ np.clip(instance.reward - cut, 0.0, None))


def _played(instance: Instance, keep: Floats, most: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Outcomes of draws that go on until one is kept, the best reward of `most` otherwise; (rounds,)."""
    mass, reward = np.exp(instance.log_draft), instance.reward
    drawn = rng.choice(mass.size, p=mass / mass.sum(), size=(rounds, most))
    kept = rng.random(drawn.shape) < np.exp(keep)[drawn]
    best = (reward[drawn] + 1e-9 * rng.random(drawn.shape)).argmax(axis=1)
    at = np.where(kept.any(axis=1), kept.argmax(axis=1), best)
    return np.asarray(drawn[np.arange(rounds), at])


def _rewards(instance: Instance, n: int, run: Run, rng: np.random.Generator) -> Iterator[_Row]:
    """Rows of the reward at n expected draws, their world left empty."""
    draft, reward, rounds, most = instance.log_draft, instance.reward, run.settings["draws"], CAP * n
    fixed, lowest, highest = best_of_n_reward(reward, draft, n), float(reward.min()), float(reward.max())
    law = stopping_law(draft, reward, keep := keep_for_draws(reward, draft, n, most), most)
    pair = beside(np.exp(law.log_prob), reward, _played(instance, keep, most, rounds, rng))
    pilots = pilot_stopping(draft, reward, n * (RANK - 1), RANK, most)
    schedule = learned_thresholds(_price(instance, n), highest, most)
    learned = falling_stopping(draft, reward, schedule)
    for method, draws, value, floor, simulated, error in (
        ("fixed", float(n), fixed, lowest, None, None),
        ("stopping", law.mean_draws, pair.exact, fixed, pair.simulated, pair.stderr),
        ("pilots", pilots.mean_draws, float(pilots.prob @ reward), lowest, None, None),
        ("learned", learned.mean_draws, float(learned.prob @ reward), lowest, None, None),
        ("limit_stopping", float(n), best_reward(reward, draft, n), fixed, None, None),
    ):
        # every rule lies below the limit at its own draws
        yield _Row("", "reward", method, n, draws, value, floor, best_reward(reward, draft, draws), simulated, error)


def _distances(instance: Instance, n: int) -> Iterator[_Row]:
    """Rows of the TV to the tilt at n expected draws, their world left empty."""
    target, weight = tilted_policy(instance, BETA), log_weight(instance.draft_candidates(), BETA)
    draft, some = instance.log_draft, np.isfinite(weight)
    score = np.where(some, weight, weight[some].min() - 1.0)
    # beyond C = sup π/μ expected draws rejection is exact, and the cap alone matters
    enough = float(np.clip(np.exp(np.max(target[some] - draft[some])), 1.0, n))
    capped = stopping_law(draft, score, keep_of(adaptive_law(target, draft, enough), draft, enough), CAP * n)
    fixed = best_tv(target, draft, n)
    for method, draws, value, floor in (
        ("softmax", float(n), tv(selection_law(draft, weight, n, "softmax").log_prob, target), fixed),
        ("limit", float(n), fixed, best_tv_adaptive(target, draft, n)),
        (
            "rejection",
            capped.mean_draws,
            tv(capped.log_prob, target),
            best_tv_adaptive(target, draft, capped.mean_draws),
        ),
        ("limit_stopping", float(n), best_tv_adaptive(target, draft, n), 0.0),
    ):
        yield _Row("", "tv", method, n, draws, value, floor, 1.0, None, None)


def _equal(instance: Instance, rows: list[_Row]) -> Iterator[_Row]:
    """Rows "equal" of one problem from those of its rules that do not know the law."""
    draft, reward = instance.log_draft, instance.reward
    for method in UNKNOWING:
        line = sorted((r.draws, r.value) for r in rows if r.method == method)
        draws, values = zip((1.0, float(np.exp(draft) @ reward)), *line, strict=True)
        for n in (n for n in NS if n <= draws[-1]):
            value, most = float(np.interp(n, draws, values)), best_reward(reward, draft, n)
            yield _Row("", "equal", method, n, float(n), value, float(reward.min()), most, None, None)


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """All rules at every n on one problem."""
    instance, rng = instance_of(cell.world, [run.seed], cell.problem), run.rng(70)
    rows = [row for n in NS for row in (*_rewards(instance, n, run, rng), *_distances(instance, n))]
    for row in (*rows, *_equal(instance, rows)):
        yield row._replace(world=cell.world)


def _saved(fixed: list[_Row], stopping: list[_Row]) -> float:
    """The mean share of its draws that best-of-n would save by stopping, at its reward, over n with draws to save."""
    shares = []
    for row in fixed[1:]:
        values = np.array([r.value for r in stopping])
        if np.ptp(values) > 0 and values[0] < row.value <= values[-1]:
            needed = np.interp(row.value, np.maximum.accumulate(values), np.log([r.draws for r in stopping]))
            shares.append(1.0 - float(np.exp(needed)) / row.draws)
    return float(np.mean(shares)) if shares else 0.0


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems, and what may be said of stopping: see the figure's caption."""
    points, problems = rows["points"], run.settings["instances"]
    reached = Counter(r[:4] for r in points)
    table = over_problems([r for r in points if r.figure != "equal" or reached[r[:4]] == problems], 4)
    worlds = list(run.settings["worlds"])
    value = {(r.world, r.figure, r.method, r.n): r.value for r in table}
    inside = {f"{r.method} in {r.world}, n = {r.n}": r.least - ROUNDING <= r.value <= r.most + ROUNDING for r in points}
    saved = {
        w: _saved(*([r for r in table if r[:3] == (w, "reward", method)] for method in ("fixed", "stopping")))
        for w in worlds
    }
    equal = [r for r in table if r.figure == "equal"]
    gains = {
        method: {
            f"{r.world}, n = {r.n}": r.value - value[r.world, "reward", "fixed", r.n]
            for r in equal
            if r.method == method
        }
        for method in UNKNOWING
    }
    worst: dict[str, tuple[float, str, int]] = {}  # reward lost, world, n
    for r in equal:
        lost = value[r.world, "reward", "stopping", r.n] - r.value
        worst[r.method] = max(worst.get(r.method, (-np.inf, "", 0)), (lost, r.world, r.n))
    findings = {
        "within": everywhere(inside),
        "saved": everywhere({w: share >= PUBLISHED for w, share in saved.items()}, shares=saved, published=PUBLISHED),
        "pilots_gain": everywhere({k: v >= -ROUNDING for k, v in gains["pilots"].items()}, rank=RANK),
        "learned_gain": everywhere({k: v >= -ROUNDING for k, v in gains["learned"].items()}),
        "regret": {"holds": len(worst) == len(UNKNOWING)}
        | {
            f"{method}_{name}": part
            for method, parts in worst.items()
            for name, part in zip(("lost", "world", "n"), parts, strict=True)
        },
    }
    return agreement((r.value, r.simulated, r.stderr) for r in points) | {"findings": findings, "cap": CAP}, {
        "points": table
    }


EXPERIMENT = Experiment(
    name="stopping_rules",
    question="At equal expected draws, what does it gain to stop when a draw is good enough, if the law is known, and "
    "if it is not?",
    claim="Pandora's-box stopping has best-of-n's reward with 15 to 35 % fewer draws (arXiv 2510.01394, summary).",
    settings={
        "worlds": ("strong,weak,blind", checked_worlds),
        "instances": (3, range(1, 10_001)),
        "draws": (500, range(100, 10_000_001)),
    },
    full={"instances": 30, "draws": 4_000},
    full_minutes=4.0,
    tiny={"worlds": "size:6", "instances": 1, "draws": 100},
    cell=_Cell,
    rows={"points": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
