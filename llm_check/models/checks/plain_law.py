"""The law of next tokens by transformers' own forward: what draws and scores of any engine are held against.

Nothing here is shared with `llm_check.models.engines`: the position is encoded by the module, its cache is repeated for
a block of steps, and these take one forward. Blocks are as large as bounded memory allows, whatever the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gsi_theory.types import Floats
from llm_check.models.model_types import Module

__all__ = ["PlainLaw"]

# Numbers of a block of laws (m, T + 1, V): 32 MiB in float64, and several times that in what is made of it.
_BLOCK = 1 << 22


class PlainLaw:
    """The law after `prefix` (token ids) under a causal language model of transformers, at a temperature."""

    @torch.inference_mode()
    def __init__(self, model: Module, prefix: Sequence[int], temperature: float = 1.0) -> None:
        ids = torch.tensor([list(prefix)], device=model.device)
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        self._model, self._cache, self._temperature = model, out.past_key_values, temperature
        self._root = torch.log_softmax(out.logits[0, -1].double() / temperature, -1).cpu().numpy()

    @property
    def vocabulary(self) -> int:
        """Number of logits, V."""
        return int(self._root.size)

    @torch.inference_mode()
    def along(self, steps: NDArray[np.integer]) -> Iterator[tuple[slice, Floats]]:
        """Block by block of steps (M, T), padded: which rows, and the law (m, T + 1, V) before each token and after the
        last; behind the end of a shorter step it means nothing."""
        count, depth = steps.shape
        size = max(1, _BLOCK // ((depth + 1) * self._root.size))
        for start in range(0, count, size):
            part = np.maximum(steps[start : start + size], 0).astype(np.int64)
            laws = np.empty((len(part), depth + 1, self._root.size))
            laws[:, 0] = self._root
            if depth:
                cache = copy.deepcopy(self._cache)
                cache.batch_repeat_interleave(len(part))
                ids = torch.from_numpy(part).to(self._model.device)
                logits = self._model(input_ids=ids, past_key_values=cache, use_cache=True).logits
                laws[:, 1:] = torch.log_softmax(logits.double() / self._temperature, -1).cpu().numpy()
            yield slice(start, start + len(part)), laws
