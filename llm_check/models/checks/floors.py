"""What a step of n candidates costs at least: operations and bytes of its parts, at rates that this machine shows.

Rates are the best of a few runs, in the threads that are set: operations a second of a product of two square matrices
in the dtype of the weights, bytes a second of a copy, entries a second of a log-softmax in float64. A part takes the
larger of operations over their rate and bytes over theirs; the parts add up. Tokens are those of the tree that the
candidates span, since a prefix that several share is computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from gsi_theory.types import Ints, Record
from llm_check.models.engines.next_token import log_softmax
from llm_check.models.model_types import Module

__all__ = ["Rates", "Size", "distinct_prefixes", "floor_rows", "measured_rates", "size_of"]

_SIDE, _COPIED, _ROWS, _RUNS = 1024, 1 << 26, 32, 5


class Rates(NamedTuple):
    """A second: operations of products, bytes copied (read and written), entries of a log-softmax in float64."""

    operations: float
    bytes: float
    entries: float


class Size(NamedTuple):
    """Of a model: parameters of its layers and of its head over the vocabulary, ids, bytes of a parameter, and
    operations of attention for a token and a token before it."""

    layers: float
    head: float
    vocabulary: int
    width: int
    attention: float


@torch.inference_mode()
def measured_rates(dtype: torch.dtype, vocabulary: int, device: torch.device) -> Rates:
    """Rates of `device` for weights of `dtype`."""

    def seconds(call: Callable[[], object]) -> float:
        taken = []
        for _ in range(_RUNS + 1):
            began = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - began)
        return min(taken[1:])

    square = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
    source, target = (torch.ones(_COPIED, dtype=torch.uint8, device=device) for _ in range(2))
    logits = torch.zeros(_ROWS, vocabulary, dtype=dtype, device=device)
    return Rates(
        2.0 * _SIDE**3 / seconds(lambda: square @ square),
        2.0 * _COPIED / seconds(lambda: target.copy_(source)),
        logits.numel() / seconds(lambda: log_softmax(logits, 1.0)),
    )


def size_of(model: Module) -> Size:
    """Counted from the weights: tables of ids take no operations, but for the head."""
    head = model.get_output_embeddings().weight
    tables = {id(head), id(model.get_input_embeddings().weight)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in tables]
    config = model.config
    heads = config.num_attention_heads
    across = (getattr(config, "head_dim", None) or config.hidden_size // heads) * heads
    attention = 4.0 * config.num_hidden_layers * across
    return Size(float(sum(p.numel() for p in matrices)), float(head.numel()), len(head), head.element_size(), attention)


def distinct_prefixes(tokens: Ints) -> int:
    """Of steps (n, T), padded behind their ends with numbers below 0: prefixes of 1 to T − 1 tokens after which a step
    goes on, each once."""
    length = tokens.shape[1]
    return sum(len(np.unique(tokens[tokens[:, t] >= 0][:, :t], axis=0)) for t in range(1, length))


def floor_rows(draft: Size, base: Size, tokens: Ints, before: int, new: int, rates: Rates) -> list[Record]:
    """Parts of one step: tokens (n, T) as `distinct_prefixes` takes them, after `before` tokens, of which neither model
    has read the last `new`. part, operations, bytes, seconds of each.

    The draft goes through its weights T times, the base once; both read the law after every distinct prefix.
    """
    length, nodes = tokens.shape[1], distinct_prefixes(tokens)
    context, laws = before + length / 2.0, nodes + 1
    rows = []
    for name, size, passes in (("draft", draft, length), ("base", base, 1)):
        read = nodes + new
        parts = (
            ("layers", 2.0 * size.layers * read, size.width * size.layers * passes),
            ("attention", size.attention * context * read, 0.0),
            ("head over the vocabulary", 2.0 * size.head * laws, size.width * size.head * passes),
        )
        for part, operations, moved in parts:
            seconds = max(operations / rates.operations, moved / rates.bytes)
            rows.append({"part": f"{name}: {part}", "operations": operations, "bytes": moved, "seconds": seconds})
        entries = float(laws * size.vocabulary)
        rows.append(
            {
                "part": f"{name}: log-softmax in float64",
                "operations": entries,
                "bytes": size.width * entries,
                "seconds": entries / rates.entries,
            }
        )
    return rows
