"""How far each rule is from each target at n drafts, beside the best that any rule can do (M41, M19, M36).

Rows `limit`, `limit_stopping`: what no rule can beat with n drafts, fixed (M19) or expected (M36). The other rows are
laws of rules towards the target, exact, with a simulation of the reward whose weights are solved independently. Table
`targets`: what each target is: its mean reward, its KL to the base, and log sup w, its price in drafts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory.divergence import kl, tv
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.laws.target_law import target_law
from gsi_theory.limits import best_tv, best_tv_adaptive
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.generators import NumpyStream
from sims.sampling.sampler import sample_scheme
from sims.worlds import checked_worlds, instance_of

BETA = 5.0
NS = tuple(2**k for k in range(0, 11))
TARGETS = ("kl", "chi2", "order:0.5", "power:2")
RULES = ("softmax", "race", "regularized:4")
CLOSE, NEAR, ROUNDING = 0.1, 0.01, 1e-9


class _Cell(NamedTuple):
    world: str
    problem: int


class _Row(NamedTuple):
    world: str
    target: str
    method: str
    n: int
    tv: float
    reward: float | None
    simulated: float | None
    stderr: float | None


class _Shape(NamedTuple):
    world: str
    target: str
    reward: float
    kl_base: float
    log_coverage: float
    error: float


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def _coverage(target: Floats, draft: Floats) -> float:
    """log sup π/π_S."""
    held = target > -np.inf
    return float(np.max(target[held] - draft[held]))


def _of_target(
    instance: Instance, name: str, run: Run, stream: NumpyStream
) -> Iterator[tuple[str, tuple[object, ...]]]:
    aim = target_law(instance, BETA, name)
    target, draft, reward = aim.log_prob, instance.log_draft, instance.reward
    shape = float(np.exp(target) @ reward), kl(target, instance.log_base), _coverage(target, draft), aim.error
    yield "shapes", shape
    schemes = [Scheme(BETA, n, None, rule, target=name) for rule in RULES for n in NS]
    for scheme, law in zip(schemes, gsi_laws(instance, schemes), strict=True):
        played, _ = sample_scheme(instance, scheme, run.settings["draws"], stream)
        pair = beside(np.exp(law.log_prob), reward, np.asarray(played))
        yield "points", (str(scheme.rule), scheme.n, tv(law.log_prob, target), *pair)
    for n in NS:
        yield "points", ("limit", n, best_tv(target, draft, n), None, None, None)
        yield "points", ("limit_stopping", n, best_tv_adaptive(target, draft, n), None, None, None)


def work(cell: _Cell, run: Run) -> Iterator[_Row | _Shape]:
    """Every target, rule and limit at every n on one problem."""
    instance, stream = instance_of(cell.world, [run.seed], cell.problem), NumpyStream(run.rng(74))
    for name in TARGETS:
        for table, values in _of_target(instance, name, run, stream):
            made: type[_Row] | type[_Shape] = _Row if table == "points" else _Shape
            yield made(cell.world, name, *values)  # type: ignore[arg-type]


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `needed`: the least n of the ladder at which the mean TV is at most 0.1, None for none."""
    table, shapes = over_problems(rows["points"], 4), over_problems(rows["shapes"], 2)
    at = {(r.world, r.target, r.method, r.n): r.tv for r in table}
    worlds, last = list(run.settings["worlds"]), NS[-1]
    places = {f"{t} in {w}": (w, t) for t in TARGETS for w in worlds}
    kept = {
        f"{rule}, {place}, n = {n}": at[w, t, rule, n]
        >= max(at[w, t, "limit", n], at[w, t, "limit_stopping", n]) - ROUNDING
        for place, (w, t) in places.items()
        for rule in RULES
        for n in NS
    }

    def needed(world: str, target: str, method: str) -> int | None:
        return next((n for n in NS if at[world, target, method, n] <= CLOSE), None)

    needs = {place: needed(w, t, "race") for place, (w, t) in places.items()}
    best = {place: needed(w, t, "limit") for place, (w, t) in places.items()}
    known = {place: (n, least) for place, n in needs.items() if n is not None and (least := best[place]) is not None}
    factor = max((n / least for n, least in known.values()), default=None)
    race = {
        place: all(at[w, t, "race", n] <= at[w, t, "softmax", n] + ROUNDING for n in NS)
        for place, (w, t) in places.items()
    }
    gaps = {place: at[w, t, "race", last] for place, (w, t) in places.items()}
    # rules of the same n, targets of the same β: fewer draws buy the χ² target
    cheaper = {w: all(at[w, "chi2", "race", n] <= at[w, "kl", "race", n] + ROUNDING for n in NS) for w in worlds}
    stays = {place: at[w, t, "regularized:4", last] - at[w, t, "limit", last] for place, (w, t) in places.items()}
    findings = {
        "none_beats": everywhere(kept),
        "needs": {"holds": factor is not None, "needed": needs, "close": CLOSE, "factor": factor},
        "race_nearer": everywhere(race),
        "race_arrives": everywhere(
            {place: gap <= NEAR for place, gap in gaps.items()},
            n=last,
            gaps={place: gap for place, gap in gaps.items() if gap > NEAR},
            least=NEAR,
        ),
        "chi2_cheaper": everywhere(cheaper),
        "regularized_stays": everywhere(
            {place: gap > NEAR for place, gap in stays.items()}, n=last, smallest=min(stays.values()), least=NEAR
        ),
    }
    pairs = ((r.reward, r.simulated, r.stderr) for r in rows["points"])
    return agreement(p for p in pairs if p[0] is not None) | {"findings": findings}, {"points": table, "shapes": shapes}


EXPERIMENT = Experiment(
    name="targets",
    question="How far is each rule from each target, and how near could any rule come with these drafts?",
    claim="Every rule samples every target; softmax and race tend to it, and M19 limits them, whatever it is.",
    settings={
        "worlds": ("strong,weak,blind", checked_worlds),
        "instances": (3, range(1, 10_001)),
        "draws": (300, range(100, 10_000_001)),
    },
    full={"instances": 20, "draws": 5_000},
    full_minutes=20.0,
    tiny={"worlds": "size:6", "instances": 1, "draws": 100},
    cell=_Cell,
    rows={"points": _Row, "shapes": _Shape},
    cells=cells,
    work=work,
    collect=collect,
)
