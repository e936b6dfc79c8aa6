"""Hidden states of steps, for reward models: prefixes kept from step to step, shared by their steps.

A sequence is a tuple of pieces of token ids: all but the last are its prefix, the last is the step that is judged.
Prefixes of the last call are remembered, so that a solution's next step encodes the chosen step and the candidates
only, in one forward. Shapes: M sequences, R distinct prefixes, T tokens of the longest step, d hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsi_theory.errors import InputError
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.engines.forward import Forward, forward_of
from llm_check.models.engines.prefix_cache import PrefixCache, empty_cache, encode, extended, selected
from llm_check.models.engines.token_tree import shared_beginning, tree_of_steps
from llm_check.models.model_types import Module

__all__ = ["Pieces", "StepEncoder"]

Pieces = tuple[tuple[int, ...], ...]

# Tokens of steps in one forward.
_FORWARD_TOKENS = 8192


def _flat(pieces: Pieces) -> tuple[int, ...]:
    return pieces[0] if len(pieces) == 1 else tuple(token for piece in pieces for token in piece)


class StepEncoder:
    """A decoder of transformers without its head, and the prefixes of its last call."""

    def __init__(self, module: Module, name: str, lean: bool = True) -> None:
        """`module` is the model without its head (`model.base_model`); errors as `forward_of`."""
        self.forward: Forward = forward_of(module, name, lean)
        self._rows: dict[tuple[int, ...], int] = {}
        self._cache: PrefixCache | None = None

    def forget(self) -> None:
        """Drop the prefixes of the last call."""
        self._rows, self._cache = {}, None

    @torch.inference_mode()
    def last_hidden(self, sequences: Sequence[Pieces]) -> Tensor:
        """Hidden states (M, d) after the last token of every sequence, in the model's dtype.

        Raises InputError for no sequences, an empty prefix or step, an id outside the vocabulary, or a sequence longer
        than the context.
        """
        return self._read(sequences, _last)

    @torch.inference_mode()
    def last_and_mean(self, sequences: Sequence[Pieces]) -> Tensor:
        """Hidden states (M, 2, d) in float32: after the last token of every sequence, and their mean over the tokens of
        its last piece. Errors as `last_hidden`."""
        return self._read(sequences, _last_and_mean)

    def _read(self, sequences: Sequence[Pieces], read: Callable[[Tensor, NDArray[np.int64]], Tensor]) -> Tensor:
        """What `read` makes of the states of each sequence's last piece, in order."""
        if not sequences:
            raise InputError("last_hidden got no sequences: give at least one")
        flats = {pieces[:-1]: _flat(pieces[:-1]) if len(pieces) > 1 else () for pieces in sequences}
        row_of = {flat: row for row, flat in enumerate(dict.fromkeys(flats.values()))}
        rows = np.array([row_of[flats[pieces[:-1]]] for pieces in sequences])
        self._check(list(row_of), rows, sequences)
        cache = self._prefixes(flats, row_of)
        order = np.array(sorted(range(len(sequences)), key=lambda i: (rows[i], sequences[i][-1])))
        longest = max(len(pieces[-1]) for pieces in sequences)
        size = max(1, _FORWARD_TOKENS // (longest + 1))
        if len(order) > size:
            self._encode_pending(cache)
        out: list[Tensor] = []
        for start in range(0, len(order), size):
            part = order[start : start + size]
            used, local = np.unique(rows[part], return_inverse=True)
            here = cache if len(used) == cache.rows else selected(cache, used)
            out.append(read(*_states(here, local, [sequences[i][-1] for i in part])))
        self._rows, self._cache = row_of, cache
        back = torch.from_numpy(np.argsort(order)).to(self.forward.device)
        return torch.cat(out)[back]

    def _prefixes(self, flats: dict[Pieces, tuple[int, ...]], row_of: dict[tuple[int, ...], int]) -> PrefixCache:
        """The prefixes as a cache: grown from those of the last call where every one goes on from there."""
        starts: dict[tuple[int, ...], tuple[int, ...]] = {}
        for pieces, flat in flats.items():
            beginnings = (_flat(pieces[:k]) for k in range(len(pieces), 0, -1))
            starts[flat] = next((start for start in beginnings if start in self._rows), ())
        if self._cache is not None and all(starts.values()):
            cache = selected(self._cache, np.array([self._rows[starts[flat]] for flat in row_of]))
            rest = [flat[len(starts[flat]) :] for flat in row_of]
        else:
            cache, rest = self._begun(list(row_of))
        width = max(map(len, rest))
        if not width:
            return cache
        ids = np.array([(0,) * (width - len(part)) + part for part in rest], dtype=np.int64)
        real = np.arange(width) >= width - np.array(list(map(len, rest)))[:, None]
        if cache.pending.shape[1]:
            self._encode_pending(cache)
        return extended(cache, ids, real)

    def _begun(self, rows: list[tuple[int, ...]]) -> tuple[PrefixCache, list[tuple[int, ...]]]:
        """A new cache of these rows and what of each is still to come: what all begin with (a system turn, answered
        examples) is encoded once."""
        shared = shared_beginning(rows)
        if len(rows) == 1 or not shared:
            return empty_cache(self.forward, len(rows)), rows
        start = np.array([rows[0][:shared]], dtype=np.int64)
        first = extended(empty_cache(self.forward, 1), start, np.ones(start.shape, dtype=bool))
        self._encode_pending(first)
        return selected(first, np.zeros(len(rows), dtype=np.int64)), [row[shared:] for row in rows]

    def _encode_pending(self, cache: PrefixCache) -> None:
        if cache.pending.shape[1]:
            encode(cache, None, None, None, 0, head=False)

    def _check(self, flats: list[tuple[int, ...]], rows: NDArray[np.int64], sequences: Sequence[Pieces]) -> None:
        vocabulary, context = self.forward.vocabulary, self.forward.context
        for flat in flats:
            if not flat:
                raise InputError("last_hidden got an empty prefix: give at least one token before the step")
            if min(flat) < 0 or max(flat) >= vocabulary:
                raise InputError(f"the reward model got token ids {list(flat)}: use ids in 0..{vocabulary - 1}")
        for row, pieces in zip(rows.tolist(), sequences, strict=True):
            step = pieces[-1]
            if not step:
                raise InputError(f"last_hidden got an empty step after {list(flats[row])}: give at least one token")
            if min(step) < 0 or max(step) >= vocabulary:
                raise InputError(f"the reward model got token ids {list(step)}: use ids in 0..{vocabulary - 1}")
            if len(flats[row]) + len(step) > context:
                raise InputError(
                    f"the reward model got {len(flats[row]) + len(step)} tokens, and its context holds {context}: "
                    "allow fewer or shorter steps"
                )


def _states(
    cache: PrefixCache, rows: NDArray[np.int64], steps: list[tuple[int, ...]]
) -> tuple[Tensor, NDArray[np.int64]]:
    """Hidden states (nodes, d), and which of them (M, T) stand after each token of step i, which follows prefix
    `rows[i]`; -1 beyond its last token. Rows are sorted."""
    counts = np.bincount(rows, minlength=cache.rows)
    slot = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    longest = max(map(len, steps))
    # One more token than the step has, so that its last token becomes a node too.
    tokens = np.full((cache.rows, int(counts.max()), longest + 1), PAD)
    for row, place, step in zip(rows.tolist(), slot.tolist(), steps, strict=True):
        tokens[row, place, : len(step)] = step
        tokens[row, place, len(step)] = 0
    tree, after = tree_of_steps(tokens)
    hidden = encode(cache, tree.tokens, tree.depth, tree.sees, tree.tokens.shape[1], head=False)
    nodes = after[rows, slot, 1:]
    return hidden.flatten(0, 1), np.where(nodes < 0, -1, rows[:, None] * tree.tokens.shape[1] + nodes)


def _last(hidden: Tensor, nodes: NDArray[np.int64]) -> Tensor:
    lengths = (nodes >= 0).sum(axis=1)
    at = nodes[np.arange(len(nodes)), lengths - 1]
    return hidden[torch.from_numpy(at).to(hidden.device)]


def _last_and_mean(hidden: Tensor, nodes: NDArray[np.int64]) -> Tensor:
    at = torch.from_numpy(nodes).to(hidden.device)
    real = (at >= 0)[:, :, None]
    mean = (hidden[at.clamp(min=0)].float() * real).sum(dim=1) / real.sum(dim=1)
    return torch.stack([_last(hidden, nodes).float(), mean], dim=1)
