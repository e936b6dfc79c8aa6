"""Steps drawn with buffers of fixed shape, for a GPU: one decoding step is one CUDA graph, replayed token by token.

The same law, uniforms and results as `llm_check.models.engines.step_sampler`, without what a graph cannot do: all
candidates are encoded at every depth, closed ones too, and nothing waits for the host until a whole run of tokens is
drawn. On a device without graphs the same step runs operation by operation.

Columns of the buffer: those of the prefix, up to `prefix`, then n for each depth. Shapes: R prefixes, n candidates,
T tokens, C columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps
from llm_check.models.engines.forward import Forward
from llm_check.models.engines.next_token import blocks_of, drawn_tokens
from llm_check.models.engines.prefix_cache import PrefixCache

__all__ = ["FixedSampler", "FixedSamplers"]

# Prefixes are rounded up to this many columns, so that a graph serves many steps of a solution; attention kernels
# want multiples of 8 anyway.
_ROUND = 256
# Tokens between two looks at whether any candidate is still open.
_LOOK = 16
# Samplers kept: each holds a buffer.
_KEPT = 4


class FixedSampler:
    """Buffers for R prefixes of up to `prefix` columns, n candidates and one step rule, and the captured step."""

    def __init__(self, forward: Forward, shape: tuple[int, int], prefix: int, rule: StepRule, temperature: float):
        rows, n = shape
        self.forward, self.rule, self.temperature, self.prefix = forward, rule, temperature, prefix
        device, cap = forward.device, rule.max_tokens
        columns = -(-(prefix + n * cap) // 8) * 8
        self.kv = forward.buffer(rows, columns).zero_()
        self.bias = torch.empty((rows, 1, n, columns), dtype=forward.dtype, device=device)
        self.index = torch.arange(n, device=device)
        self.each = torch.arange(rows * n, device=device)
        self.zero = torch.zeros((), dtype=forward.dtype, device=device)
        self.table = torch.from_numpy(rule.table.astype(np.int64)).to(device)
        self.token, self.position = (torch.zeros((rows, n), dtype=torch.int64, device=device) for _ in range(2))
        self.at, self.depth = torch.zeros_like(self.index), torch.zeros(1, dtype=torch.int64, device=device)
        self.state, self.open = torch.zeros_like(self.each), torch.ones_like(self.each, dtype=torch.bool)
        self.uniforms = torch.zeros((cap, rows * n), dtype=torch.float64, device=device)
        self.tokens = torch.zeros((cap, rows * n), dtype=torch.int64, device=device)
        self.token_logp = torch.zeros_like(self.uniforms)
        self._replay: Callable[[], None] | None = None

    def _start(self, cache: PrefixCache, uniforms: NDArray[np.float64]) -> None:
        """Fill the buffers for these prefixes and uniforms (R, n, T), and draw the first tokens."""
        rows, n, cap = uniforms.shape
        used = cache.mask.shape[1]
        logits = cache.logits
        self.kv[..., :used, :] = cache.kv[..., :used, :]
        self.bias.fill_(-torch.inf)
        mask = np.where(cache.mask, np.float32(0), np.float32(-np.inf))
        self.bias[..., :used] = torch.from_numpy(mask).to(self.bias)[:, None, None]
        lengths = torch.from_numpy(cache.lengths).to(self.position)
        self.position.copy_(lengths[:, None].expand(rows, n) - 1)
        self.at.copy_(self.prefix - n + self.index)
        self.depth.zero_()
        self.state.fill_(self.rule.start_state)
        self.open.fill_(True)
        self.tokens.fill_(PAD)
        self.token_logp.zero_()
        self.uniforms.copy_(torch.from_numpy(np.ascontiguousarray(uniforms.reshape(rows * n, cap).T)))
        self._draw(logits.repeat_interleave(n, dim=0))

    def _draw(self, logits: Tensor) -> None:
        """Draw and record one token for every open candidate, candidate i from row i of `logits` (R n, V)."""
        uniforms = self.uniforms.index_select(0, self.depth)[0]
        parts = [
            drawn_tokens(logits[part], self.each[: part.stop - part.start], uniforms[part], self.temperature)
            for part in blocks_of(*logits.shape)
        ]
        drawn, logp = (torch.cat(side) for side in zip(*parts, strict=True))
        self.tokens.index_copy_(0, self.depth, torch.where(self.open, drawn, PAD)[None])
        self.token_logp.index_copy_(0, self.depth, torch.where(self.open, logp, 0.0)[None])
        after = self.table[self.state, drawn.clamp_max(self.table.shape[1] - 1)]
        self.open.logical_and_(after >= 0)
        self.state.copy_(after.clamp_min(0))
        self.token.copy_(drawn.view_as(self.token))
        self.position.add_(1)
        self.at.add_(len(self.index))
        self.depth.add_(1)

    def _step(self) -> None:
        """Encode the last tokens and draw the next ones."""
        self.bias[:, 0, self.index, self.at] = self.zero
        # A closed candidate may run past the context; nobody reads it.
        position = self.position.clamp_max(self.forward.context - 1)
        features = self.forward.features(self.token, position, self.bias, self.kv, self.at, len(self.index))
        self._draw(self.forward.logits(features).flatten(0, 1))

    def _capture(self, cache: PrefixCache, uniforms: NDArray[np.float64]) -> Callable[[], None]:
        """The step as a replayable graph; the operations themselves where there are no graphs."""
        if self.forward.device.type != "cuda":
            return self._step
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # kernels are chosen and workspaces allocated before the capture
                self._start(cache, uniforms)
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self._start(cache, uniforms)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay

    @torch.inference_mode()
    def sample(self, cache: PrefixCache, uniforms: NDArray[np.float64]) -> Steps:
        """As `sample_steps`."""
        rows, n, cap = uniforms.shape
        if self._replay is None and cap > 1:
            self._replay = self._capture(cache, uniforms)
        self._start(cache, uniforms)
        for depth in range(1, cap):
            if depth % _LOOK == 0 and not bool(self.open.any()):
                break
            assert self._replay is not None
            self._replay()
        tokens = self.tokens.T.reshape(rows, n, cap).to(torch.int32).cpu().numpy()
        closed = ~self.open.view(rows, n).cpu().numpy()
        lengths = (tokens != PAD).sum(axis=2)
        last = np.take_along_axis(tokens, lengths[..., None] - 1, axis=2)[..., 0]
        logp = self.token_logp.T.reshape(rows, n, cap).cpu().numpy()
        return Steps(tokens, logp, self.rule.finish_at(last, closed, lengths == cap))


@dataclass
class FixedSamplers:
    """The samplers of one engine, by shape; the least recently used is dropped with its buffer."""

    forward: Forward
    temperature: float
    kept: dict[tuple[int, int, int, int], FixedSampler] = field(default_factory=dict)

    def sample(self, cache: PrefixCache, uniforms: NDArray[np.float64], rule: StepRule) -> Steps:
        """As `sample_steps`, by the sampler of this shape and rule, made where there is none."""
        _ = cache.logits
        rows, n, _ = uniforms.shape
        prefix = -(-cache.mask.shape[1] // _ROUND) * _ROUND
        key = (rows, n, prefix, id(rule))
        found = self.kept.pop(key, None)
        if found is None or found.rule is not rule:
            while len(self.kept) >= _KEPT:
                self.kept.pop(next(iter(self.kept)))
            found = FixedSampler(self.forward, (rows, n), prefix, rule, self.temperature)
        self.kept[key] = found
        return found.sample(cache, uniforms)
