"""A checkpoint folder as a loaded model: safetensors only, nothing executed unless asked for, every weight accounted.

`weights_hash` says which weights they were: sha256 over the names and contents of all *.safetensors files.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from gsi_theory.errors import InputError

__all__ = ["load_checkpoint", "require_checkpoint", "revision_of", "torch_device", "torch_dtype", "weights_hash"]


def require_checkpoint(path: Path) -> None:
    """Raise InputError unless `path` is a folder with config.json and *.safetensors."""
    if not path.is_dir():
        raise InputError(f"no model folder at {path}: give a folder with config.json and *.safetensors (hf download)")
    if not (path / "config.json").is_file():
        raise InputError(f"{path} has no config.json: it is not a transformers checkpoint, give its folder")
    if not any(path.glob("*.safetensors")):
        raise InputError(f"{path} has no *.safetensors weights: convert them (save_pretrained writes safetensors)")


def torch_dtype(name: str) -> torch.dtype:
    """The floating-point dtype of that name; InputError for another."""
    kind = getattr(torch, name, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(f"dtype {name!r} is no floating-point dtype of torch: use float32, bfloat16 or float64")
    return kind


def torch_device(name: str) -> torch.device:
    """The device of that name; InputError where it does not exist here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} is not available here ({reason}): use cpu, or cuda on a GPU") from error
    return device


def weights_hash(path: Path) -> str:
    """sha256 (hex) over the sorted names and sha256 of all *.safetensors of a folder."""
    total = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        target = file.resolve().name
        if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", target):
            digest = target  # the hub's cache stores a file under the sha256 of its content
        else:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.name} {digest}\n".encode())
    return total.hexdigest()


def revision_of(path: Path) -> str:
    """The commit a hub cache folder (…/snapshots/COMMIT) was downloaded at; "" for other folders."""
    found = path.resolve()
    return found.name if found.parent.name == "snapshots" else ""


def load_checkpoint(
    auto_class: Any, path: Path, device: str, dtype: str, trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """(model, tokenizer) of a folder, by a class of transformers such as AutoModelForCausalLM, in evaluation mode.

    Raises InputError (path and cure named) for a missing folder, config or weights, an unknown dtype or device, a
    folder that needs code of its own, or weights that do not fill the model. Warns where that code is executed.
    """
    require_checkpoint(path)
    kind, place = torch_dtype(dtype), torch_device(device)
    if trust_remote_code:
        warnings.warn(f"code found in {path} is executed (trust_remote_code): read it first", stacklevel=3)
    common = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        model, info = auto_class.from_pretrained(
            path, dtype=kind, use_safetensors=True, attn_implementation="sdpa", output_loading_info=True, **common
        )
        tokenizer = AutoTokenizer.from_pretrained(path, **common)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot load the model at {path} ({reason}): give a checkpoint of this kind") from error
    wrong = sorted(info["missing_keys"]) or sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise InputError(f"the weights at {path} lack {wrong[0]} ({len(wrong)} in all): download the checkpoint again")
    return model.to(place).eval(), tokenizer
