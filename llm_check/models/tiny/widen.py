"""The embedded policies with wider heads, same law: ``python -m llm_check.models.tiny.widen OUT [--head 32]``.

vLLM's CPU build has attention kernels for heads of 32, 64, 80, ... numbers; the embedded draft has 16 and the base 24.
A head of d numbers is embedded in one of D > d, exactly but for float32 rounding (Qwen3, per head):

* number i < d/2 stays at i and its rotary partner i + d/2 moves to i + D/2; the rest is zero;
* rotary frequencies θ^(-2i/d) = θ'^(-2i/D) with θ' = θ^(D/d);
* the norm of queries and keys takes its mean square over D numbers: projections times √(D/d) keep it (and its
  epsilon) what it was, so normed queries and keys come out √(D/d) too large;
* scores are divided by √D, not √d: right for one such factor, so the weight of the keys' norm is divided by √(D/d).

Values and the output projection are padded with zeros at the end of each head.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from gsi_theory.errors import InputError
from gsi_theory.runs.output import atomic_write_files
from llm_check.models.engines.checkpoint import read_config
from llm_check.models.tiny import checkpoint_path

__all__ = ["main", "widen_checkpoint"]

HEAD = 32


def _rotary_slots(narrow: int, wide: int) -> Tensor:
    """Where the d numbers of a head go among D: both halves at the start of their own half."""
    half = torch.arange(narrow // 2)
    return torch.cat([half, half + wide // 2])


def _spread_rows(weight: Tensor, narrow: int, wide: int, slots: Tensor) -> Tensor:
    """(heads d, in) -> (heads D, in), zeros elsewhere."""
    heads = weight.reshape(-1, narrow, weight.shape[1])
    out = torch.zeros((heads.shape[0], wide, weight.shape[1]), dtype=weight.dtype)
    out[:, slots] = heads
    return out.reshape(-1, weight.shape[1])


def _widened(name: str, weight: Tensor, narrow: int, wide: int) -> Tensor:
    """One tensor of the checkpoint, by its name."""
    scale = (wide / narrow) ** 0.5
    rotary, plain = _rotary_slots(narrow, wide), torch.arange(narrow)
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        return _spread_rows(weight.double() * scale, narrow, wide, rotary).to(weight.dtype)
    if name.endswith("v_proj.weight"):
        return _spread_rows(weight, narrow, wide, plain)
    if name.endswith("o_proj.weight"):
        return _spread_rows(weight.T.contiguous(), narrow, wide, plain).T.contiguous()
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        out = torch.ones(wide, dtype=weight.dtype)
        out[rotary] = (weight.double() / (scale if name.endswith("k_norm.weight") else 1.0)).to(weight.dtype)
        return out
    return weight


def widen_checkpoint(source: Path, out: Path, head: int = HEAD) -> Path:
    """Write the Qwen3 checkpoint `source` with heads of `head` numbers into the folder `out`; returns `out`.

    Raises InputError for another architecture, a bias in the projections, or a head that is not wider and even.
    """
    config = read_config(source)
    narrow = int(config.get("head_dim", 0))
    if config.get("model_type") != "qwen3" or config.get("attention_bias"):
        raise InputError(f"{source} is {config.get('model_type')}: only Qwen3 without attention bias can be widened")
    if head <= narrow or head % 2:
        raise InputError(f"head of {head} for {source}, whose heads hold {narrow}: give an even number above {narrow}")
    rope = config["rope_parameters"]
    if rope.get("rope_type", "default") != "default":
        raise InputError(f"{source} has rotary scaling {rope['rope_type']!r}: only the default can be widened")
    weights = {name: _widened(name, w, narrow, head) for name, w in load_file(source / "model.safetensors").items()}
    files = {
        out / file.name: file.read_bytes()
        for file in source.iterdir()
        if file.name not in ("config.json", "model.safetensors")
    }
    config |= {"head_dim": head, "rope_parameters": {**rope, "rope_theta": rope["rope_theta"] ** (head / narrow)}}
    files[out / "model.safetensors"] = save(weights, metadata={"format": "pt"})
    files[out / "config.json"] = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    atomic_write_files(files)
    return out


def main(argv: list[str] | None = None) -> None:
    """Write OUT/draft and OUT/base."""
    parser = argparse.ArgumentParser(
        prog="python -m llm_check.models.tiny.widen", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--head", type=int, default=HEAD)
    chosen = parser.parse_args(argv)
    try:
        for name in ("draft", "base"):
            print(widen_checkpoint(checkpoint_path(name), chosen.out / name, chosen.head))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
