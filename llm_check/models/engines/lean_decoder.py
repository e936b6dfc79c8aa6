"""A lean forward of dense decoders (Llama, Mistral, Qwen2, Qwen3): tokens packed as a tree over one key-value buffer.

R rows of N new tokens each see what an additive bias (R, 1, N, L + N) lets them see: prompt tokens a causal triangle,
candidates of one step the prompt and their own ancestors. So a prefix and all its candidates take one forward, and
the keys and values of a prefix exist once however many candidates share it.

    x += o(attend(rope(norm_q(q)), rope(norm_k(k)), v)),  q, k, v = qkv(norm(x))
    x += down(silu(gate) * up),                           gate, up = gate_up(norm(x))

Weights are those of the loaded transformers module: q, k, v and gate, up are fused, and the module's own parameters
become views of the fused ones, so nothing is held twice. `lean_decoder` compares every model it takes with the
module's own forward and leaves those that it does not know, or that differ, to `llm_check.models.engines.forward`.

Shapes: R rows, N new tokens, L encoded ones, H query heads, K key-value heads, D head dimension, d hidden size, V ids.
The buffer is (layers, 2, R, K, capacity, D): keys and values, in the model's dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from llm_check.models.engines.linear import linear, linear_add
from llm_check.models.model_types import Module

__all__ = ["KNOWN", "LeanDecoder", "disagreement", "lean_decoder"]

KNOWN = frozenset({"llama", "mistral", "qwen2", "qwen3"})
# "dynamic" and "longrope" change the frequencies with the length of the text: no table of positions holds them.
_STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})
# Relative difference from the module's forward (2-norm over hidden states): about 30 roundings of the dtype.
_ROUNDINGS = 30.0


@dataclass(frozen=True)
class _Layer:
    norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    head_norm: Tensor | None  # (H + K, D), weights of the norms of q and k
    out: Tensor
    out_bias: Tensor | None
    mlp_norm: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


@dataclass(frozen=True)
class LeanDecoder:
    """The layers of one model with what their shapes need.

    embed: (V, d)
    layers: weights, first to last
    norm: weight of the final norm (d,)
    eps: of every norm
    heads, kv_heads, head_dim: H, K, D
    cos, sin: (positions, D), sin with the sign of the rotation
    """

    embed: Tensor
    layers: tuple[_Layer, ...]
    norm: Tensor
    eps: float
    heads: int
    kv_heads: int
    head_dim: int
    cos: Tensor
    sin: Tensor

    def hidden(self, tokens: Tensor, positions: Tensor, bias: Tensor, kv: Tensor, at: int) -> Tensor:
        """Hidden states (R, N, d), final norm included, of `tokens` (R, N) at `positions` (R, N).

        `bias` (R, 1, N, C) is 0 where a token is seen, -inf elsewhere, over the first C columns of `kv`. Keys and
        values are written to `kv` from column `at` on.
        """
        rows, new = tokens.shape
        width = bias.shape[-1]
        flat = positions.reshape(-1)
        cos, sin = self.cos[flat][:, None], self.sin[flat][:, None]
        groups = self.heads // self.kv_heads
        if groups > 1:  # the queries of one key-value head stand one after another
            bias = bias[:, :, None].expand(rows, 1, groups, new, -1).reshape(rows, 1, groups * new, -1)
        x = F.embedding(tokens, self.embed).view(rows * new, -1)
        for layer, buffer in zip(self.layers, kv, strict=True):
            mixed = self._project(layer, x, cos, sin).view(rows, new, self.heads + 2 * self.kv_heads, self.head_dim)
            pair = mixed[:, :, self.heads :].view(rows, new, 2, self.kv_heads, self.head_dim).permute(2, 0, 3, 1, 4)
            buffer[:, :, :, at : at + new] = pair
            seen = buffer if width == buffer.shape[3] else buffer[:, :, :, :width]
            x = linear_add(x, self._attend(mixed[:, :, : self.heads], seen, bias, groups), layer.out, layer.out_bias)
            normed = F.rms_norm(x, layer.mlp_norm.shape, layer.mlp_norm, self.eps)
            gate, up = linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, 1)
            x = linear_add(x, F.silu(gate).mul_(up), layer.down, layer.down_bias)
        return F.rms_norm(x, self.norm.shape, self.norm, self.eps).view(rows, new, -1)

    def _project(self, layer: _Layer, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Queries, keys and values (M, H + 2K, D) of hidden states (M, d); queries and keys normed and rotated."""
        normed = F.rms_norm(x, layer.norm.shape, layer.norm, self.eps)
        both = self.heads + self.kv_heads
        mixed = linear(normed, layer.qkv, layer.qkv_bias).contiguous()
        mixed = mixed.view(len(x), both + self.kv_heads, self.head_dim)
        turned = plain = mixed[:, :both]
        if layer.head_norm is not None:
            turned = F.rms_norm(turned, (self.head_dim,), None, self.eps).mul_(layer.head_norm)
        torch.addcmul(turned * cos, turned.roll(self.head_dim // 2, -1), sin, out=plain)
        return mixed

    def _attend(self, query: Tensor, seen: Tensor, bias: Tensor, groups: int) -> Tensor:
        """Attention (M, H D) of queries (R, N, H, D) over the keys and values `seen` (2, R, K, C, D)."""
        rows, new = query.shape[:2]
        keys, values = seen.unbind()
        if groups == 1:
            attention = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=bias)
            return attention.transpose(1, 2).reshape(rows * new, -1)
        shape = (rows, new, self.kv_heads, groups, self.head_dim)
        folded = query.reshape(shape).permute(0, 2, 3, 1, 4).reshape(rows, self.kv_heads, -1, self.head_dim)
        attention = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias)
        unfolded = attention.view(rows, self.kv_heads, groups, new, self.head_dim).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(rows * new, -1)


def _fused(parts: list[Module]) -> tuple[Tensor, Tensor | None]:
    """The weights (and biases) of linear layers stacked; the layers' own parameters become views of the stack."""

    def stacked(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        if all(tensor is None for tensor in tensors):
            return None
        whole = torch.cat([tensor.data for tensor in tensors])
        for part, view in zip(parts, whole.split([len(tensor) for tensor in tensors]), strict=True):
            getattr(part, name).data = view
        return whole

    weight = stacked("weight")
    assert weight is not None
    return weight, stacked("bias")


def _layer_of(layer: Module, heads: int, kv_heads: int) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _fused([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up, gate_up_bias = _fused([mlp.gate_proj, mlp.up_proj])
    norms = None
    if hasattr(attention, "q_norm"):
        sides = (attention.q_norm.weight, heads), (attention.k_norm.weight, kv_heads)
        norms = torch.cat([weight.data.expand(count, -1) for weight, count in sides])
    return _Layer(
        layer.input_layernorm.weight.data,
        qkv,
        qkv_bias,
        norms,
        attention.o_proj.weight.data,
        _data(attention.o_proj.bias),
        layer.post_attention_layernorm.weight.data,
        gate_up,
        gate_up_bias,
        mlp.down_proj.weight.data,
        _data(mlp.down_proj.bias),
    )


def _data(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.data


def _build(body: Module) -> LeanDecoder:
    config = body.config
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    device, dtype = body.embed_tokens.weight.device, body.embed_tokens.weight.dtype
    positions = torch.arange(config.max_position_embeddings, device=device)[None]
    cos, sin = (part[0] for part in body.rotary_emb(torch.empty(0, dtype=dtype, device=device), positions))
    half = cos.shape[1] // 2
    return LeanDecoder(
        embed=body.embed_tokens.weight.data,
        layers=tuple(_layer_of(layer, heads, kv_heads) for layer in body.layers),
        norm=body.norm.weight.data,
        eps=float(config.rms_norm_eps),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=2 * half,
        cos=cos,
        sin=torch.cat([-sin[:, :half], sin[:, half:]], dim=1),
    )


def lean_decoder(body: Module) -> LeanDecoder | str:
    """The lean forward of a base model of transformers (no head), or the reason why there is none.

    Every model is compared with its own forward on random tokens before it is used.
    """
    config = body.config
    if config.model_type not in KNOWN:
        return f"architecture {config.model_type}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in _STATIC_ROPE:
        return f"rope of type {rope}"
    if config.hidden_act != "silu":
        return f"activation {config.hidden_act}"
    with torch.no_grad():
        lean = _build(body)
    return lean if (reason := disagreement(lean, body)) is None else reason


def disagreement(decoder: Any, body: Module) -> str | None:
    """How hidden states of `decoder` (anything with `LeanDecoder.hidden`) differ from the module's by more than
    rounding, on random tokens; None when they agree."""
    difference = _difference(decoder, body)
    # The module norms and rotates in float32 whatever the dtype, so nothing agrees better than that.
    allowed = _ROUNDINGS * max(torch.finfo(body.dtype).eps, torch.finfo(torch.float32).eps)
    return None if difference <= allowed else f"differs from the module by {difference:.1e} (allowed {allowed:.1e})"


@torch.no_grad()
def _difference(decoder: Any, body: Module) -> float:
    """Relative 2-norm of (decoder - module) over hidden states of random texts, causal, from an empty cache."""
    new, config = min(17, len(decoder.cos)), body.config
    vocabulary, device, dtype = len(decoder.embed), body.device, body.dtype
    tokens = torch.randint(vocabulary, (2, new), generator=torch.Generator().manual_seed(0)).to(device)
    bias = torch.full((new, new), -torch.inf, dtype=dtype, device=device).triu(1).expand(2, 1, new, new).contiguous()
    shape = (config.num_hidden_layers, 2, 2, decoder.kv_heads, new, decoder.cos.shape[1])
    kv = torch.zeros(shape, dtype=dtype, device=device)
    positions = torch.arange(new, device=device).repeat(2, 1)
    ours = decoder.hidden(tokens, positions, bias, kv, 0).float()
    theirs = body(input_ids=tokens, use_cache=False).last_hidden_state.float()
    if not bool(torch.isfinite(ours).all()):
        return float("inf")
    # hidden states may all be zero
    return float((ours - theirs).norm()) / max(float(theirs.norm()), torch.finfo(torch.float32).tiny)
