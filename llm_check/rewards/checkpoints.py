"""Reading a reward model's folder: config.json, tokenizer, safetensors weights; nothing in it is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from gsi_theory.errors import InputError

__all__ = ["load_backbone", "load_tokenizer", "read_config", "read_weights", "torch_dtype"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of this name. Raises InputError for another."""
    if name not in _DTYPES:
        raise InputError(f"dtype {name!r} of a reward model: use one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a reward model's folder.

    Raises InputError when the folder, the file or the safetensors weights are missing, or it is not JSON.
    """
    cure = "give the folder of a downloaded reward model"
    if not folder.is_dir():
        raise InputError(f"no reward model at {folder}: there is no such folder; {cure}")
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"no reward model at {folder}: it has no config.json; {cure}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}): download the checkpoint again") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is {type(config).__name__}, not an object: download the checkpoint again")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"no *.safetensors weights at {folder}: convert the checkpoint, pickled weights are not read")
    return config


def read_weights(folder: Path, names: list[str]) -> dict[str, Tensor]:
    """The tensors of these names, from whichever safetensors file holds them, in float32.

    Raises InputError for one that is in none.
    """
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in set(names) & set(file.keys()):
                found[name] = file.get_tensor(name).float()
    for name in names:
        if name not in found:
            raise InputError(
                f"the weights at {folder} have no tensor {name}: give the reward model, not its base model"
            )
    return found


def load_tokenizer(folder: Path) -> Any:
    """The reward model's own tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_backbone(folder: Path, config: dict[str, Any], device: str, dtype: str) -> Any:
    """The Qwen2 decoder of a checkpoint whose own code is not run: native classes, weights under their own names.

    Raises InputError when a weight of the decoder is missing (transformers would draw it at random).
    """
    from transformers import Qwen2Config, Qwen2Model

    left_out = {"auto_map", "architectures", "model_type", "torch_dtype", "dtype", "transformers_version"}
    native = Qwen2Config(**{key: value for key, value in config.items() if key not in left_out})
    loaded: Any = Qwen2Model.from_pretrained(
        folder, config=native, dtype=torch_dtype(dtype), use_safetensors=True, output_loading_info=True
    )
    model, info = loaded
    require_all_weights(folder, info)
    return model.to(device).eval()


def require_all_weights(folder: Path, info: dict[str, Any]) -> None:
    """Raise InputError if loading left a weight without its value."""
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"the weights at {folder} lack {len(missing)} tensors of the model, {missing[0]} first: give the whole "
            "checkpoint of a reward model of this architecture"
        )
