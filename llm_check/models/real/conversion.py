"""A file of quantized weights (GGUF) or a downloaded repository as an ordinary float32 checkpoint folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path

from gsi_theory.errors import InputError
from llm_check.models.engines.weight_files import one_line, weight_files
from llm_check.models.model_types import Module, Tokenizer

__all__ = ["convert_gguf", "convert_repository", "tensors_hash"]


def convert_gguf(gguf: Path, out: Path) -> None:
    """Write the model in a GGUF file, dequantized, with tokenizer and chat template, into the folder `out`.

    transformers refuses to save a model that was read from GGUF, so its tensors move to a model built from the
    configuration alone. Raises InputError where the file cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the reader's bar cannot be turned off
            read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except Exception as error:  # a damaged file can fail anywhere in the libraries that read it
        raise InputError(f"cannot read {gguf.name} ({one_line(error)}): give the command again") from error
    config: Module = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    _save(model, tokenizer, out)


def convert_repository(folder: Path, out: Path) -> None:
    """Write the checkpoint in `folder` as float32 into the folder `out`."""
    from transformers import AutoModelForCausalLM

    from llm_check.models.engines.checkpoint import load_checkpoint

    model, tokenizer = load_checkpoint(AutoModelForCausalLM, folder, "cpu", "float32")
    _save(model, tokenizer, out)


def _save(model: Module, tokenizer: Tokenizer, out: Path) -> None:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def tensors_hash(folder: Path) -> str:
    """sha256 (hex) over names, shapes and bytes of all tensors of a checkpoint folder, in the order of their names:
    the same whatever wrote the files."""
    import torch
    from safetensors import safe_open

    places: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            places |= dict.fromkeys(file.keys(), path)
    digest = hashlib.sha256()
    for name in sorted(places):
        with safe_open(places[name], framework="pt") as file:
            tensor = file.get_tensor(name)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
