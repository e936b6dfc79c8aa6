"""Provenance of a pool: which files models came from, and which prompts were put. No machine paths, no keys."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gsi_theory.types import Record
from llm_check.models.decoding.positions import Prompt
from llm_check.models.engines.engine import Engine
from llm_check.models.real.model_cache import real_name

__all__ = [
    "checkpoint_digest",
    "checkpoint_parameters",
    "checkpoint_revision",
    "folder_of",
    "policy_record",
    "prompts_digest",
    "reward_files",
]

# What decides a model's output: weights, configuration, tokenizer, chat template.
_PATTERNS = (
    "*.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
# Kinds of reward that are computed without a model.
_COMPUTED = ("verifiable", "python")
_BLOCK = 1 << 22
# The hub's cache keeps a checkpoint under models--owner--name/snapshots/<commit>.
_SNAPSHOT = re.compile(r"[0-9a-f]{40}")


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files of a checkpoint that decide its output; file order is by name."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + str(path.stat().st_size).encode() + b"\0")
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def checkpoint_revision(folder: Path) -> str | None:
    """The hub's commit of a checkpoint that lies in the hub's cache; None elsewhere."""
    name = folder.resolve().name
    return name if _SNAPSHOT.fullmatch(name) and folder.resolve().parent.name == "snapshots" else None


def checkpoint_parameters(folder: Path) -> int | None:
    """Numbers in a checkpoint's safetensors files, by their headers; shared ones count once. None where it has none."""
    total, read = 0, False
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
        read = True
    return total if read else None


def folder_of(spec: str) -> Path | None:
    """The checkpoint folder that a spec names (FOLDER, KIND:FOLDER, with ?settings; of a draft of a real model, the
    model's); None where there is none."""
    named = real_name(spec)
    if named is not None:
        return named.folder()
    text = spec.partition("?")[0]
    for place in (text, text.partition(":")[2]):
        if place and os.path.isdir(place):
            return Path(place)
    return None


def _files(spec: str) -> Record:
    folder = folder_of(spec)
    if folder is None:
        return {"sha256": None, "revision": None, "parameters": 0 if spec.partition(":")[0] in _COMPUTED else None}
    return {
        "sha256": checkpoint_digest(folder),
        "revision": checkpoint_revision(folder),
        "parameters": checkpoint_parameters(folder),
    }


def policy_record(spec: str, engine: Engine) -> Record:
    """The log-prob contract of a policy; digest and revision of its files and its parameters (None on a server)."""
    return asdict(engine.contract) | _files(spec)


def reward_files(spec: str) -> Record:
    """Digest and revision of a reward model's files and its parameters; None where they are not here."""
    return _files(spec)


def prompts_digest(prompts: Sequence[Prompt]) -> str:
    """SHA-256 of all ids and token ids of the prompts, in order: another data set, template or tokenizer changes it."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(repr((prompt.prompt_id, prompt.ids)).encode())
    return digest.hexdigest()
