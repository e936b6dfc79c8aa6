"""Damaged copies of a small checkpoint folder: cut files, changed bytes, configurations that lie, tensors that are not
there or hold NaN. Every mutant is a function of the folder and a NumPy generator, so that a seed names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

__all__ = ["MUTATIONS", "Mutation", "copy_of"]

Mutation = Callable[[Path, np.random.Generator], str]
WEIGHTS = "model.safetensors"
VALUES = (0, -1, 1, 3, 17, 10**6, 10**12, 2**70, 0.5, 1e308, float("nan"), None, True, "x", [], {}, [3], "", -1e9)
NAMES = ("llama", "gpt2", "bert", "qwen3_moe", "t5", "no_such_model", "../x")


def copy_of(folder: Path, to: Path) -> Path:
    """A fresh copy of a checkpoint folder at `to`."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


def _pick(rng: np.random.Generator, items: Any) -> Any:
    items = list(items)
    return items[int(rng.integers(len(items)))]


def _file(folder: Path, rng: np.random.Generator) -> Path:
    known = (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
    path = folder / _pick(rng, known)
    return path if path.is_file() else folder / WEIGHTS


def cut(folder: Path, rng: np.random.Generator) -> str:
    """A file's first bytes alone."""
    path = _file(folder, rng)
    data = path.read_bytes()
    keep = int(_pick(rng, (0, 1, 7, 8, 9, 100, rng.integers(len(data)), len(data) - 1)))
    path.write_bytes(data[:keep])
    return f"{path.name} cut to {keep} bytes"


def flipped(folder: Path, rng: np.random.Generator) -> str:
    """One bit of a file changed."""
    path = _file(folder, rng)
    data = bytearray(path.read_bytes())
    at = int(rng.integers(min(len(data), 3000)))
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))
    return f"{path.name} bit flipped in byte {at}"


def replaced(folder: Path, rng: np.random.Generator) -> str:
    """A file with other content: nothing, other JSON, a web page."""
    path = _file(folder, rng)
    texts = (b"", b"null", b"[]", b"{}", b'"x"', b"<html>404</html>", b"\xff\xfe{}", b"[" * 20_000, b"9" * 5001)
    path.write_bytes(content := _pick(rng, texts))
    return f"{path.name} holds {content[:12]!r}"


def removed(folder: Path, rng: np.random.Generator) -> str:
    """A file that is gone, a folder, or a link to nothing."""
    path = _file(folder, rng)
    path.unlink()
    kind = _pick(rng, ("gone", "folder", "dangling link"))
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(folder / "nowhere")
    return f"{path.name}: {kind}"


def config_field(folder: Path, rng: np.random.Generator) -> str:
    """A field of a configuration with another value, or without one."""
    path = folder / _pick(rng, ("config.json",) * 6 + ("tokenizer_config.json",))
    fields = json.loads(path.read_text())
    name = _pick(rng, fields)
    fields[name] = value = _pick(rng, VALUES)
    if _pick(rng, range(6)) == 0:
        del fields[name]
        value = "(no value)"
    path.write_text(json.dumps(fields))
    return f"{path.name}: {name} = {value!r}"


def config_lie(folder: Path, rng: np.random.Generator) -> str:
    """A size in config.json that the weights do not have."""
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    sizes = ("num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "num_attention_heads",
             "num_key_value_heads", "head_dim", "max_position_embeddings")  # fmt: skip
    name = _pick(rng, sizes)
    fields[name] = value = int(_pick(rng, (fields[name] + 1, max(1, fields[name] // 2), 2 * fields[name], 10**9, -1)))
    path.write_text(json.dumps(fields))
    return f"config.json: {name} = {value}"


def config_kind(folder: Path, rng: np.random.Generator) -> str:
    """Another architecture, activation, rope, layer type or dtype in config.json."""
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    name = _pick(rng, ("model_type", "architectures", "hidden_act", "rope_parameters", "layer_types", "dtype"))
    values: dict[str, Any] = {
        "architectures": [[], None, ["X"], ["Qwen2ForCausalLM"], "Qwen3ForCausalLM", [3]],
        "rope_parameters": [None, {"rope_type": "x"}, {"rope_type": "yarn"}, {"rope_theta": 0.0}],
        "layer_types": [[], ["sliding_attention"] * 3, ["x"] * 2, None],
        "dtype": ["float16", "int8", "foo", 3, "float64"],
    }
    fields[name] = value = _pick(rng, values.get(name, NAMES))
    path.write_text(json.dumps(fields))
    return f"config.json: {name} = {value!r}"


def tensor(folder: Path, rng: np.random.Generator) -> str:
    """A tensor with NaN, of another shape or dtype, or not there."""
    path = folder / WEIGHTS
    tensors = load_file(path)
    name = _pick(rng, sorted(tensors))
    kind = _pick(rng, ("nan", "inf", "gone", "renamed", "short", "integers", "empty", "flat", "half", "huge"))
    old = tensors.pop(name)
    where = tuple(int(rng.integers(size)) for size in old.shape)
    changed = old.clone()
    if kind in ("nan", "inf", "huge"):
        changed[where] = {"nan": torch.nan, "inf": torch.inf, "huge": 1e38}[kind]
    made = {
        "short": old[:-1], "integers": (old * 100).to(torch.int32), "empty": old[:0], "flat": old.reshape(-1, 1),
        "half": old.half(),
    }.get(kind, changed)  # fmt: skip
    if kind == "renamed":
        tensors[name + "x"] = old
    elif kind != "gone":
        tensors[name] = made.contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    return f"tensor {name}: {kind}"


def header(folder: Path, rng: np.random.Generator) -> str:
    """A header of safetensors that lies of one tensor."""
    path = folder / WEIGHTS
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    fields = json.loads(data[8 : 8 + size])
    name = _pick(rng, [key for key in fields if key != "__metadata__"])
    kind = _pick(rng, ("dtype", "shape", "offsets", "length", "metadata"))
    if kind == "dtype":
        fields[name]["dtype"] = _pick(rng, ("I32", "U32", "BF16", "F64", "X", 3))
    elif kind == "shape":
        fields[name]["shape"] = _pick(rng, ([], [-1], [2**40, 2**40], ["x"], fields[name]["shape"][::-1]))
    elif kind == "offsets":
        fields[name]["data_offsets"] = _pick(rng, ([0, 4], [4, 0], [0, 2**62], ["a", "b"]))
    elif kind == "metadata":
        fields["__metadata__"] = _pick(rng, ({"format": "tf"}, {"format": 3}, "x", {}))
    text = json.dumps(fields).encode()
    length = int(_pick(rng, (2**62, 0, size * 2))) if kind == "length" else len(text)
    path.write_bytes(length.to_bytes(8, "little") + text + data[8 + size :])
    return f"safetensors header of {name}: {kind}"


def index(folder: Path, rng: np.random.Generator) -> str:
    """Shards and their index, whole or not."""
    names = sorted(load_file(folder / WEIGHTS))
    shard = "model-00001-of-00002.safetensors"
    (folder / WEIGHTS).rename(folder / shard)
    where: Any = dict.fromkeys(names, shard)
    kind = _pick(rng, ("whole", "missing shard", "no map", "not JSON", "number", "outside", "fewer"))
    if kind in ("missing shard", "outside"):
        where[_pick(rng, names)] = "model-00002-of-00002.safetensors" if kind == "missing shard" else "../x.safetensors"
    elif kind == "number":
        where[_pick(rng, names)] = 3
    elif kind == "fewer":
        del where[_pick(rng, names)]
    text = json.dumps({} if kind == "no map" else {"metadata": {"total_size": 1}, "weight_map": where})
    (folder / f"{WEIGHTS}.index.json").write_text(text[:-9] if kind == "not JSON" else text)
    return f"sharded index: {kind}"


def tokenizer(folder: Path, rng: np.random.Generator) -> str:
    """A vocabulary with a token lost, swapped, added or of another id."""
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    vocabulary = fields["model"]["vocab"]
    kind = _pick(rng, ("drop", "swap", "huge id", "extra", "empty", "special", "negative"))
    name = _pick(rng, sorted(vocabulary))
    if kind == "drop":
        del vocabulary[name]
    elif kind == "swap":
        other = _pick(rng, sorted(vocabulary))
        vocabulary[name], vocabulary[other] = vocabulary[other], vocabulary[name]
    elif kind == "empty":
        vocabulary.clear()
    elif kind == "special":
        fields["added_tokens"] = _pick(rng, ([], [{"id": 99, "content": "}"}], [3], None))
    else:
        vocabulary[name if kind != "extra" else "zz"] = {"huge id": 2**31, "extra": 16, "negative": -1}[kind]
    path.write_text(json.dumps(fields))
    return f"tokenizer.json: {kind} {name!r}"


MUTATIONS: tuple[Mutation, ...] = (
    cut, flipped, replaced, removed, config_field, config_lie, config_kind, tensor, header, index, tokenizer,
)  # fmt: skip
