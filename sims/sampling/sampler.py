"""Monte Carlo sampler of every scheme, vectorized, in NumPy or torch.

It plays the scheme as written (M2)-(M6), (M9): draw n candidates from the draft, give each the score log w - log T,
take the largest, ask the gate, and on rejection draw n_base candidates from the base. Apart from the tilt
(`tilted_rewards`) it shares no code with the exact law, so that the two check each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from gsi_theory.errors import require_name
from gsi_theory.instance import Instance, Scheme, tilted_rewards
from gsi_theory.laws.selection_law import as_count
from gsi_theory.rules.rule import Rule
from gsi_theory.types import Array, Floats
from sims.sampling.aims import aimed
from sims.sampling.generators import Stream, as_stream

__all__ = ["NOISES", "AliasTable", "Scores", "alias_table", "draw", "noise", "sample_scheme", "winners"]


@dataclass(frozen=True)
class AliasTable:
    """Walker's table of a law's support: share kept by each column, its outcome, and the outcome it is shared with."""

    share: Array
    outcome: Array
    alias: Array


def alias_table(log_mass: Floats, stream: Stream) -> AliasTable:
    """The table of a law (K,), in the namespace of the stream."""
    support = np.flatnonzero(np.isfinite(log_mass))
    mass = np.exp(log_mass[support])
    share = mass / mass.sum() * support.size
    alias = np.arange(support.size)
    small = np.flatnonzero(share < 1.0).tolist()
    large = np.flatnonzero(share >= 1.0).tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        share[high] -= 1.0 - share[low]
        if share[high] < 1.0:
            small.append(large.pop())
    # What is left is 1 up to rounding.
    share[small + large] = 1.0
    return AliasTable(stream.table(share), stream.table(support), stream.table(support[alias]))


def draw(table: AliasTable, shape: tuple[int, ...], stream: Stream) -> Array:
    """Outcomes of the given shape, iid from the table's law; one uniform gives the column and the coin."""
    xp = stream.xp
    place = stream.uniform(shape) * table.share.shape[0]
    column = xp.astype(place, xp.int64)
    return xp.where(place - column < table.share[column], table.outcome[column], table.alias[column])


# -log T of each rule, for shapes and a stream: T ~ Exp(1) (softmax), or Uniform(0, 1), so that -log T ~ Exp(1) (race),
# or T constant (max). Rules are written out here once more, so that a mistake in the library's record shows.
NOISES: dict[str, Callable[[tuple[int, ...], Stream], Array]] = {
    "softmax": lambda shape, stream: -stream.xp.log(stream.exponential(shape)),
    "race": lambda shape, stream: stream.exponential(shape),
    "max": lambda shape, stream: 0.0,
}


def noise(rule: str | Rule, shape: tuple[int, ...], stream: Stream) -> Array:
    """-log T of a rule's draws. InputError for a rule that has no noise here."""
    require_name(str(rule), "rule", NOISES)
    return NOISES[str(rule)](shape, stream)


# scores of all draws of a round (R, n) from their log-weights
Scores = Callable[[Array, Stream], Array]


def _regularized(parameter: str) -> Scores:
    """Uniform numbers for the top ⌈n/M⌉ of a round by weight, M the parameter, -1 for the rest; ties by position."""

    def scores(log_weight: Array, stream: Stream) -> Array:
        kept = math.ceil(log_weight.shape[1] / Fraction(parameter))
        order = stream.xp.argsort(log_weight, axis=1, descending=True, stable=True)
        rank = stream.xp.argsort(order, axis=1, stable=True)
        return stream.xp.where(rank < kept, stream.uniform(log_weight.shape), -1.0)

    return scores


FAMILIES: dict[str, Callable[[str], Scores]] = {"regularized": _regularized}


def scores_of(rule: str | Rule) -> Scores:
    """What the largest of wins, by the tables of noises and families. InputError for a rule that is in neither."""
    kind, _, parameter = str(rule).partition(":")
    if kind in FAMILIES:
        return FAMILIES[kind](parameter)
    require_name(str(rule), "rule", NOISES)
    return lambda log_weight, stream: log_weight + noise(rule, log_weight.shape, stream)


def winners(
    table: AliasTable,
    weight: Array,
    n: int,
    rule: str | Rule | Scores,
    rounds: int,
    stream: Stream,
    chunk: int | None = None,
) -> tuple[Array, Array]:
    """Winner among n draws and its log-score, each (rounds,); at most about `chunk` candidates are held at a time.

    Ties go to the first position. Positions are exchangeable, so that is a position chosen uniformly among the tied.
    """
    xp, chunk = stream.xp, stream.chunk if chunk is None else chunk
    scores = scores_of(rule) if isinstance(rule, str | Rule) else rule
    # noise falls on each draw alone; other scores may compare all of them
    step = min(chunk, n) if str(rule) in NOISES else n
    parts: list[tuple[Array, Array]] = []
    rows = max(1, chunk // n)
    for start in range(0, rounds, rows):
        count = min(rows, rounds - start)
        line = xp.arange(count, device=getattr(stream, "device", None))
        for done in range(0, n, step):
            drawn = draw(table, (count, min(step, n - done)), stream)
            score = scores(weight[drawn], stream)
            at = xp.argmax(score, axis=1)
            top, chosen = score[line, at], drawn[line, at]
            if done:
                better = top > parts[-1][1]
                parts[-1] = xp.where(better, chosen, parts[-1][0]), xp.where(better, top, parts[-1][1])
            else:
                parts.append((chosen, top))
    return xp.concat([p[0] for p in parts]), xp.concat([p[1] for p in parts])


def sample_scheme(
    instance: Instance,
    scheme: Scheme,
    draws: int,
    rng: np.random.Generator | Stream,
    chunk: int | None = None,
    scores: Scores | None = None,
) -> tuple[Array, Array]:
    """Play `scheme` on `instance` independently `draws` times: (outcome (draws,), accepted (draws,)), of rng's kind.

    Without a threshold every round is accepted. `chunk` bounds the candidates held at once (memory), and is part of
    what fixes the stream. `scores`: of a rule that this module does not know. Raises InputError unless draws and chunk
    are whole numbers ≥ 1, and for a rule without noise here.
    """
    stream = as_stream(rng)
    xp, table = stream.xp, stream.table
    draws, chunk = as_count(draws, "draws"), None if chunk is None else as_count(chunk, "chunk")
    draft, base = instance.draft_candidates(), instance.base_candidates()
    own, beta, raised = aimed(instance, scheme)
    weight = table(raised + draft.log_ratio)
    drafts = alias_table(draft.log_mass, stream)
    outcome, score = winners(drafts, weight, scheme.n, scores or scheme.rule, draws, stream, chunk)
    if scheme.threshold is None:
        return outcome, xp.ones_like(outcome, dtype=xp.bool)
    if scheme.gate == "score":
        # The threshold is in reward units, the score in nats; an infinite threshold stays infinite at beta = 0.
        cut = beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        accepted = score >= cut
    else:
        accepted = table(tilted_rewards(own, draft.log_ratio, beta) >= scheme.threshold)[outcome]
    rejected = int(xp.sum(~accepted))
    if rejected:
        bases, weight = alias_table(base.log_mass, stream), table(raised)
        rule = scores or scheme.rule
        outcome[~accepted] = winners(bases, weight, scheme.base_draws, rule, rejected, stream, chunk)[0]
    return outcome, accepted
