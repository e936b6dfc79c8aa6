"""One forward for the engine, whatever the architecture: the lean decoder where it holds, else transformers' module.

A `Forward` turns packed tokens into hidden states (or, through the module, logits) and writes keys and values into a
buffer. Both ways obey the same contract, so the engine above has one algorithm. `way` is recorded in the contract of
log-probabilities: "lean", "lean, compiled" (small models on a CPU), or "module (reason)".

Shapes as in `llm_check.models.engines.lean_decoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from gsi_theory.arrays.memory import require_memory
from gsi_theory.errors import InputError
from llm_check.models.engines.compiled_decoder import WIDEST, CompiledDecoder, compiled_decoder
from llm_check.models.engines.lean_decoder import LeanDecoder, disagreement, lean_decoder
from llm_check.models.engines.linear import linear
from llm_check.models.model_types import Module

__all__ = ["Forward", "forward_of"]

# Tokens up to which the compiled loop was faster than the same operations of torch (embedded base, one core: 10 times
# at 1 token, 3 times at 16, even at 64).
_FEW = 48


@dataclass(frozen=True)
class Forward:
    """A model as a function of packed tokens.

    module, body: of transformers, with and without its head
    lean: the lean forward; None where the module is asked
    small: the same as one compiled loop, for few tokens of a small model; None where it is not used
    way: which of the two, for records
    kv_shape: (layers, K, D)
    context: the longest sequence, in tokens
    vocabulary: number of logits, V
    device, dtype: of weights and buffers
    """

    module: Module
    body: Module
    lean: LeanDecoder | None
    small: CompiledDecoder | None
    way: str
    kv_shape: tuple[int, int, int]
    context: int
    vocabulary: int
    device: torch.device
    dtype: torch.dtype

    def buffer(self, rows: int, capacity: int) -> Tensor:
        """An empty key-value buffer (layers, 2, rows, K, capacity, D)."""
        layers, heads, width = self.kv_shape
        return torch.empty((layers, 2, rows, heads, capacity, width), dtype=self.dtype, device=self.device)

    def hidden(self, tokens: Tensor, positions: Tensor, bias: Tensor, kv: Tensor, at: int) -> Tensor:
        """Last hidden states (R, N, d) of the body; see `LeanDecoder.hidden`."""
        if self.small is not None and tokens.numel() <= _FEW:
            return self.small.hidden(tokens, positions, bias, kv, at)
        if self.lean is not None:
            return self.lean.hidden(tokens, positions, bias, kv, at)
        return self._through(self.body, tokens, positions, bias, kv, at, {}).last_hidden_state

    def features(self, tokens: Tensor, positions: Tensor, bias: Tensor, kv: Tensor, at: int, keep: int) -> Tensor:
        """What `logits` reads, of the last `keep` tokens: hidden states, or the module's own logits where its head may
        do more than multiply."""
        if self.lean is not None:
            return self.hidden(tokens, positions, bias, kv, at)[:, -keep:]
        return self._through(self.module, tokens, positions, bias, kv, at, {"logits_to_keep": keep}).logits

    def logits(self, features: Tensor) -> Tensor:
        """Logits (..., V) of features."""
        if self.lean is None:
            return features
        head = self.module.get_output_embeddings()
        rows = linear(features.reshape(-1, features.shape[-1]), head.weight, head.bias)
        return rows.view(*features.shape[:-1], -1) if features.dim() > 2 else rows

    def _through(
        self, module: Module, tokens: Tensor, positions: Tensor, bias: Tensor, kv: Tensor, at: int, more: Any
    ) -> Module:
        """The module over a fresh DynamicCache around views of the buffer, which it replaces rather than writes to."""
        past = DynamicCache()
        for keys, values in kv[..., :at, :]:
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            past.layers.append(layer)
        out = module(
            input_ids=tokens,
            attention_mask=bias,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            **more,
        )
        for buffer, grown in zip(kv, out.past_key_values.layers, strict=True):
            buffer[0, :, :, at : at + tokens.shape[1]] = grown.keys[:, :, at:]
            buffer[1, :, :, at : at + tokens.shape[1]] = grown.values[:, :, at:]
        return out


def forward_of(module: Module, name: str, lean: bool = True) -> Forward:
    """The forward of a loaded transformers model (with or without a head); `lean` false keeps to the module, as do
    forward hooks and a replaced `forward` anywhere in it, which nothing else would run.

    Raises InputError for sliding-window attention, for keys and values that no one buffer can hold, for a context that
    is no number of tokens or whose tables do not fit in memory, and for a model whose numbers are not finite.
    """
    config = module.config
    _require_context(config, name)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (getattr(config, "sliding_window", None) and config.model_type == "mistral"):
        raise InputError(f"{name} has layers {sorted(kinds)} with a sliding window: only full attention is supported")
    module.eval().requires_grad_(False)
    body = getattr(module, "base_model", module)
    _require_finite(module, name)
    lean_forward = "asked for" if not lean else _changed(module) or lean_decoder(body)
    decoder = None if isinstance(lean_forward, str) else lean_forward
    way, small = "lean" if decoder is not None else f"module ({lean_forward})", None
    on_cpu = torch.device(module.device) == torch.device("cpu") and module.dtype == torch.float32
    if decoder is not None and on_cpu and config.hidden_size <= WIDEST:
        loop = compiled_decoder(decoder)
        reason = disagreement(loop, body)
        way, small = ("lean, compiled", loop) if reason is None else (f"lean (compiled {reason})", None)
    return Forward(
        module=module,
        body=body,
        lean=decoder,
        small=small,
        way=way,
        kv_shape=_kv_shape(body, name),
        context=int(config.max_position_embeddings),
        vocabulary=int(config.vocab_size),
        device=torch.device(module.device),
        dtype=module.dtype,
    )


def _require_context(config: Module, name: str) -> None:
    context, heads = getattr(config, "max_position_embeddings", None), getattr(config, "num_attention_heads", 1)
    if not isinstance(context, int) or context < 2:
        raise InputError(f"{name} has max_position_embeddings = {context!r}: a context of at least 2 tokens is needed")
    width = getattr(config, "head_dim", None) or config.hidden_size // max(1, heads)
    # The angles, their cosines and sines, each once more while they are made.
    require_memory(
        24.0 * context * width,
        f"{name} has max_position_embeddings = {context}",
        "write the context that the model was trained for into its config.json",
    )


@torch.no_grad()
def _require_finite(module: Module, name: str) -> None:
    """A few tokens through the whole model: what config.json spoils (a norm's epsilon, a rotary base), weights do not
    show."""
    out = module(input_ids=_some_tokens(module), use_cache=False)
    # a logit of -inf is a token never drawn
    values = out.logits.float().logsumexp(dim=-1) if hasattr(out, "logits") else out.last_hidden_state
    if not bool(torch.isfinite(values).all()):
        dtype = str(module.dtype).removeprefix("torch.")
        raise InputError(
            f"{name} computes NaN or infinite numbers in {dtype}: its config.json or its weights are damaged, download "
            "the checkpoint again, or give a wider --dtype"
        )


def _some_tokens(module: Module) -> Tensor:
    """Token ids (1, N): as many different ones as vocabulary and context allow, up to 17."""
    tokens = torch.arange(min(17, module.config.max_position_embeddings), device=module.device)[None]
    return tokens % module.config.vocab_size


@torch.no_grad()
def _changed(module: Module) -> str:
    """What the module does beyond its body and a linear head, empty for nothing: hooks, a forward set on an instance,
    or logits that are not the head's (a scale, an adapter)."""
    if any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in module.modules()):
        return "hooks or a replaced forward"
    body: Module = getattr(module, "base_model", module)
    head = module.get_output_embeddings()
    if head is None or body is module:
        return ""
    tokens = _some_tokens(module)
    theirs = module(input_ids=tokens, use_cache=False).logits.float()
    hidden = body(input_ids=tokens, use_cache=False).last_hidden_state
    off = (F.linear(hidden, head.weight, head.bias).float() - theirs).norm()
    gap = float(off) / max(float(theirs.norm()), torch.finfo(torch.float32).tiny)  # logits may all be zero
    return "" if gap <= 4.0 * torch.finfo(module.dtype).eps else f"logits differ from the head's by {gap:.1e}"


@torch.no_grad()
def _kv_shape(body: Module, name: str) -> tuple[int, int, int]:
    """(layers, K, D), read off the keys and values of one token."""
    token = torch.zeros((1, 1), dtype=torch.int64, device=body.device)
    layers = getattr(getattr(body(input_ids=token, use_cache=True), "past_key_values", None), "layers", ())
    if not all(hasattr(layer, "keys") for layer in layers):
        raise InputError(f"{name} keeps more than keys and values of its tokens: only attention layers are supported")
    shapes = {tuple(part.shape) for layer in layers for part in (layer.keys, layer.values)}
    if len(shapes) != 1:
        raise InputError(f"{name} has keys and values of shapes {sorted(shapes)}: only equal shapes are supported")
    _, heads, _, width = shapes.pop()
    return len(layers), int(heads), int(width)
