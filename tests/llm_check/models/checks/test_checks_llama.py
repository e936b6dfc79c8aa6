"""Every check on a pair that is not the embedded one, on the task that was asked for: small checkpoints of Llama class
with a vocabulary of 2,000, where nothing lists the next steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.cli import main
from gsi_theory.runs.artifact import read_artifact
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.command_check import check
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.world import World, load_world
from tests.llm_check.models.small_llama import save_pair, save_sums

SMALL = {
    "lm_headline": ["problems=1", "tolerance=1e-3"],
    "lm_law": ["problems=1", "draws=160"],
    "lm_prediction": ["problems=2", "candidates=16", "runs=8", "ns=1,4", "betas=2"],
    "lm_accuracy": ["problems=2", "ns=1,2"],
    "lm_speed": ["problems=1", "repeats=1", "n=2", "more=4"],
    "lm_noise": ["problems=1", "runs=8", "ns=4"],
}
REWARD = f"python:{Path(__file__).parents[1] / 'small_llama.py'}:length_reward?low=0&high=1"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("llama")
    return *save_pair(folder), save_sums(folder)


def loaded(folders: tuple[Path, Path, Path], **more: Any) -> World:
    draft, base, task = folders
    given: dict[str, Any] = {"step": "answer", "max_tokens": 4} | more
    return load_world(draft, base, REWARD, task=f"jsonl:{task}?answer=last_number", template="chat-user", **given)


@pytest.mark.parametrize("name", [name for name in CHECKS if name in SMALL])
def test_checks_run_on_what_was_asked_for_and_say_so(
    name: str, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    draft, base, task = folders
    settings = [word for pair in SMALL[name] for word in ("--set", pair)]
    step = "tokens:1" if name == "lm_headline" else "answer"
    options = ["--task", f"jsonl:{task}?answer=last_number", "--template", "chat-user", "--step", step]
    more = ["--max-tokens", "4", "--instruction", "Say the number.", "--seed", "5", "--out", str(tmp_path)]
    models = ["--draft", str(draft), "--base", str(base), "--reward", REWARD]
    with pytest.raises(SystemExit) as ended:
        main(["check", name, *models, *options, *more, *settings])
    artifact = read_artifact(tmp_path / f"{name}.json")
    assert ended.value.code == (1 if artifact.summary.get("passed") is False else 0)
    ran = artifact.summary["world"]
    assert ran["task"] == "jsonl?answer=last_number" and ran["source"] == "sums.jsonl" and ran["step"] == step
    assert ran["prompts"]["template"] == "chat-user" and ran["prompts"]["instruction"] == "Say the number."
    assert ran["draft"].endswith("draft") and ran["reward"]["name"] == "python:small_llama.py:length_reward"
    command = artifact.provenance["command"]
    for word in ("--task 'jsonl:sums.jsonl?answer=last_number'", "--template chat-user", "Say the number.", "--reward"):
        assert word in command
    assert str(draft.parent) not in json.dumps([ran, command])
    texts = artifact.tables.get("prompts", artifact.tables.get("positions", {})).get("prefix_text", [])
    assert all("What is" in text and "Say the number." in text for text in texts)


class Wrong:
    """An engine that draws from another law than its contract says: at another temperature, or never the likeliest
    first token."""

    def __init__(self, engine: TransformersEngine, temperature: float) -> None:
        contract = replace(engine.contract, sampling_temperature=temperature)
        self._engine, self._other, self._top = engine, replace(engine, contract=contract), temperature == 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sample(self, prefixes: Any, n: int, streams: Any, rule: Any) -> Any:
        if not self._top:
            made = self._other.sample(prefixes, n, streams, rule)
            return replace(made, token_logp=self._engine.score(prefixes, made.tokens))
        made = self._engine.sample(prefixes, 3 * n, streams, rule)
        top = self._engine.log_probs(prefixes)[0].argmax()
        kept = np.flatnonzero(made.tokens[0, :, 0] != top)[:n]
        return replace(
            made, tokens=made.tokens[:, kept], token_logp=made.token_logp[:, kept], finish=made.finish[:, kept]
        )


@pytest.mark.parametrize("temperature", [0.8, 1.0])
def test_the_scored_law_check_finds_wrong_samplers(
    temperature: float, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    world = loaded(folders)
    right = read_artifact(check("lm_law", world, 1, tmp_path / "a", {"problems": "1", "draws": "600"})).summary
    assert right["way"] == "scored" and right["passed"] is True
    assert right["detectable_tv"] < 0.2 and right["max_logp_difference"] < 1e-3
    wrong: Any = Wrong(world.draft, temperature)  # type: ignore[arg-type]
    other = replace(world, draft=wrong)
    path = check("lm_law", other, 1, tmp_path / "b", {"problems": "1", "draws": "600"}, reference=world)
    found = read_artifact(path)
    assert found.summary["passed"] is False
    p = dict(zip(zip(found.tables["prompts"]["sampler"], found.tables["prompts"]["test"], strict=True),
                 found.tables["prompts"]["p_holm"], strict=True))  # fmt: skip
    assert p["draft", "tokens 1"] < 0.01 or p["draft", "log-prob"] < 0.01


def test_enumeration_of_a_large_vocabulary_is_pruned_or_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft, base, task = folders
    line = ["check", "lm_headline", "--draft", str(draft), "--base", str(base), "--task", f"jsonl:{task}"]
    line += ["--reward", REWARD, "--out", str(tmp_path), "--set", "problems=1"]
    with pytest.raises(SystemExit) as ended:
        main([*line, "--step", "tokens:6", "--set", "tolerance=1e-9"])
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2 and "of a vocabulary of 2,000" in said and "take shorter steps" in said
    with pytest.raises(SystemExit) as ended:
        main([*line, "--step", "tokens:2", "--set", "tolerance=0.2"])
    summary = read_artifact(tmp_path / "lm_headline.json").summary
    assert ended.value.code == 0 and 0.0 < summary["missing_mass"] <= 0.4 and summary["outcomes"] > 10
