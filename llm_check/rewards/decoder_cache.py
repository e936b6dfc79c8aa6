"""Hidden states of a decoder at the ends of many sequences that share prefixes, each prefix encoded once.

A sequence is a tuple of pieces (the header, then every step with its step token). All pieces but the last are its
prefix. Keys and values of prefixes are kept, least recently used out first, within a bound on bytes: at the next step
of a solution only the chosen step is encoded again, then the candidates. Shapes: B prefixes, M sequences, H heads,
L tokens, D numbers a head. Padding is at the left, masked, and positions are explicit, so it moves no number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["Decoder", "Pieces"]

Pieces = tuple[tuple[int, ...], ...]
# One prefix: per layer keys and values (H, L, D).
_Layers = tuple[tuple[Tensor, Tensor], ...]

# Bytes of keys and values in one forward, and kept between calls.
_FORWARD_BYTES = 4 << 30
_KEPT_BYTES = 2 << 30


def _flat(pieces: Pieces) -> tuple[int, ...]:
    return tuple(token for piece in pieces for token in piece)


def _bytes(layers: _Layers) -> int:
    return sum(part.numel() * part.element_size() for layer in layers for part in layer)


@dataclass(frozen=True)
class Decoder:
    """A decoder without its head, and the prefixes it has encoded."""

    model: Any
    kept_bytes: int = _KEPT_BYTES
    forward_bytes: int = _FORWARD_BYTES
    _kept: OrderedDict[tuple[int, ...], _Layers] = field(default_factory=OrderedDict, repr=False, compare=False)

    @torch.inference_mode()
    def last_hidden(self, sequences: Sequence[Pieces]) -> Tensor:
        """Hidden states (M, width) after the last token of every sequence, in float32."""
        prefixes = list(dict.fromkeys(pieces[:-1] for pieces in sequences))
        encoded = self._encode(prefixes)
        row_of = {prefix: row for row, prefix in enumerate(prefixes)}
        # Short beside short: less padding. The order does not change what is computed for a sequence.
        order = sorted(range(len(sequences)), key=lambda i: (row_of[sequences[i][:-1]], len(sequences[i][-1])))
        out: list[Tensor | None] = [None] * len(sequences)
        for part in self._parts(order, sequences):
            used = sorted({row_of[sequences[i][:-1]] for i in part})
            past = [encoded[row] for row in used]
            rows = [used.index(row_of[sequences[i][:-1]]) for i in part]
            hidden = self._forward(past, rows, [sequences[i][-1] for i in part])[0].last_hidden_state
            for place, i in enumerate(part):
                out[i] = hidden[place, -1].float()
        self._forget()
        return torch.stack([state for state in out if state is not None])

    def _parts(self, order: list[int], sequences: Sequence[Pieces]) -> list[list[int]]:
        """`order` cut so that no forward holds more keys and values than the bound."""
        config = self.model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        size = torch.empty((), dtype=self.model.dtype).element_size()
        per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * width * size
        parts: list[list[int]] = [[]]
        longest = 0
        for i in order:
            longest = max(longest, sum(map(len, sequences[i])))
            if parts[-1] and (len(parts[-1]) + 1) * longest * per_token > self.forward_bytes:
                parts.append([])
                longest = sum(map(len, sequences[i]))
            parts[-1].append(i)
        return parts

    def _encode(self, prefixes: list[Pieces]) -> list[_Layers]:
        """Keys and values of every prefix: kept ones, and the others grown from their longest kept beginning."""
        found: dict[Pieces, _Layers] = {}
        grow: list[tuple[Pieces, _Layers, tuple[int, ...]]] = []
        for prefix in prefixes:
            known = next((k for k in range(len(prefix), 0, -1) if _flat(prefix[:k]) in self._kept), 0)
            start = _flat(prefix[:known])
            layers = self._kept[start] if known else ()
            if known:
                self._kept.move_to_end(start)
            if known == len(prefix):
                found[prefix] = layers
            else:
                grow.append((prefix, layers, _flat(prefix[known:])))
        for part in self._parts(list(range(len(grow))), [prefix for prefix, _, _ in grow]):
            if not part:
                continue
            chosen = [grow[i] for i in part]
            past = [layers for _, layers, _ in chosen]
            result, real = self._forward(past, list(range(len(part))), [tokens for *_, tokens in chosen])
            for i, (prefix, _, _) in enumerate(chosen):
                grown = result.past_key_values.layers
                layers = tuple((layer.keys[i][:, real[i]], layer.values[i][:, real[i]]) for layer in grown)
                found[prefix] = self._kept[_flat(prefix)] = layers
        return [found[prefix] for prefix in prefixes]

    def _forget(self) -> None:
        total = sum(map(_bytes, self._kept.values()))
        while total > self.kept_bytes and self._kept:
            total -= _bytes(self._kept.popitem(last=False)[1])

    def _forward(self, past: list[_Layers], rows: list[int], tokens: list[tuple[int, ...]]) -> tuple[Any, Tensor]:
        """The decoder's output for `tokens`, sequence i after the prefix `past[rows[i]]`, and which columns (M, L) of
        its keys and values are no padding."""
        device = self.model.device
        before = torch.tensor([past[row][0][0].shape[1] if past[row] else 0 for row in rows], device=device)
        width, longest = max(map(len, tokens)), int(before.max())
        ids = torch.tensor([(0,) * (width - len(part)) + part for part in tokens], device=device)
        new = torch.tensor([[False] * (width - len(part)) + [True] * len(part) for part in tokens], device=device)
        old = torch.arange(longest, device=device)[None, :] >= longest - before[:, None]
        own = torch.ones((width, width), dtype=torch.bool, device=device).tril()
        # A padded query keeps itself: a row of the mask without a true entry would make softmax return NaN.
        inside = (own & new[:, None, :]) | torch.eye(width, dtype=torch.bool, device=device)
        mask = torch.cat([old[:, None, :].expand(len(rows), width, longest), inside], dim=2)[:, None]
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(before[:, None] + new.cumsum(dim=1) - 1).clamp_min(0),
            past_key_values=_as_cache(past, rows, longest),
            use_cache=True,
        )
        return out, torch.cat([old, new], dim=1)


def _as_cache(past: list[_Layers], rows: list[int], longest: int) -> DynamicCache:
    """The prefixes as one cache of len(rows) rows, padded at the left to `longest` tokens."""
    cache = DynamicCache()
    if longest == 0:
        return cache
    filled = next(layers for layers in past if layers)
    for depth in range(len(filled)):
        padded = []
        for side in (0, 1):
            like = filled[depth][side]
            block = like.new_zeros((len(past), like.shape[0], longest, like.shape[2]))
            for row, layers in enumerate(past):
                if layers:
                    part = layers[depth][side]
                    block[row, :, longest - part.shape[1] :] = part
            padded.append(block[rows])
        layer = DynamicLayer()
        layer.lazy_initialization(*padded)
        layer.keys, layer.values = padded
        cache.layers.append(layer)
    return cache
