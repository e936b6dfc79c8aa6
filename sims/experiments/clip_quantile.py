"""ExpGSI's clip as a quantile on a calibration set: what it changes, how much its value matters, what early exit saves.

ExpGSI (arXiv 2609.21899) is known to us second-hand, so all of this is our reading: the race rule on n drafts weighted
β r + min(ℓ, c), scored in the order of their noise until none can win any more (M9). The clip c is the QUANTILE of ℓ
under the draft, exact, over problems of the same world that are not judged; then FACTORS times that. (The clip that the
summary names, 0.45 in units of the reward at β = 20, is 9 nats: no log-ratio reaches it where C < 8000.) Early exit
leaves the law as it is, so at equal accuracy it makes calls/n of the draws; candidates may also be written as they are
asked for. Whether that saves time is a question of hardware (M33): one after the other, or all in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.method_law import MethodLaw
from gsi_theory.methods import expgsi
from gsi_theory.runs.costs import DEVICES, SHAPES, Hardware, Trio, seconds
from gsi_theory.types import Floats, Ints
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.worlds import checked_worlds, instance_of

N, QUANTILE = 16, 0.95
FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)
STABLE = 0.02  # of the range of rewards
_PRM = SHAPES["qwen2.5-math-prm-7b"]
# steps of 64 tokens on one card
SETUPS = {
    "1.5B/7B": Trio(SHAPES["qwen2.5-math-1.5b"], SHAPES["qwen2.5-math-7b"], _PRM),
    "1.7B/14B": Trio(SHAPES["qwen3-1.7b"], SHAPES["qwen3-14b"], _PRM),
}


class _Cell(NamedTuple):
    world: str
    problem: int


class _Row(NamedTuple):
    world: str
    factor: float
    clip: float
    reward: float
    simulated: float | None
    stderr: float | None
    unclipped: float
    tilted: float
    tv: float
    calls: float
    simulated_calls: float
    calls_stderr: float
    time_small: float  # of early exit one after the other, over that of all at once
    time_large: float


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def _calibrated(world: str, run: Run) -> float:
    """The QUANTILE of ℓ under the drafts of the problems that follow those judged; at least 0."""
    first = run.settings["instances"]
    drawn = [instance_of(world, [run.seed], first + i) for i in range(run.settings["calibration"])]
    ratio = np.concatenate([x.log_ratio for x in drawn])
    mass = np.exp(np.concatenate([x.log_draft for x in drawn]))
    order = np.argsort(ratio)
    upto = np.cumsum(mass[order]) / mass.sum()
    return max(0.0, float(ratio[order][np.searchsorted(upto, QUANTILE)]))


def _played(instance: Instance, beta: float, clip: float, rounds: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(outcomes, candidates scored) (rounds,) of early exit as it is played."""
    mass = np.exp(instance.log_draft)
    drawn = rng.choice(mass.size, p=mass / mass.sum(), size=(rounds, N))
    log_noise = np.log(np.sort(rng.random((rounds, N)), axis=1))
    score = (beta * instance.reward + np.minimum(instance.log_ratio, clip))[drawn] - log_noise
    best = np.maximum.accumulate(score, axis=1)
    stops = best[:, :-1] >= beta * float(instance.reward.max()) + clip - log_noise[:, 1:]
    calls = np.where(stops.any(axis=1), stops.argmax(axis=1), N - 1) + 1
    scored = np.where(np.arange(N) < calls[:, None], score, -np.inf)
    return drawn[np.arange(rounds), scored.argmax(axis=1)], calls


def _time_in_turn(law: MethodLaw, models: Trio) -> float:
    """Seconds of candidates written, weighed and judged one after the other until the exit, over those of one batch."""
    hardware = Hardware(models, DEVICES["h100"], 64.0)
    one, all_at_once = (replace(law, draft_samples=k, base_scored=k, reward_calls=k) for k in (1.0, float(N)))
    return law.base_scored * seconds(one, hardware) / seconds(all_at_once, hardware)


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """Rows of one problem at every factor."""
    beta, rounds, rng = run.settings["beta"], run.settings["draws"], run.rng(76)
    instance, clip = instance_of(cell.world, [run.seed], cell.problem), _calibrated(cell.world, run)
    scheme, log_pi = Scheme(beta, N, rule="race"), tilted_policy(instance, beta)

    def mean(log_prob: Floats) -> float:
        return float(np.exp(log_prob) @ instance.reward)

    whole = mean(expgsi(instance, scheme, clip=np.inf).log_prob)
    for factor in FACTORS:
        law = expgsi(instance, scheme, clip=factor * clip, early_exit=True)
        outcomes, calls = _played(instance, beta, factor * clip, rounds, rng)
        pair = beside(np.exp(law.log_prob), instance.reward, outcomes)
        small, large = (_time_in_turn(law, models) for models in SETUPS.values())
        yield _Row(
            cell.world,
            factor,
            factor * clip,
            *pair,
            whole,
            mean(log_pi),
            divergence.tv(law.log_prob, log_pi),
            law.base_scored,
            float(calls.mean()),
            float(calls.std() / np.sqrt(rounds)),
            small,
            large,
        )


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. Findings: is the reward stable, what is saved, and does it save time."""
    table = over_problems(rows["clips"], 2)
    at = {(r.world, r.factor): r for r in table}
    worlds = list(run.settings["worlds"])
    moved = {w: max(abs(at[w, k].reward - at[w, 1.0].reward) for k in FACTORS) for w in worlds}
    saved = {w: 1.0 - at[w, 1.0].calls / N for w in worlds}
    spread = {w: [1.0 - at[w, k].calls / N for k in FACTORS] for w in worlds}
    cost = {w: at[w, 1.0].unclipped - at[w, 1.0].reward for w in worlds}
    findings = {
        "stable": everywhere({w: v <= STABLE for w, v in moved.items()}, moved=max(moved.values()), most=STABLE),
        "saved": {"holds": min(saved.values()) > 0, "shares": saved, "n": N, "quantile": QUANTILE},
        "saved_alike": {
            "holds": all(max(v) - min(v) <= 0.1 for v in spread.values()),
            "least": min(map(min, spread.values())),
            "most": max(map(max, spread.values())),
        },
        "harmless": everywhere({w: v <= STABLE for w, v in cost.items()}, lost=max(cost.values()), most=STABLE),
        "faster": everywhere(
            {f"{w}, {name}": v < 1.0 for w in worlds for name, v in zip(SETUPS, at[w, 1.0][-2:], strict=True)},
            least=min(min(at[w, 1.0][-2:]) for w in worlds),
            most=max(max(at[w, 1.0][-2:]) for w in worlds),
            setups=" and ".join(SETUPS),
        ),
    }
    pairs = [(r.reward, r.simulated, r.stderr) for r in rows["clips"]]
    pairs += [(r.calls, r.simulated_calls, r.calls_stderr) for r in rows["clips"]]
    return agreement(pairs) | {"findings": findings, "beta": run.settings["beta"]}, {"clips": table}


EXPERIMENT = Experiment(
    name="clip_quantile",
    question="ExpGSI: is a clip at a quantile of a calibration set good enough, and what does early exit save?",
    claim="ExpGSI (arXiv 2609.21899, known second-hand: a reading): the clip is a 95 % quantile on a calibration set, "
    "0.5 to 1.5 times it does as well, and early exit saves draws.",
    settings={
        "worlds": ("strong,weak,outliers", checked_worlds),
        "instances": (6, range(1, 10_001)),
        "calibration": (20, range(1, 10_001)),
        "draws": (2000, range(100, 10_000_001)),
        "beta": (20, range(1, 1001)),
    },
    full={"instances": 200, "calibration": 200, "draws": 20_000},
    full_minutes=6.0,
    tiny={"worlds": "size:6", "instances": 1, "calibration": 2, "draws": 100},
    cell=_Cell,
    rows={"clips": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
