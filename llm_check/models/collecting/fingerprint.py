"""Which weights were used: a digest of a checkpoint folder, and its revision. No torch here."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

__all__ = ["checkpoint_digest", "checkpoint_revision"]

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
