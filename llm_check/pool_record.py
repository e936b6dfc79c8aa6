"""Provenance of a pool: models, reward, task, steps, seeds and versions, in JSON. No machine paths, no keys."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_check.engines.contract import Engine
from llm_check.fingerprint import checkpoint_digest, checkpoint_revision
from llm_check.positions import Prompt
from llm_check.rewards.contract import RewardModel

__all__ = ["folder_of", "policy_record", "prompts_digest", "reward_record"]


def folder_of(spec: str | Path) -> Path | None:
    """The checkpoint folder that a spec names (FOLDER, KIND:FOLDER, with ?settings); None where there is none."""
    text = str(spec).partition("?")[0]
    for place in (text, text.partition(":")[2]):
        if place and Path(place).is_dir():
            return Path(place)
    return None


def _files(spec: str | Path) -> dict[str, Any]:
    folder = folder_of(spec)
    if folder is None:
        return {"sha256": None, "revision": None}
    return {"sha256": checkpoint_digest(folder), "revision": checkpoint_revision(folder)}


def policy_record(spec: str | Path, engine: Engine) -> dict[str, Any]:
    """The log-prob contract of a policy, and digest and revision of its files (None when they are on a server)."""
    return asdict(engine.contract) | _files(spec)


def reward_record(spec: str | Path, model: RewardModel) -> dict[str, Any]:
    """Name, range (None where there is no bound), digest and revision of a reward model."""
    low, high = (bound if math.isfinite(bound) else None for bound in (model.low, model.high))
    # A name may be the path it was loaded from: its last two parts say which model it is.
    name = "/".join(Path(model.name).parts[-2:])
    return {"name": name, "low": low, "high": high} | _files(spec)


def prompts_digest(prompts: Sequence[Prompt]) -> str:
    """SHA-256 of all ids and token ids of the prompts, in order: another data set, template or tokenizer changes it."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(repr((prompt.prompt_id, prompt.ids)).encode())
    return digest.hexdigest()
