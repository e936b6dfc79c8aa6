"""What drawing and scoring of one step takes in memory beyond the weights, from a model's shapes, before it is taken.

R prefixes of L tokens and n candidates of T tokens after each:

    2 R L k           keys and values of the prefixes, k bytes a token, once more while they grow or are selected
    2 P (L + N) k     of the prefixes in one forward (P of them) with their N ≤ nT tree nodes, once more while they grow
    2 R V b           logits of the next token after every prefix, b bytes a number
    P W V b + 48 B    logits of the widest level, W nodes, and six float64 blocks of B numbers in which laws are formed
    P N (6 d + 5 f) b + 4 P N (L + N) b    hidden states (width d, inner width f) and the mask of the attention

Engines outside this process (servers, vLLM) count their own. Estimates were 1.0 to 2 times what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from gsi_theory.arrays.memory import require_memory
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.forward import Forward
from llm_check.models.engines.next_token import BLOCK

__all__ = ["PART_BYTES", "TREE_COLUMNS", "TREE_TOKENS", "require_step_memory", "rows_at_once", "step_bytes"]

# Tokens of candidates that one forward may hold for a prefix: attention among them grows with the square.
TREE_TOKENS = 4096
# Columns of the buffer that the nodes of a prefix may take over all depths: attention reads them at every depth.
TREE_COLUMNS = 8192
# Tokens of candidates of all prefixes together in one forward.
_FORWARD_TOKENS = 1 << 15
# Keys, values and logits of all prefixes together in one forward.
PART_BYTES = 1 << 28


def _token_bytes(forward: Forward) -> float:
    layers, heads, width = forward.kv_shape
    return 2.0 * layers * heads * width * forward.dtype.itemsize


def _widest_level(n: int, tokens: int) -> int:
    return min(n, max(16, TREE_COLUMNS // tokens))


def rows_at_once(forward: Forward, prefix: int, n: int, tokens: int) -> int:
    """Prefixes of `prefix` tokens whose n candidates of `tokens` tokens go through the model together."""
    nodes = min(n * tokens, TREE_COLUMNS)
    level = _widest_level(n, tokens) * forward.vocabulary * forward.dtype.itemsize
    by_size = PART_BYTES // (_token_bytes(forward) * (prefix + nodes) + level)
    return max(1, min(_FORWARD_TOKENS // min(n * tokens, TREE_TOKENS), int(by_size)))


def step_bytes(forward: Forward, rows: int, prefix: int, n: int, tokens: int) -> float:
    """Bytes that a step takes on one model (see above)."""
    token, item, vocabulary = _token_bytes(forward), forward.dtype.itemsize, forward.vocabulary
    config = forward.module.config
    hidden, inner = config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    part = min(rows, rows_at_once(forward, prefix, n, tokens))
    nodes, scored = min(n * tokens, TREE_COLUMNS), min(n * tokens, TREE_TOKENS)
    caches = 2.0 * token * (rows * prefix + part * (prefix + nodes)) + 2.0 * rows * vocabulary * item
    level = part * _widest_level(n, tokens) * vocabulary
    laws = level * item + 48.0 * min(BLOCK, level)
    states = part * scored * (6.0 * hidden + 5.0 * inner + 4.0 * (prefix + scored)) * item
    return caches + laws + states


def require_step_memory(
    engines: Iterable[Engine], rows: int, prefix: int, n: int, rule: StepRule, named: str, cure: str
) -> None:
    """Raise InputError unless memory holds a step of n candidates after `rows` prefixes of up to `prefix` tokens on all
    of `engines`; `named` says by which of a user's numbers."""
    forwards = [getattr(engine, "forward", None) for engine in engines]
    need = sum(
        step_bytes(forward, rows, prefix, n, rule.max_tokens)
        for forward in forwards
        if isinstance(forward, Forward) and forward.device == torch.device("cpu")
    )
    what = f"{named}: {n} candidates of up to {rule.max_tokens} tokens after {rows} prefixes of up to {prefix} tokens"
    require_memory(need, what, cure)
