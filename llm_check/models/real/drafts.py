"""Drafts of a real base: its linear layers rounded to a few bits, nothing trained, nothing stored.

Each row of a weight is cut into groups of G numbers along the input; a group is rounded to the nearest of 2^b levels,
equally spaced from its smallest number to its largest. The embedding (and the head tied to it) and the norms are kept.
`smollm2:medium` names a record of `DRAFTS`, `smollm2:4/64` any other: bits and group. No torch is imported here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gsi_theory.errors import InputError, nearest
from llm_check.models.model_types import Module

__all__ = ["DRAFTS", "Quantization", "named_quantization", "quantize"]

_MOST_BITS = 8
_EPSILON = 1e-9  # of the spacing of a group whose numbers are all equal
_PAIR = re.compile(r"(\d{1,4})/(\d{1,6})")


@dataclass(frozen=True)
class Quantization:
    """Round to nearest: `bits` for each number, a scale and an offset for each `group` numbers along the input.

    name: of the draft; the text BITS/GROUP where it has no other
    """

    name: str
    bits: int
    group: int

    def __str__(self) -> str:
        return f"round to nearest, {self.bits} bits, groups of {self.group}"


DRAFTS = {
    draft.name: draft
    for draft in (
        Quantization("weak", 3, 32),
        Quantization("medium", 4, 192),
        Quantization("strong", 5, 192),
        Quantization("near", 6, 192),
    )
}


def named_quantization(name: str, spec: str) -> Quantization:
    """The draft of that name, or of BITS/GROUP. InputError, which quotes `spec`, for neither, or bits out of range."""
    if name in DRAFTS:
        return DRAFTS[name]
    pair = _PAIR.fullmatch(name)
    if pair is None:
        raise InputError(
            f"model {spec!r}: no draft {name!r}{nearest(name, DRAFTS)}: give {', '.join(DRAFTS)}, or BITS/GROUP as 4/64"
        )
    bits, group = int(pair[1]), int(pair[2])
    if not 1 <= bits <= _MOST_BITS or group < 2:
        raise InputError(f"model {spec!r}: give 1 to {_MOST_BITS} bits, and groups of at least 2 numbers")
    same = (draft for draft in DRAFTS.values() if (draft.bits, draft.group) == (bits, group))
    return next(same, Quantization(f"{bits}/{group}", bits, group))


def quantize(model: Module, quantization: Quantization, spec: str) -> None:
    """Round the linear layers of a loaded model in place, in the model's own dtype.

    Raises InputError, which quotes `spec`, where the group does not divide the input of every layer.
    """
    import torch

    head = model.get_output_embeddings()
    layers = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head}
    for name, layer in layers.items():
        if layer.in_features % quantization.group:
            raise InputError(
                f"model {spec!r}: groups of {quantization.group} do not divide the {layer.in_features} inputs of "
                f"{name}: give a group that does, as 32, 64 or 192"
            )
    with torch.no_grad():
        for layer in layers.values():
            groups = layer.weight.view(layer.out_features, -1, quantization.group)
            low, high = groups.aminmax(dim=-1, keepdim=True)
            spacing = (high - low).clamp_min_(_EPSILON) / (2**quantization.bits - 1)
            groups.copy_(((groups - low) / spacing).round_().mul_(spacing).add_(low))
