"""Checkpoint folders: the embedded draft or reward model with one file bent, cut, missing, or telling lies."""

from __future__ import annotations

import json
import struct
from functools import cache
from typing import Any

import numpy as np

from llm_check.models.tiny import checkpoint_path
from tests.fuzz.mutate import HOSTILE, bend, bend_bytes, dumps, pick

__all__ = ["checkpoint_files"]

Rng = np.random.Generator
_SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "max_position_embeddings", "rms_norm_eps", "eos_token_id", "pad_token_id",
)  # fmt: skip


@cache
def _files(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(checkpoint_path(name).iterdir())}


def _bent_config(rng: Rng, content: bytes) -> bytes:
    config: dict[str, Any] = json.loads(content)
    if rng.random() < 0.5:
        name = pick(rng, _SIZES)
        config[name] = pick(rng, (0, 1, -1, 2, 3, 7, 1000, 2**31, 0.5, None, "16", True))
        return dumps(config).encode()
    if rng.random() < 0.3:
        name = pick(rng, ("architectures", "model_type", "dtype", "hidden_act", "layer_types", "rope_parameters"))
        lies: tuple[Any, ...] = ([], ["LlamaForCausalLM"], ["Nothing"], "qwen3", "gpt2", "bert", "float8", None, 3, {})
        config[name] = pick(rng, (*lies, *HOSTILE[-6:]))
        return dumps(config).encode()
    return dumps(bend(rng, config)).encode()


def _bent_weights(rng: Rng, content: bytes) -> bytes:
    """A safetensors file whose header or values lie: 8 bytes of length, JSON header, data."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    name, action = pick(rng, names), rng.integers(8)
    if action == 0:
        start, end = header[name]["data_offsets"]
        value = pick(rng, (np.nan, np.inf, -np.inf, 3e38, 0.0))
        data[start:end] = np.full((end - start) // 4, value, dtype="<f4").tobytes()
    elif action == 1:
        values = np.frombuffer(bytes(data), dtype="<f4") * pick(rng, (1e30, np.nan, 0.0, 1e4))
        data = bytearray(values.astype("<f4").tobytes())
    elif action == 2:
        header[name + "x"] = header.pop(name)
    elif action == 3:
        header[name]["dtype"] = pick(rng, ("F64", "I32", "BF16", "F99", 3))
    elif action == 4:
        header[name]["shape"] = pick(rng, ([], [0], [2**40], [-1], header[name]["shape"][::-1], "x"))
    elif action == 5:
        header[name]["data_offsets"] = pick(rng, ([0, 0], [0, 2**50], [10, 4], [0, len(data)]))
    elif action == 6:
        return struct.pack("<Q", int(pick(rng, (0, 1, 2**20, 2**40, 2**63)))) + content[8:]
    else:
        return dumps(bend(rng, header)).join(["", ""]).encode() + bytes(data)
    text = dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def checkpoint_files(rng: Rng, name: str) -> dict[str, bytes | str]:
    """File name to content: the embedded checkpoint `name` (draft, base, prm) with one file bent."""
    with np.errstate(all="ignore"):
        files: dict[str, bytes | str] = dict(_files(name))
        file = pick(rng, (*files, "config.json", "config.json", "model.safetensors", "model.safetensors"))
        content = _files(name)[file]
        action = rng.integers(10)
        if action == 0:
            del files[file]
        elif action == 1:
            files[file] = "folder"
        elif action == 2:
            files[file] = b""
        elif action == 3:
            files[file] = bend_bytes(rng, content)
        elif file == "config.json":
            files[file] = _bent_config(rng, content)
        elif file == "model.safetensors":
            files[file] = _bent_weights(rng, content)
        else:
            files[file] = dumps(bend(rng, json.loads(content))).encode()
    if action == 4:
        files["pytorch_model.bin"] = b"\x80\x04."
    return files
