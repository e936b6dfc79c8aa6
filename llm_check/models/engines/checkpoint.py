"""A checkpoint folder as a loaded model: safetensors only, nothing executed unless asked for, every weight accounted.

transformers fills a weight that a folder lacks with random numbers, drops one that its config.json does not ask for,
and casts whatever it finds; here each of these is refused, as are weights that are NaN or infinite.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer

from gsi_theory.arrays.memory import require_memory
from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record
from llm_check.models.engines.weight_files import (
    FLOATING,
    StoredTensor,
    one_line,
    read_headers,
    read_object,
    weight_files,
    weights_hash,
)
from llm_check.models.model_types import Module, Tokenizer

__all__ = [
    "load_checkpoint",
    "load_model",
    "load_tokenizer",
    "read_config",
    "require_checkpoint",
    "revision_of",
    "torch_device",
    "torch_dtype",
    "weights_hash",
]

_DTYPES = ("float32", "bfloat16", "float16", "float64")
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
_LAYER = re.compile(r"\.(\d+)\.")


def read_config(path: Path) -> Record:
    """config.json of a checkpoint folder.

    Raises InputError unless `path` is a folder with it, a JSON object, and with *.safetensors.
    """
    cure = "give a folder with config.json and *.safetensors (hf download)"
    if not os.path.isdir(path):  # answers no where Path would raise, as for too long a name
        what = "it is a file" if os.path.exists(path) else "there is no such folder"
        raise InputError(f"no model folder at {path}: {what}; {cure}")
    if not (path / "config.json").is_file():
        raise InputError(f"{path} has no config.json: it is not a transformers checkpoint, give its folder")
    config = read_object(path / "config.json")
    if not any(path.glob("*.safetensors")):
        raise InputError(
            f"{path} has no *.safetensors weights: convert them (save_pretrained writes safetensors), pickled weights "
            "are not read"
        )
    return config


def require_checkpoint(path: Path) -> None:
    """Raise InputError unless `path` is a folder with config.json and whole *.safetensors."""
    read_config(path)
    read_headers([file for file in sorted(path.glob("*.safetensors")) if file.is_file()])


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name; InputError for another than float32, bfloat16, float16 and float64."""
    if name not in _DTYPES:
        raise InputError(f"dtype {name!r} is no floating-point dtype of torch known here: use {', '.join(_DTYPES)}")
    kind: torch.dtype = getattr(torch, name)
    return kind


def torch_device(name: str) -> torch.device:
    """The device of that name; InputError where it does not exist here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} is not available here ({reason}): use cpu, or cuda on a GPU") from error
    if device.type == "meta":
        raise InputError("device 'meta' holds no numbers: use cpu, or cuda on a GPU")
    return device


def revision_of(path: Path) -> str:
    """The commit a hub cache folder (…/snapshots/COMMIT) was downloaded at; "" for other folders."""
    folder = path.resolve()
    return folder.name if folder.parent.name == "snapshots" else ""


def load_model(
    auto_class: Module,
    path: Path,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    config: Module = None,
    spare: tuple[str, ...] = (),
) -> Module:
    """The model of a folder, by a class of transformers such as AutoModelForCausalLM, in evaluation mode.

    `config` stands in for the folder's own; tensors whose names begin with one of `spare` may be left over. Raises
    InputError (path and cure named) for a missing folder, config or weights, an unknown dtype or device, a folder that
    needs code of its own, tensors that are not those that config.json asks for, weights that are no floating-point
    numbers, NaN or infinite, or more of them than memory holds.
    """
    described = read_config(path)
    kind, place = torch_dtype(dtype), torch_device(device)
    stored = read_headers(weight_files(path))
    _require_layers(path, described, stored)
    common = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        chosen = AutoConfig.from_pretrained(path, **common) if config is None else config
        with torch.device("meta"):
            skeleton = auto_class.from_config(chosen, trust_remote_code=trust_remote_code, dtype=kind)
        _require_fit(path, skeleton, stored, "quantization_config" in described)
        model, info = auto_class.from_pretrained(
            path,
            config=chosen,
            dtype=kind,
            use_safetensors=True,
            attn_implementation="sdpa",
            output_loading_info=True,
            **common,
        )
    except InputError:
        raise
    except Exception as error:  # a damaged folder can fail anywhere in the libraries that read it
        if trust_remote_code:  # what code of the folder's own raises comes through
            raise
        raise InputError(
            f"cannot load the model at {path} ({one_line(error)}): give a checkpoint of this kind"
        ) from error
    _require_all(path, info, spare)
    _require_finite(path, model, dtype)
    return model.to(place).eval()


def _require_layers(path: Path, config: Mapping[str, Json], stored: Mapping[str, StoredTensor]) -> None:
    """No list of so many layers is even made unless the weights may hold them."""
    held = 1 + max((int(number) for name in stored for number in _LAYER.findall(name)), default=-1)
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    for name, layers in ((name, part[name]) for part in parts for name in _LAYERS if name in part):
        if isinstance(layers, int) and layers > held:
            raise InputError(
                f"{path / 'config.json'} tells {name} = {layers}, and the weights hold {held}: download the checkpoint "
                "again"
            )


def _require_fit(path: Path, skeleton: Module, stored: Mapping[str, StoredTensor], quantized: bool) -> None:
    """The shapes and dtypes of what is stored under the names of the model's own parameters, and room for all."""
    prefix = getattr(skeleton, "base_model_prefix", "")
    parameters = dict(skeleton.named_parameters())
    for name, parameter in parameters.items():
        tensor = stored.get(name) or stored.get(f"{prefix}.{name}")
        if tensor is None or quantized:
            continue
        if tensor.shape != tuple(parameter.shape):
            raise InputError(
                f"{path / 'config.json'} asks for {name} of shape {tuple(parameter.shape)}, and {tensor.file.name} "
                f"holds {tensor.shape}: one of the two is of another model, download the checkpoint again"
            )
        if tensor.dtype not in FLOATING:
            raise InputError(
                f"{tensor.file} holds {name} as {tensor.dtype}, no floating-point numbers (such as F32): download the "
                "checkpoint again"
            )
    need = sum(parameter.numel() * parameter.element_size() for parameter in parameters.values())
    require_memory(need, f"the model at {path}", "use a smaller model, a narrower --dtype, or a vLLM server")


def _require_all(path: Path, info: Mapping[str, Json], spare: tuple[str, ...]) -> None:
    """No weight drawn at random, and none of the model's left over."""
    wrong = sorted(info["missing_keys"]) or sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise InputError(
            f"the weights at {path} lack {wrong[0]} ({len(wrong)} in all), so it is no whole checkpoint of what its "
            "config.json tells: download it again"
        )
    extra = sorted(name for name in info["unexpected_keys"] if not name.startswith(spare or ("\0",)))
    if extra:
        raise InputError(
            f"the weights at {path} hold {extra[0]} ({len(extra)} such tensors), which the model that config.json "
            "tells does not have: it is of another model, download the checkpoint again"
        )


@torch.no_grad()
def _require_finite(path: Path, model: Module, dtype: str) -> None:
    for name, weight in model.named_parameters():
        # NaN passes through the extremes, so no array of flags is needed
        if weight.is_floating_point() and weight.numel() and not all(map(torch.isfinite, torch.aminmax(weight))):
            raise InputError(
                f"the weights at {path} have NaN or infinite numbers in {name} (as {dtype}): download the checkpoint "
                "again, or give a wider --dtype"
            )


def load_tokenizer(path: Path, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a folder. Raises InputError where it cannot be read, or knows no tokens."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code, local_files_only=True)
        known = tokenizer.get_vocab()
    except Exception as error:  # its files are read by three libraries, each with errors of its own
        if trust_remote_code:
            raise
        raise InputError(
            f"cannot load the tokenizer at {path} ({one_line(error)}): download its files again (tokenizer.json, "
            "tokenizer_config.json)"
        ) from error
    if not known:
        raise InputError(f"the tokenizer at {path} knows no tokens: download its files again (tokenizer.json)")
    return tokenizer


def load_checkpoint(
    auto_class: Module,
    path: Path,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    spare: tuple[str, ...] = (),
) -> tuple[Module, Tokenizer]:
    """(model, tokenizer) of a folder; errors as `load_model` and `load_tokenizer`, and where the tokenizer's end of
    sequence has no logit of the model. Warns where the folder's own code is executed."""
    if trust_remote_code:
        warnings.warn(f"code found in {path} is executed (trust_remote_code): read it first", stacklevel=3)
    model = load_model(auto_class, path, device, dtype, trust_remote_code, spare=spare)
    tokenizer = load_tokenizer(path, trust_remote_code)
    size, end = getattr(model.config.get_text_config(), "vocab_size", None), tokenizer.eos_token_id
    if size is not None and end is not None and not 0 <= end < size:
        raise InputError(
            f"the tokenizer at {path} ends a sequence by {tokenizer.eos_token!r}, id {end}, and the model knows the "
            f"ids 0 to {size - 1}: its tokenizer files are missing or another model's, download them again"
        )
    return model, tokenizer
