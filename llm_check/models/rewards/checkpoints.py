"""Reading a reward model's folder: its head's weights, and the decoder of one whose own code is not run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record
from llm_check.models.engines.checkpoint import load_model
from llm_check.models.engines.weight_files import FLOATING, one_line, read_headers, weight_files
from llm_check.models.model_types import Module, Tokenizer

__all__ = ["architecture_of", "load_backbone", "read_weights", "require_vocabulary"]


def architecture_of(folder: Path, config: Mapping[str, Json]) -> str:
    """The first architecture that a folder's config.json names, "no architecture" for none. InputError for no list of
    names."""
    names = config.get("architectures") or ["no architecture"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{folder / 'config.json'} tells architectures = {names!r}: it should be a list of names")
    return str(names[0])


def read_weights(folder: Path, names: list[str]) -> dict[str, Tensor]:
    """The tensors of these names, from whichever safetensors file holds them, in float32.

    Raises InputError for one that is in none, is no floating-point numbers, or holds NaN or infinite ones.
    """
    stored = read_headers(weight_files(folder))
    tensors: dict[str, Tensor] = {}
    for name in names:
        if name not in stored:
            raise InputError(
                f"the weights at {folder} have no tensor {name}: give the reward model, not its base model"
            )
        path, dtype = stored[name].file, stored[name].dtype
        if dtype not in FLOATING:
            raise InputError(f"{path} holds {name} as {dtype}, no floating-point numbers: download it again")
        with safe_open(path, framework="pt") as file:
            tensors[name] = file.get_tensor(name).float()
        if not bool(torch.isfinite(tensors[name]).all()):
            raise InputError(f"{path} has NaN or infinite numbers in {name}: download it again")
    return tensors


def load_backbone(folder: Path, config: Record, device: str, dtype: str, heads: tuple[str, ...]) -> Module:
    """The Qwen2 decoder of a checkpoint whose own code is not run: native classes, weights under their own names.

    `heads` begin the names of tensors that are not the decoder's. Raises InputError as `load_model`.
    """
    from transformers import AutoModel, Qwen2Config

    left_out = {"auto_map", "architectures", "model_type", "torch_dtype", "dtype", "transformers_version"}
    try:
        native = Qwen2Config(**{key: value for key, value in config.items() if key not in left_out})
    except Exception as error:  # its validators raise errors of their own
        raise InputError(
            f"{folder / 'config.json'} describes no Qwen2 decoder ({one_line(error)}): download the checkpoint again"
        ) from error
    return load_model(AutoModel, folder, device, dtype, config=native, spare=(*heads, "lm_head."))


def require_vocabulary(own: Tokenizer, policies: Tokenizer, named: str) -> None:
    """Raise InputError unless a reward model that reads the policies' token ids has their vocabulary; `named` says
    which model it is."""
    ours, theirs = own.get_vocab(), policies.get_vocab()
    if ours != theirs:
        token = min(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
        raise InputError(
            f"{named} reads the policies' token ids, but {token!r} is {ours.get(token)} for it and {theirs.get(token)} "
            "for them: use a reward model of the same tokenizer, or one that reads text"
        )
