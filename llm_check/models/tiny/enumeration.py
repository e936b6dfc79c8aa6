"""All next steps of a language model with their exact probabilities: what no large model can offer.

The token trie under one prefix is grown level by level; a level's open paths are encoded as trees over the one
prefix cache, which no path copies. A path is a leaf when the step rule closes it (delimiter, eos, or the cap on its
length), so with tolerance 0 the trie closes at the cap and no mass is missing. With tolerance > 0 the least probable
paths, at most that mass in all, are left out and reported as `missing_mass`.

Shapes: M leaves, T = rule.max_tokens. Log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, finish_reasons
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.transformers_engine import TransformersEngine

MAX_LEAVES = 2_000_000
# Children of a level, kept or not: seven arrays of so many numbers are held at once, 2 GB.
_MAX_CHILDREN = 1 << 25

__all__ = ["MAX_LEAVES", "StepTrie", "enumerate_steps", "joined", "locate", "score_trie"]


@dataclass(frozen=True)
class StepTrie:
    """The leaves: `tokens` (M, T) int32 padded with PAD, `logp` (M,) nats, `finish` (M,), and the mass left out.

    Leaves are sorted by their tokens, so equal arguments give equal arrays.
    """

    tokens: NDArray[np.int32]
    logp: NDArray[np.float64]
    finish: NDArray[np.str_]
    missing_mass: float

    @cached_property
    def steps(self) -> list[tuple[int, ...]]:
        """The leaves as tuples of token ids."""
        lengths = (self.tokens != PAD).sum(axis=1)
        return [tuple(row[:k]) for row, k in zip(self.tokens.tolist(), lengths.tolist(), strict=True)]

    def locate(self, tokens: NDArray[np.integer]) -> NDArray[np.int64]:
        """The leaf of each step of `tokens` (..., T), padded with PAD; -1 where a step is no leaf (left out)."""
        return locate(self.tokens, tokens)


def locate(leaves: NDArray[np.int32], tokens: NDArray[np.integer]) -> NDArray[np.int64]:
    """The row of `leaves` (M, T) that each step of `tokens` (..., T') is, -1 for none; both padded with PAD."""
    places = {row.tobytes(): i for i, row in enumerate(leaves)}
    rows = np.full((*tokens.shape[:-1], leaves.shape[1]), PAD, dtype=np.int32)
    rows[..., : tokens.shape[-1]] = tokens
    indices = [places.get(row.tobytes(), -1) for row in rows.reshape(-1, leaves.shape[1])]
    return np.array(indices, dtype=np.int64).reshape(tokens.shape[:-1])


@dataclass(frozen=True)
class _Level:
    """Open paths of one length: `tokens` (U, depth), `logp` (U,), `state` (U,) of the step rule, and the law of their
    next tokens (U, V)."""

    tokens: NDArray[np.int32]
    logp: NDArray[np.float64]
    state: NDArray[np.integer]
    law: NDArray[np.float64]


def _kept(logp: NDArray[np.float64], budget: float) -> NDArray[np.bool_]:
    """All but the least probable paths, dropping as many as a mass of `budget` allows; mass 0 is always dropped."""
    mass = np.exp(logp)
    order = np.argsort(mass, kind="stable")
    kept = np.empty(len(mass), dtype=bool)
    kept[order] = np.cumsum(mass[order]) > budget
    return kept


def enumerate_steps(
    engine: TransformersEngine,
    prefix: list[int],
    rule: StepRule,
    tolerance: float = 0.0,
    max_leaves: int = MAX_LEAVES,
) -> StepTrie:
    """Every next step after `prefix` (token ids) with its log-probability; at most `tolerance` of mass left out.

    Each level may drop an equal share of what is left of the tolerance, least probable paths first.
    Raises InputError for a tolerance outside [0, 1) or a trie of more than `max_leaves` paths.
    """
    if not 0.0 <= tolerance < 1.0:
        raise InputError(f"enumerate_steps got tolerance {tolerance}: give a mass in [0, 1)")
    start = engine.prefill([prefix])
    state = np.full(1, rule.start_state)
    level = _Level(np.zeros((1, 0), dtype=np.int32), np.zeros(1), state, engine.log_probs(start))
    leaves: list[tuple[NDArray[np.int32], NDArray[np.float64]]] = []
    leaf_count, missing = 0, 0.0
    for depth in range(1, rule.max_tokens + 1):
        every = (level.logp[:, None] + level.law).ravel()
        is_kept = _kept(every, (tolerance - missing) / (rule.max_tokens + 1 - depth))
        missing += float(np.exp(every[~is_kept]).sum())
        kept = np.flatnonzero(is_kept)
        logp = every[kept]
        parents, added = np.divmod(kept, engine.vocabulary)
        tokens = np.column_stack([level.tokens[parents], added.astype(np.int32)])
        state, closed = rule.advance(level.state[parents], added)
        closed |= depth == rule.max_tokens
        padded = np.full((int(closed.sum()), rule.max_tokens), PAD, dtype=np.int32)
        padded[:, :depth] = tokens[closed]
        leaves.append((padded, logp[closed]))
        leaf_count += len(padded)
        is_open = ~closed
        many = int(is_open.sum())
        if leaf_count + many > max_leaves or (depth < rule.max_tokens and many * engine.vocabulary > _MAX_CHILDREN):
            raise InputError(
                f"{leaf_count + many:,} next steps begun at token {depth} of {rule.max_tokens}, of a vocabulary of "
                f"{engine.vocabulary:,}, with tolerance {tolerance:g}: no list holds them all; raise the tolerance, or "
                "take shorter steps (--step tokens:1)"
            )
        if not many:
            break
        law = engine.log_probs_after(start, tokens[is_open])
        level = _Level(tokens[is_open], logp[is_open], state[is_open], law)
    return _sorted_trie(np.concatenate([t for t, _ in leaves]), np.concatenate([p for _, p in leaves]), rule, missing)


def _sorted_trie(tokens: NDArray[np.int32], logp: NDArray[np.float64], rule: StepRule, missing: float) -> StepTrie:
    order = np.lexsort(tokens.T[::-1])
    return StepTrie(tokens[order], logp[order], finish_reasons(tokens[order], rule), missing)


def joined(engine: Engine, prefix: list[int], tries: Sequence[StepTrie]) -> StepTrie:
    """The leaves of several tries of one rule, each once, with log-probabilities under `engine`."""
    tokens, first = np.unique(np.concatenate([trie.tokens for trie in tries]), axis=0, return_index=True)
    finish = np.concatenate([trie.finish for trie in tries])[first]
    every = StepTrie(tokens, np.zeros(len(tokens)), finish, 0.0)
    logp = score_trie(engine, prefix, every)
    return StepTrie(tokens, logp, finish, max(0.0, 1.0 - float(np.exp(logp).sum())))


def score_trie(engine: Engine, prefix: list[int], trie: StepTrie) -> NDArray[np.float64]:
    """Log-probabilities (M,) of the leaves of `trie` under another model, each shared partial step encoded once."""
    scored: NDArray[np.float64] = engine.score(engine.prefill([prefix]), trie.tokens[None])[0].sum(axis=1)
    return scored
