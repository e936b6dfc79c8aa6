"""A rule, a claim and an experiment of one's own: the file of the tutorial `your_own`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, NoReturn

import numpy as np

from gsi_theory import Scheme, gsi_law
from gsi_theory.claims import Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, mean_change
from gsi_theory.errors import InputError
from gsi_theory.rules.softmax import SOFTMAX
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.worlds import instance_of

# ---- rule


def _no_balls(*_: object) -> NoReturn:
    raise InputError("rule 'half': its weights are square roots, which have no exact value; leave out --certify")


HALF = replace(
    SOFTMAX,
    name="half",
    # every part takes the log-weights: halved, they are those of the square roots
    log_ratio=lambda mass, log_weight, *rest: SOFTMAX.log_ratio(mass, 0.5 * log_weight, *rest),
    subset_means=lambda values, log_weight, ns: SOFTMAX.subset_means(values, 0.5 * log_weight, ns),
    subset_parts=lambda values, log_weight, ns: SOFTMAX.subset_parts(values, 0.5 * log_weight, ns),
    standing=lambda log_weight, drawn: 0.5 * log_weight,  # what decoding compares
    balls=_no_balls,
    # what holds of softmax and not of its half
    tv_curve=None,
    ratio_bound=None,
    converges=False,
)

# ---- claim


def _sides(f: Facts) -> Sides:
    law = f.draft_law("softmax")
    error = f.osc * (2.0 * law.error + 4.0 * f.weight_error + f.rounding)
    return Sides(lhs=mean_change(f, law.log_prob), rhs=0.0 * f.beta, error=error)


GREEDY = Claim(
    "mine-greedy",
    r"E_{P_n} r \le E_\pi r",
    _sides,
    source="what one might think: fewer drafts, less reward",
    uncertified="nobody has written its twin in balls",
)

# ---- experiment


class _Cell(NamedTuple):
    problem: int


class _Row(NamedTuple):
    problem: int
    rule: str
    n: int
    reward: float


def _work(cell: _Cell, run: Run) -> Iterator[_Row]:
    instance = instance_of("weak", [run.seed], cell.problem)
    for rule in ("softmax", HALF):
        for n in (1, 2, 4, 8, 16, 32, 64):
            law = gsi_law(instance, Scheme(run.settings["beta"], n, rule=rule))
            yield _Row(cell.problem, str(rule), n, float(law.expectation(instance.reward)))


def _collect(rows: Rows, run: Run) -> Collected:
    cells = rows["reward"]
    means = {
        (rule, n): float(np.mean([row.reward for row in cells if (row.rule, row.n) == (rule, n)]))
        for rule, n in dict.fromkeys((row.rule, row.n) for row in cells)
    }
    less = {str(n): means["half", n] <= means["softmax", n] for rule, n in means if rule == "half"}
    table = [_Row(-1, rule, n, mean) for (rule, n), mean in means.items()]
    return {"findings": {"half_earns_less": everywhere(less)}}, {"reward": table}


def _problems(settings: Settings) -> list[_Cell]:
    return [_Cell(problem) for problem in range(settings["problems"])]


HALVES = Experiment(
    name="halves",
    question="What does a rule of half the greed cost in reward?",
    claim="",
    settings={"beta": (10, range(0, 1001)), "problems": (20, range(1, 1001))},
    full={"problems": 1000},
    full_minutes=1.0,
    tiny={"problems": 1},
    cell=_Cell,
    rows={"reward": _Row},
    cells=_problems,
    work=_work,
    collect=_collect,
)
