"""The law of the next token: drawn by inverse CDF and evaluated, from logits, at a sampling temperature.

Whatever the dtype of the weights, logits become float64 before the softmax, in blocks of bounded memory: what is drawn
is what is scored, to rounding of float64. Shapes: M rows of logits, V ids, E draws or tokens, each at one row.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["BLOCK", "blocks_of", "drawn_tokens", "log_softmax", "token_log_probs"]

# A float64 block of this many numbers is 64 MiB: the bound on any (rows, vocabulary) temporary.
BLOCK = 1 << 23


def blocks_of(rows: int, vocabulary: int) -> list[slice]:
    """Slices that cut `rows` rows of logits into blocks of bounded memory."""
    size = max(1, BLOCK // vocabulary)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def log_softmax(logits: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (M, V) in nats, float64, of softmax(logits / temperature)."""
    wide = logits.to(torch.float64, memory_format=torch.contiguous_format, copy=True)
    return torch.log_softmax(wide.div_(temperature), dim=-1)


def drawn_tokens(logits: Tensor, at: Tensor, uniforms: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Draw i takes the first token whose float64 CDF at row `at[i]` exceeds `uniforms[i]` in [0, 1).

    Returns tokens (E,) int64 and their log-probabilities (E,) float64, nats. A token of mass zero is never drawn.
    """
    if logits.shape[0] * logits.shape[1] <= BLOCK and len(at) * logits.shape[1] <= BLOCK:
        return _drawn(logits, at, uniforms, temperature)
    tokens, logp = torch.empty_like(at), torch.empty_like(uniforms)
    for block in blocks_of(len(logits), logits.shape[1]):
        inside = ((at >= block.start) & (at < block.stop)).nonzero()[:, 0]
        for part in blocks_of(len(inside), logits.shape[1]):
            here = inside[part]
            tokens[here], logp[here] = _drawn(logits[block], at[here] - block.start, uniforms[here], temperature)
    return tokens, logp


def _drawn(logits: Tensor, at: Tensor, uniforms: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    log_probs = log_softmax(logits, temperature)
    cdf = log_probs.exp().cumsum_(dim=1)
    # Divided by its last entry the CDF ends at exactly 1, above every uniform, at the last token with mass.
    cdf /= cdf[:, -1:].clone()
    tokens = torch.searchsorted(cdf[at], uniforms[:, None], right=True)[:, 0]
    return tokens, log_probs[at, tokens]


def token_log_probs(pieces: Iterable[Tensor], at: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (E,) float64, nats, of `tokens` at rows `at` of logits that come piece by piece, in order."""
    result = torch.zeros(at.shape, dtype=torch.float64, device=at.device)
    start = 0
    for logits in pieces:
        laws = log_softmax(logits, temperature)
        if start == 0 and len(at) and int(at.max()) < len(logits):
            return laws[at, tokens]
        inside = ((at >= start) & (at < start + len(logits))).nonzero()[:, 0]
        result[inside] = laws[at[inside] - start, tokens[inside]]
        start += len(logits)
    return result
