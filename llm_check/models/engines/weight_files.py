"""The safetensors files of a checkpoint folder: which they are, and what their headers say. Nothing is loaded here.

`weights_hash` says which weights they were: sha256 over the names and contents of all *.safetensors files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import parse_json
from gsi_theory.types import Record

__all__ = ["FLOATING", "StoredTensor", "one_line", "read_headers", "read_object", "weight_files", "weights_hash"]

AGAIN = "download the checkpoint again"
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
_LONGEST = 240


@dataclass(frozen=True)
class StoredTensor:
    """What a header says of one tensor; `dtype` as safetensors writes it ("F32")."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def one_line(error: BaseException) -> str:
    """What an exception of a library says, in one line, shortened; its type where the text alone says little."""
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "..."
    return text if " " in text else f"{type(error).__name__}: {text}"


def read_object(path: Path) -> Record:
    """The JSON object in a file of a checkpoint. Raises InputError where there is none."""
    try:
        value = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({one_line(error)}): {AGAIN}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is {type(value).__name__}, not an object: {AGAIN}")
    return value


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights: model.safetensors, or the shards that its index names.

    Raises InputError where there is neither, or the index is none or names a file that is not there.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        raise InputError(f"{folder} has no file model.safetensors, and no {index.name}: {AGAIN}")
    places = read_object(index).get("weight_map")
    if not isinstance(places, Mapping) or not places or not all(isinstance(name, str) for name in places.values()):
        raise InputError(f"{index} has no weight_map from tensors to files: {AGAIN}")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{index} names the file {name!r}, which is not in the folder: {AGAIN}")
    return [folder / name for name in names]


def read_headers(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """Every tensor of these files by name. Raises InputError for a file that is cut or no safetensors."""
    tensors: dict[str, StoredTensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    part = file.get_slice(name)
                    tensors[name] = StoredTensor(path, part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is no whole safetensors file ({one_line(error)}): {AGAIN}") from error
    return tensors


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
