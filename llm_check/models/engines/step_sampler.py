"""Steps drawn token by token from a transformers model, all candidates of all prefixes at once.

Candidates that agree so far are one node of a tree (`llm_check.models.engines.token_tree`): each depth encodes the
distinct nodes only. Where a depth has more nodes than one forward should hold, its groups are finished one after
another, so that memory does not grow with the number of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps
from llm_check.models.engines.engine_memory import TREE_COLUMNS
from llm_check.models.engines.forward import Forward
from llm_check.models.engines.next_token import drawn_tokens
from llm_check.models.engines.prefix_cache import PrefixCache, encode
from llm_check.models.engines.token_tree import grow_level

__all__ = ["sample_steps"]


@dataclass(frozen=True)
class _Group:
    """Candidates of equal length whose last token is to be encoded.

    depth: tokens that each has
    row, candidate: which they are
    parent: the node after which the last token stands (-1: the prefix)
    token: the last token
    state: of the step rule
    sees: what the level of the parents sees, its nodes last (R, N, W)
    """

    depth: int
    row: NDArray[np.int64]
    candidate: NDArray[np.int64]
    parent: NDArray[np.int64]
    token: NDArray[np.int64]
    state: NDArray[np.int64]
    sees: NDArray[np.bool_]

    def only(self, chosen: NDArray[np.bool_]) -> _Group:
        """The chosen candidates."""
        row, candidate = self.row[chosen], self.candidate[chosen]
        parent, token, state = self.parent[chosen], self.token[chosen], self.state[chosen]
        return _Group(self.depth, row, candidate, parent, token, state, self.sees)


@dataclass(frozen=True)
class _Draws:
    """What is being drawn: `uniforms` (R, n, T) and the results."""

    uniforms: NDArray[np.float64]
    tokens: NDArray[np.int32]
    token_logp: NDArray[np.float64]
    closed: NDArray[np.bool_]
    rule: StepRule
    temperature: float

    def next_token(
        self, logits: torch.Tensor, at: NDArray[np.int64], group: _Group, node: NDArray[np.int64]
    ) -> _Group | None:
        """Draw a token for each candidate of `group`, now at `node` with row `at` of `logits`; the group of those that
        go on."""
        place = group.row, group.candidate, group.depth
        rows, uniforms = (torch.from_numpy(array).to(logits.device) for array in (at, self.uniforms[place]))
        draws = drawn_tokens(logits, rows, uniforms, self.temperature)
        drawn, logp = (part.cpu().numpy() for part in draws)
        self.tokens[place], self.token_logp[place] = drawn, logp
        state, closed = self.rule.advance(group.state, drawn)
        self.closed[group.row, group.candidate] = closed
        if group.depth + 1 == self.rule.max_tokens or closed.all():
            return None
        grown = _Group(group.depth + 1, group.row, group.candidate, node, drawn, state.astype(np.int64), group.sees)
        return grown.only(~closed) if closed.any() else grown


@torch.inference_mode()
def sample_steps(
    forward: Forward, cache: PrefixCache, uniforms: NDArray[np.float64], rule: StepRule, temperature: float
) -> Steps:
    """Steps drawn with `uniforms` (R, n, T), number (b, i, t) for token t of candidate i of prefix b."""
    count, n, cap = uniforms.shape
    tokens = np.full(uniforms.shape, PAD, dtype=np.int32)
    draws = _Draws(uniforms, tokens, np.zeros(uniforms.shape), np.zeros((count, n), bool), rule, temperature)
    row, candidate = np.repeat(np.arange(count), n), np.tile(np.arange(n), count)
    root, start = np.full(count * n, -1), np.full(count * n, rule.start_state)
    group = _Group(0, row, candidate, root, root, start, np.zeros((count, 0, 0), bool))
    stack = [draws.next_token(cache.logits, row, group, root)]
    most = max(16, TREE_COLUMNS // cap)
    while stack:
        at = stack.pop()
        if at is not None:
            stack.extend(_one_forward(forward, cache, draws, at, min(most, n) * (cap - 1), most))
    lengths = (tokens != PAD).sum(axis=2)
    last = np.take_along_axis(tokens, lengths[..., None] - 1, axis=2)[..., 0]
    return Steps(tokens, draws.token_logp, rule.finish_at(last, draws.closed, lengths == cap))


def _one_forward(
    forward: Forward, cache: PrefixCache, draws: _Draws, group: _Group, room: int, most: int
) -> list[_Group | None]:
    """Encode a group's nodes and draw its next tokens; or split it, where its nodes are more than `most`."""
    parents, first = group.sees.shape[1:]
    count = cache.rows
    level, node = grow_level(group.row, group.parent, group.token, first, count)
    width = level.tokens.shape[1]
    if width > most:
        part = (node - first) // most
        return [group.only(part == k) for k in range(int(part.max()), -1, -1)]
    sees = np.zeros((count, width, first + width), dtype=bool)
    if first:
        above = np.maximum(level.parents - (first - parents), 0)  # a missing node sees what nobody reads
        sees[:, :, :first] = group.sees[np.arange(count)[:, None], above]
    sees[:, np.arange(width), first + np.arange(width)] = True
    features = encode(cache, level.tokens, np.full((count, width), group.depth - 1), sees, room)
    at = group.row * width + node - first
    here = _Group(group.depth, group.row, group.candidate, node, group.token, group.state, sees)
    return [draws.next_token(forward.logits(features.flatten(0, 1)), at, here, node)]
