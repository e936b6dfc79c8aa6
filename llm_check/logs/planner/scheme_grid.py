"""The options a plan compares: methods × β × n × n_base × thresholds, thresholds chosen from the pool itself.

GSI under each rule, without a gate and with each gate that the rule has; one draft, one base draw; best-of-n and soft
best-of-n on either; and RSD, one draft kept where its reward reaches u, else one base draw. An option is named by its
key of METHODS, under which `gsi decode` plays it.

Options that do the same are listed once: those whose laws are equal on every candidate of the pool, at equal cost.

One draw needs no rule and no β, nor do candidates of equal weight; candidates of equal reward need no β. A gate is the
set of candidates that pass it: one that all pass is none, and where none passes the law is the fallback's. The first of
equal options is kept. n drafts cost what they cost even where all are rejected, and one draft is not scored unless
there is a gate.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from gsi_theory.errors import InputError
from gsi_theory.instance import tilted_rewards
from gsi_theory.methods import METHODS, Method
from gsi_theory.rules import table as rule_table
from gsi_theory.rules.max import MAX
from gsi_theory.rules.softmax import SOFTMAX
from gsi_theory.rules.table import rule_named
from gsi_theory.runs.options import distinct
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Floats

if TYPE_CHECKING:  # pyarrow is slow to import, and --help shows BETAS and NS
    from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock

__all__ = [
    "BETAS",
    "DEFAULT_MODELS",
    "NS",
    "TOLERANCE",
    "Grid",
    "Option",
    "distinct_options",
    "enough",
    "make_grid",
    "stated_option",
]

BETAS = (1.0, 2.0, 5.0, 10.0, 20.0)
NS = (1, 2, 4, 8, 16, 32, 64)
TOLERANCE = 0.03  # of the value's range
DEFAULT_MODELS = "qwen2.5-math-1.5b,qwen2.5-math-7b,qwen2.5-math-prm-7b"  # that a step costs where a pool counts none
# those whose distance to the tilted policy has a bound
RULES = tuple(name for name, rule in rule_table.RULES.items() if rule.ratio_bound)
# Beyond them the law is the draft's own, or the best draw's, as far as numbers can tell.
BETA_RANGE = (1e-9, 1e9)
MOST_NATS = 1e12  # of log-weights, as laws take them
# Shares of the tilted policy below the threshold: about the rejection rates of the gate once n is large.
TILTED_SHARES = (0.05, 0.2, 0.5)
# Thresholds of the score gate, as M in units of the mean weight: n draws miss it with probability (1 - 1/M)^n at least.
SCORES = (1.5, 4.0, 12.0)
# Shares of the drafts that RSD rejects.
REWARD_SHARES = (0.2, 0.5, 0.8)
UNDERFLOW = 745.0  # nats below a cut: the score passes with a probability of 0


@cache
def _key(rule: str, gate: str) -> str | None:
    """The method that selects among drafts by reward and ratio under a rule and a gate ("none": without), if any."""
    wanted = {
        **{"proposal": "draft", "weight": "ratio", "rule": rule, "gate": None if gate == "none" else gate},
        **{"search": "all", "fallback": "select", "numbers": "fixed", "n": None, "n_base": None, "switch": None},
    }
    found = (key for key, m in METHODS.items() if all(getattr(m, name) == value for name, value in wanted.items()))
    return next(found, None)


@dataclass(frozen=True)
class Option:
    """One option; gate "none" | "tilted_reward" | "score" | "reward"; method: its key of METHODS (default: GSI under
    the rule and the gate). Where the method has no β, beta is only the one that its distance is taken at."""

    rule: str
    gate: str
    n: int
    n_base: int
    beta: float
    threshold: float | None
    method: str = ""

    def __post_init__(self) -> None:
        if not self.method:
            key = "draft" if self.n == 1 and self.gate == "none" else _key(self.rule, self.gate)
            if key is None:
                raise InputError(
                    f"rule {self.rule!r} with gate {self.gate!r}: no method selects so, of {list(METHODS)}"
                )
            object.__setattr__(self, "method", key)

    @property
    def record(self) -> Method:
        """The method."""
        return METHODS[self.method]

    @property
    def on_base(self) -> bool:
        """Whether no draft is drawn."""
        return self.record.proposal == "base"

    @property
    def weighs_ratio(self) -> bool:
        """Whether drafts are selected by reward and ratio."""
        return self.record.weight == "ratio"

    @property
    def has_beta(self) -> bool:
        """Whether β changes what it does."""
        return self.record.weight in ("reward", "ratio")

    def text(self) -> str:
        """For people."""
        parts = [self.record.label]
        parts += [f"n = {self.n}"] if self.record.n is None else []
        parts += [f"β = {self.beta:g}"] if self.has_beta else []
        if self.threshold is not None:
            parts.append(f"{self.gate} ≥ {self.threshold:g}")
            parts += [f"n_base = {self.n_base}"] if self.record.n_base is None else []
        return ", ".join(parts)


def stated_option(text: str) -> Option:
    """The option "n,β", "n,β,u" or "n,β,u,method" that selects among drafts by reward and ratio; u may be none.

    Raises InputError for what is none.
    """
    cure = "give n,β, with a gate n,β,u, and its method: 8,5,0.4,gsi_race"
    words = [word.strip() for word in text.split(",")]
    try:
        n, beta = int(words[0]), float(words[1])
        threshold = float(words[2]) if len(words) > 2 and words[2] != "none" else None
    except (ValueError, IndexError):
        raise InputError(f"--decides {text!r}: {cure}") from None
    key = words[3] if len(words) > 3 else "gsi_ungated" if threshold is None else "gsi"
    finite = np.isfinite([beta, 0.0 if threshold is None else threshold]).all()
    if len(words) > 4 or n < 1 or not beta > 0 or not finite or key not in METHODS:
        raise InputError(f"--decides {text!r}: {cure}")
    method = METHODS[key]
    rule = rule_named(method.rule).name
    gate = method.gate or "none"
    if (gate == "none") != (threshold is None) or key != _key(rule, gate):
        raise InputError(f"--decides {text!r}: {key} selects otherwise, or has no such gate; {cure}")
    return Option(rule, gate, n, n, beta, threshold, key)


@dataclass(frozen=True)
class Grid:
    """rules, betas, ns, n_bases (smaller counts of the fallback beside n itself), thresholds by β and gate, and on the
    reward, RSD's."""

    rules: tuple[str, ...]
    betas: tuple[float, ...]
    ns: tuple[int, ...]
    n_bases: tuple[int, ...]
    tilted: dict[float, tuple[float, ...]]
    score: dict[float, tuple[float, ...]]
    reward: tuple[float, ...] = ()

    def base_counts(self, n: int) -> tuple[int, ...]:
        """Counts of the fallback tried with n drafts."""
        return tuple(sorted({b for b in self.n_bases if b < n} | {n}))

    def options(self) -> list[Option]:
        """GSI under every rule, β and gate, then selection by the reward alone, RSD, and the base."""
        options = []
        for rule in self.rules:
            for beta in self.betas:
                for n in self.ns:
                    options.append(Option(rule, "none", n, n, beta, None))
                    gates = [("tilted_reward", u) for u in self.tilted[beta]]
                    gates += [("score", u) for u in self.score[beta]] if rule_named(rule).score_gate else []
                    for gate, u in gates:
                        options += [Option(rule, gate, n, b, beta, u) for b in self.base_counts(n)]
        first, several = (self.rules[0], self.betas[0]), [n for n in self.ns if n > 1]
        soft = self.betas if SOFTMAX.name in self.rules else ()
        for source in ("draft", "base"):
            if source == "base" and 1 in self.ns:
                options.append(Option(first[0], "none", 1, 1, first[1], None, source))
            options += [Option("softmax", "none", n, n, b, None, f"soft_bon_{source}") for b in soft for n in several]
            options += [Option(MAX.name, "none", n, n, first[1], None, f"best_of_n_{source}") for n in several]
        options += [Option(first[0], "reward", 1, 1, first[1], u, "rsd") for u in self.reward]
        return options


def _refuse_far(arrays: PositionArrays, parts: Sequence[PositionBlock], beta: float) -> None:
    """InputError for log-weights that are too large for laws."""
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    for rows in (rows for b in parts for rows in (b.draft, b.base)):
        largest = np.abs(reward[rows]).max(), np.abs(ratio[rows][np.isfinite(ratio[rows])]).max(initial=0.0)
        if not beta * largest[0] <= MOST_NATS - largest[1]:
            raise InputError(
                f"a plan needs |β r| + |ℓ| of at most {MOST_NATS:g} nats: β = {beta:g}, |reward| up to {largest[0]:g}, "
                f"|logp_base - logp_draft| up to {largest[1]:g}: give smaller β, or leave such rows out"
            )


def _pooled(
    arrays: PositionArrays, parts: Sequence[PositionBlock], beta: float, shares: Sequence[float]
) -> tuple[Floats, float]:
    """(r̃ at the shares of the tilted policy, mean over positions of the log mean weight)."""
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    tilts, weights, means = [], [], []
    for block in parts:
        log_weight = beta * reward[block.draft] + ratio[block.draft]
        total = logsumexp(log_weight, axis=1)
        finite = np.isfinite(total)
        means.append(total[finite] - np.log(block.draft.shape[1]))
        tilts.append((log_weight[finite] / beta).ravel())
        weights.append(np.exp(log_weight[finite] - total[finite, None]).ravel())
    tilt, weight = np.concatenate(tilts), np.concatenate(weights)
    order = np.argsort(tilt)
    share = np.cumsum(weight[order])
    at = np.searchsorted(share, np.array(shares) * share[-1]).clip(0, tilt.size - 1)
    return tilt[order][at], float(np.mean(np.concatenate(means)))


def _rounded(values: Floats) -> tuple[float, ...]:
    """Distinct values with three significant digits of their spread (exact without any), ascending."""
    finite = values[np.isfinite(values)]
    spread, size = float(np.ptp(finite)) if finite.size else 0.0, float(np.abs(finite).max(initial=0.0))
    digits = 3 + np.floor(np.log10(size)) - np.floor(np.log10(spread)) if spread > 0 else 17
    return tuple(sorted({float(f"{v:.{int(np.clip(digits, 3, 17))}g}") for v in finite}))


def _reward_steps(arrays: PositionArrays, parts: Sequence[PositionBlock]) -> tuple[float, ...]:
    """Rewards of drafts that so many shares of them lie below, as they are: rounded, an atom would miss itself."""
    reward = np.concatenate([arrays.floats("reward")[b.draft].ravel() for b in parts])
    levels = np.quantile(reward, REWARD_SHARES, method="higher")
    return tuple(sorted({float(u) for u in levels if u > reward.min()}))


def enough(parts: Sequence[PositionBlock]) -> tuple[list[PositionBlock], int]:
    """Positions with at least half as many candidates as the median has (of the smaller source), and how many have
    fewer: a few of them would hold n down for all."""
    sizes = [min(block.draft.shape[1], block.base.shape[1]) for block in parts]
    each = np.repeat(sizes, [block.positions.size for block in parts])
    least = float(np.median(each)) / 2.0 if each.size else 0.0
    kept = [block for block, size in zip(parts, sizes, strict=True) if size >= least]
    return kept, int((each < least).sum())


def make_grid(
    arrays: PositionArrays,
    parts: Sequence[PositionBlock],
    betas: Sequence[float] = BETAS,
    ns: Sequence[int] = NS,
    rules: Sequence[str] = RULES,
    thresholds: Sequence[float] | None = None,
    shares: Sequence[float] = TILTED_SHARES,
    scores: Sequence[float] = SCORES,
) -> Grid:
    """The grid for a pool, each member once: n up to half of the smallest set of either source; thresholds as
    given, or from the pool, at `shares` of the tilted policy and at `scores` in units of the mean weight; those of RSD
    at REWARD_SHARES of the drafts' rewards.

    Raises InputError for β outside BETA_RANGE, an n below 1, an unknown rule, a threshold that is no finite number (or
    too large for one times β), a pool too small for any n, or log-weights of more than MOST_NATS.
    """
    low, high = BETA_RANGE
    betas, rules = distinct(float(beta) for beta in betas), distinct(rules)
    if not all(low <= beta <= high for beta in betas):
        raise InputError(f"β values {list(betas)}: a plan needs values above 0, from {low:g} to {high:g}")
    most = np.finfo(np.float64).max / max(1.0, *betas)
    if thresholds is not None and not all(-most <= u <= most for u in thresholds):
        raise InputError(
            f"threshold values {list(thresholds)}: give finite numbers in reward units (options without a gate are "
            "compared in any case)"
        )
    unbounded = [rule for rule in rules if rule_named(rule).ratio_bound is None]
    if unbounded:
        raise InputError(
            f"rule {unbounded[0]!r}: a plan compares {', '.join(RULES)}, which have a bound of the distance to the tilt"
        )
    if min(ns) < 1:
        raise InputError(f"n values {list(ns)}: give whole numbers from 1")
    smallest = min(min(block.draft.shape[1], block.base.shape[1]) for block in parts)
    kept = tuple(sorted({int(n) for n in ns if n <= smallest // 2}))
    if not kept:
        cure = f"give n up to {smallest // 2}, or draw more candidates" if smallest > 1 else "draw 2 candidates or more"
        raise InputError(
            f"a position has {counted(smallest, 'candidate')} of a source, and half of that is less than every n of "
            f"{list(ns)}: {cure}"
        )
    _refuse_far(arrays, parts, max(betas))
    tilted, score = {}, {}
    for beta in betas:
        quantiles, mean = _pooled(arrays, parts, beta, shares)
        if thresholds is not None:
            tilted[beta] = score[beta] = distinct(float(u) for u in thresholds)
        else:
            tilted[beta], score[beta] = _rounded(quantiles), _rounded((mean + np.log(np.array(scores))) / beta)
    reward = _reward_steps(arrays, parts) if thresholds is None else distinct(float(u) for u in thresholds)
    return Grid(rules, betas, kept, (1, 4), tilted, score, reward)


@dataclass(frozen=True)
class _Seen:
    """What the candidates show at one β: whether at every position the weights of the drafts are equal, their rewards,
    those of the base candidates; the drafts that pass each threshold on the tilted reward, and (paid) on the reward;
    the smallest and the largest log-weight."""

    equal_drafts: bool
    equal_rewards: bool
    equal_base: bool
    passed: dict[float, bytes]
    paid: dict[float, bytes]
    lightest: float
    heaviest: float


def _seen(grid: Grid, arrays: PositionArrays, parts: Sequence[PositionBlock], beta: float) -> _Seen:
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    drafts, base = ([reward[rows] for rows in kind] for kind in ([b.draft for b in parts], [b.base for b in parts]))
    ratios = [ratio[b.draft] for b in parts]
    weights = [beta * r + raw for r, raw in zip(drafts, ratios, strict=True)]
    tilts = np.concatenate([tilted_rewards(r, raw, beta).ravel() for r, raw in zip(drafts, ratios, strict=True)])
    equal = [all(bool((x == x[:, :1]).all()) for x in kind) for kind in (weights, drafts, base)]
    passed = {u: np.packbits(tilts >= u).tobytes() for u in grid.tilted[beta]}
    rewards = np.concatenate([r.ravel() for r in drafts])
    paid = {u: np.packbits(rewards >= u).tobytes() for u in grid.reward}
    ends = min(float(w.min()) for w in weights), max(float(w.max()) for w in weights)
    return _Seen(equal[0], equal[1], equal[2], passed, paid, *ends)


def _selection(option: Option, n: int, equal_weights: bool, equal_rewards: bool) -> Hashable:
    """What a selection among n candidates depends on."""
    if n == 1 or equal_weights:
        return (n,)
    return (n, option.rule) if equal_rewards or not option.has_beta else (n, option.rule, option.beta)


def _law(option: Option, seen: _Seen, every: bytes) -> Hashable:
    """Equal for options of equal law and cost; every: of a gate that all drafts pass."""
    base = _selection(option, option.n_base, seen.equal_base, seen.equal_base)
    if option.on_base:
        return "base", base
    if option.gate == "reward" and option.threshold is not None:
        paid = seen.paid[option.threshold]
        return "reward gate", "all" if paid == every else paid
    if option.record.weight in ("reward", "best"):
        return "reward", _selection(option, option.n, seen.equal_rewards, seen.equal_rewards)
    drafts = _selection(option, option.n, seen.equal_drafts, seen.equal_rewards)
    if option.threshold is None:
        return "no gate", drafts
    if option.gate == "score":
        cut = option.beta * option.threshold
        gate: Hashable = (option.beta, option.threshold)
        all_pass, none_passes = cut <= seen.lightest, cut - seen.heaviest > UNDERFLOW
    else:
        gate = passed = seen.passed[option.threshold]
        all_pass, none_passes = passed == every, not any(passed)
    if none_passes:
        return "none passes", option.n, base
    if all_pass:
        return ("no gate", drafts) if option.n > 1 else "all pass"
    return option.gate, gate, drafts, base


def distinct_options(grid: Grid, arrays: PositionArrays, parts: Sequence[PositionBlock]) -> list[Option]:
    """The options of the grid without those that do what an earlier one does, at every position of `parts`."""
    seen = {beta: _seen(grid, arrays, parts, beta) for beta in grid.betas}
    every = np.packbits(np.ones(sum(b.draft.size for b in parts), dtype=np.bool_)).tobytes()
    by_law: dict[Hashable, Option] = {}
    for option in grid.options():
        by_law.setdefault(_law(option, seen[option.beta], every), option)
    return list(by_law.values())
