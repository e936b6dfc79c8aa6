"""Provenance of a pool: which files models came from, and which prompts were put. No machine paths, no keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gsi_theory.types import Record
from llm_check.models.collecting.fingerprint import checkpoint_digest, checkpoint_revision
from llm_check.models.decoding.positions import Prompt
from llm_check.models.engines.engine import Engine

__all__ = ["folder_of", "policy_record", "prompts_digest", "reward_files"]


def folder_of(spec: str) -> Path | None:
    """The checkpoint folder that a spec names (FOLDER, KIND:FOLDER, with ?settings); None where there is none."""
    text = spec.partition("?")[0]
    for place in (text, text.partition(":")[2]):
        if place and os.path.isdir(place):
            return Path(place)
    return None


def _files(spec: str) -> Record:
    folder = folder_of(spec)
    if folder is None:
        return {"sha256": None, "revision": None}
    return {"sha256": checkpoint_digest(folder), "revision": checkpoint_revision(folder)}


def policy_record(spec: str, engine: Engine) -> Record:
    """The log-prob contract of a policy, and digest and revision of its files (None when they are on a server)."""
    return asdict(engine.contract) | _files(spec)


def reward_files(spec: str) -> Record:
    """Digest and revision of a reward model's files; None where it has none here."""
    return _files(spec)


def prompts_digest(prompts: Sequence[Prompt]) -> str:
    """SHA-256 of all ids and token ids of the prompts, in order: another data set, template or tokenizer changes it."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(repr((prompt.prompt_id, prompt.ids)).encode())
    return digest.hexdigest()
