"""The regimes in which claims are audited: families of instances × rewards × β, each at every n of a ladder.

A cell is (family, rewards, beta, block); its instances come from a random stream of their own, derived from the seed
and the cell, so that results depend neither on the order of the cells nor on the number of workers. Half of a cell's
instances are under rule softmax, the others under race, max or race with the score gate, in turn over the cells.
Policies over K completions, K from 1 to 300; rewards in [0, 1] or, signed, in [-1, 1] (hostile ones up to 1000 times
that); thresholds in reward units. To add a family append an entry to AUDIT_FAMILIES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.claims.facts import Facts
from gsi_theory.instance import Instance, Scheme
from gsi_theory.rules.table import rules_and_gates
from gsi_theory.types import Floats
from sims.instance_families import FAMILIES, REWARDS, passing_threshold, score_threshold, signed

__all__ = ["AUDIT_FAMILIES", "BETAS", "KINDS", "NS", "Batch", "Cell", "batches_of", "scheme_of"]

BETAS = (0.0, 0.3, 1.0, 5.0, 20.0, 100.0)
NS = (1, 2, 4, 8, 16, 64, 256, 1024, 2**14, 2**20, 2**30, 2**40, 2**50)
# rule and gate; the first is that of every second instance
KINDS = tuple(kind for gate in ("tilted_reward", "score") for kind in rules_and_gates() if kind[1] == gate)
# Families of hundreds of completions cost as much a row as dozens of small instances.
LARGE = ("zipf", "heavy_tail")
SMALLEST_LOG = -690.0  # e^-690 is about 1e-300

Build = Callable[[np.random.Generator], Instance]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _named(name: str) -> Build:
    return lambda rng: FAMILIES[name].build(int(rng.integers(2**62)))


def _dirichlets(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    draft, base = (rng.dirichlet(np.full(size, _log_uniform(rng, 0.1, 10.0))) for _ in range(2))
    return draft, base


def _rewards(rng: np.random.Generator, size: int) -> Floats:
    """Uniform in [0, 1], one time in four zeros and ones."""
    reward = rng.uniform(0.0, 1.0, size)
    return np.rint(reward) if rng.random() < 0.25 else reward


def _few(rng: np.random.Generator) -> Instance:
    size = int(rng.integers(1, 7))
    draft, base = _dirichlets(rng, size)
    return Instance.from_probabilities(draft, base, _rewards(rng, size))


def _dozens(rng: np.random.Generator) -> Instance:
    size = int(rng.integers(7, 65))
    draft, base = _dirichlets(rng, size)
    return Instance.from_probabilities(draft, base, _rewards(rng, size))


def _two_outcomes(rng: np.random.Generator) -> Instance:
    """Masses of the second outcome log-uniform from 1e-6 to 1/2, either way round; a reward of one on one of them."""
    policies = []
    for _ in range(2):
        rare = _log_uniform(rng, 1e-6, 0.5)
        policies.append([1.0 - rare, rare] if rng.random() < 0.75 else [rare, 1.0 - rare])
    good = int(rng.integers(2))
    top = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.0, 1.0))
    return Instance.from_probabilities(policies[0], policies[1], [top * (good == 0), top * (good == 1)])


def _near(rng: np.random.Generator) -> Instance:
    """Two policies that nearly agree, and rewards that differ little."""
    size = int(rng.integers(2, 17))
    draft = np.log(rng.dirichlet(np.full(size, 2.0)))
    base = normalize(draft + _log_uniform(rng, 1e-5, 0.3) * rng.normal(size=size))
    return Instance(draft, base, _log_uniform(rng, 1e-4, 1.0) * rng.uniform(0.0, 1.0, size))


def _rare_good(rng: np.random.Generator) -> Instance:
    """The draft's rarest outcome alone has a reward."""
    size = int(rng.integers(2, 17))
    draft, base = _dirichlets(rng, size)
    reward = np.zeros(size)
    reward[int(np.argmin(draft))] = 1.0
    return Instance.from_probabilities(draft, base, reward)


def _uncovered(rng: np.random.Generator) -> Instance:
    """The draft misses one or more outcomes of the base."""
    size = int(rng.integers(2, 17))
    draft, base = _dirichlets(rng, size)
    missed = rng.permutation(size)[: int(rng.integers(1, size))]
    draft[missed] = 0.0
    draft = draft / draft.sum() if draft.sum() > 0 else np.eye(size)[int(np.setdiff1d(np.arange(size), missed)[0])]
    return Instance.from_probabilities(draft, base, _rewards(rng, size))


def _hostile(rng: np.random.Generator) -> Instance:
    """Masses down to 1e-300, zeros, ties, and rewards from 0.01 to 1000 or tied."""
    size = int(rng.integers(1, 9))
    policies = []
    for _ in range(2):
        log = rng.uniform(-float(rng.choice([0.0, 1.0, 50.0, -SMALLEST_LOG])), 0.0, size)
        log[rng.random(size) < 0.15] = -np.inf
        log[0] = log[0] if np.isfinite(log).any() else 0.0
        policies.append(normalize(log))
    if rng.random() < 0.2:
        policies[1] = policies[0]
    reward = np.where(rng.random() < 0.3, np.rint(rng.uniform(size=size)), rng.uniform(size=size))
    return Instance(policies[0], policies[1], _log_uniform(rng, 1e-2, 1e3) * reward)


AUDIT_FAMILIES: dict[str, Build] = {name: _named(name) for name in FAMILIES} | {
    "two_outcomes": _two_outcomes,
    "few": _few,
    "dozens": _dozens,
    "near": _near,
    "rare_good": _rare_good,
    "uncovered": _uncovered,
    "hostile": _hostile,
}


@dataclass(frozen=True)
class Cell:
    """One regime: a family, rewards "unsigned" or "signed", beta, and the number of the block (fresh instances)."""

    family: str
    rewards: str
    beta: float
    block: int

    @property
    def turn(self) -> int:
        """Which kind the second half of the instances is of: neighbors in every direction differ."""
        place = list(AUDIT_FAMILIES).index(self.family) + REWARDS.index(self.rewards) + BETAS.index(self.beta)
        return 1 + (place + self.block) % (len(KINDS) - 1)


@dataclass(frozen=True)
class Batch:
    """m instances of one rule and gate: `ladder` at every n, rows (m, N); `single` at one n each, rows (m,).

    A limit does not depend on n, and an identity need not be tried at all of them.
    """

    instances: tuple[Instance, ...]
    thresholds: tuple[float | None, ...]
    ladder: Facts
    single: Facts
    single_n: tuple[int, ...]


def _stream(seed: int, cell: Cell) -> np.random.Generator:
    names = list(AUDIT_FAMILIES)
    key = names.index(cell.family), REWARDS.index(cell.rewards), BETAS.index(cell.beta), cell.block
    return np.random.default_rng([seed, 30, *key])


def _padded(rows: list[Floats], filler: float) -> Floats:
    out = np.full((len(rows), max(map(len, rows))), filler)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def _threshold(rng: np.random.Generator, instance: Instance, beta: float, gate: str, i: int) -> float | None:
    """In turn: none, what half and a quarter of the tilted policy pass, and a number without regard to the instance."""
    if gate == "score":
        return score_threshold(instance, beta, int(_log_uniform(rng, 1.0, 1e4))) if beta > 0 else 0.0
    if i % 4 == 0:
        return None
    if i % 4 == 3:
        return float(rng.uniform(-1.0, 2.0))
    found = passing_threshold(instance, beta, 0.5 if i % 4 == 1 else 0.25)
    return found if np.isfinite(found) else None


def batches_of(seed: int, cell: Cell, instances: int, ns: tuple[int, ...]) -> Iterator[Batch]:
    """The instances of a cell (a quarter as many in the families of hundreds of completions), at the numbers `ns`."""
    rng = _stream(seed, cell)
    count = max(2, instances // 4 if cell.family in LARGE else instances)
    for rule, gate, part in ((*KINDS[0], count - count // 2), (*KINDS[cell.turn], count // 2)):
        made = []
        for _ in range(part):
            instance = AUDIT_FAMILIES[cell.family](rng)
            made.append(signed(instance) if cell.rewards == "signed" else instance)
        cuts = [_threshold(rng, instance, cell.beta, gate, i) for i, instance in enumerate(made)]
        log_draft, log_base = (
            _padded([x.log_draft for x in made], -np.inf),
            _padded([x.log_base for x in made], -np.inf),
        )
        reward, cut = _padded([x.reward for x in made], 0.0), np.array([np.nan if c is None else c for c in cuts])
        # a random start and a stride: few instances too see small and large n
        start, stride = int(rng.integers(len(ns))), 5
        singles = np.array([ns[(start + stride * i) % len(ns)] for i in range(part)])
        draft_rows, base_rows, reward_rows = (values[:, None] for values in (log_draft, log_base, reward))
        ladder = Facts.batch(
            draft_rows, base_rows, reward_rows, cell.beta, np.array(ns)[None, :], cut[:, None], rule=rule, gate=gate
        )
        single = Facts.batch(log_draft, log_base, reward, cell.beta, singles, cut, rule=rule, gate=gate)
        yield Batch(tuple(made), tuple(cuts), ladder, single, tuple(map(int, singles)))


def scheme_of(batch: Batch, i: int, beta: float, n: int) -> Scheme:
    """The scheme of instance i of a batch at n."""
    return Scheme(beta, n, batch.thresholds[i], batch.ladder.rule, gate=batch.ladder.gate)
