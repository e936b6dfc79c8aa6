"""Numbers too large to compute with are refused in one line that names them, before memory is taken or a file made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gsi_theory.arrays.memory
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.custom_generate import gsi
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import parse_step_rule, require_candidates
from llm_check.models.decoding.solution import decode
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.tiny import checkpoint_path
from llm_check.models.world import World, load_world

HUGE = 10**12
DECODE = ["decode", "--problems", "1", "--out", "{}/out.json"]
POOL = ["pool", "{}/out.parquet", "--problems", "1"]
CALLS = {
    "n": ([*DECODE, "--n", str(HUGE)], ["n = 1000000000000", "TB of memory are needed", "fewer candidates"]),
    "n_base": ([*DECODE, "--n-base", str(HUGE)], ["n_base = 1000000000000", "TB of memory"]),
    "drafters": (
        [*DECODE, "--method", "drafters", "--drafter", "{draft}", "--drafter-n", str(HUGE)],
        ["TB of memory are needed"],
    ),
    "tokens": ([*DECODE, "--max-tokens", str(HUGE)], ["1000000000000 more", "context holds 64"]),
    "step": ([*DECODE, "--step", "tokens:" + "9" * 5001], ["give 1 to 4 tokens"]),
    "problems": ([*DECODE[:1], "--problems", str(HUGE)], ["1000000000000", "20000"]),
    "candidates": ([*POOL, "--candidates", str(HUGE)], ["candidates = 1000000000000", "TB of memory"]),
    "base candidates": ([*POOL, "--base-candidates", str(HUGE)], ["candidates = 1000000000000", "TB of memory"]),
    "n of a path": ([*POOL, "--path", "gsi", "--candidates", "8", "--steps", "2", "--n", str(HUGE)], ["TB of memory"]),
}
SETTINGS = {
    "lm_law": ["draws", "n"],
    "lm_prediction": ["candidates", "runs"],
    "lm_accuracy": ["ns"],
    "lm_noise": ["runs", "ns"],
    "lm_speed": ["n", "more"],
    "lm_seconds": ["more"],
}


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    places = {"{}": str(folder), "{draft}": str(checkpoint_path("draft"))}
    for mark, place in places.items():
        arguments = [text.replace(mark, place) for text in arguments]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1, said.err
    assert not list(folder.iterdir())
    return said.err


@pytest.mark.parametrize("call", CALLS)
def test_huge_options_are_refused(call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = CALLS[call]
    said = refused(arguments, tmp_path, capsys)
    for word in words:
        assert word in said


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.mark.parametrize(("check", "setting"), [(check, name) for check, names in SETTINGS.items() for name in names])
def test_huge_settings_of_checks_are_refused(check: str, setting: str, world: World, tmp_path: Path) -> None:
    more: dict[str, Any] = {"reference": world} if CHECKS[check].reference else {}
    few = {"problems": "2"} if "problems" in CHECKS[check].defaults else {}
    settings = few | {setting: str(HUGE)}
    if check == "lm_prediction":
        settings["exact"] = "0"
    with pytest.raises(InputError, match=rf"{HUGE}.*B of memory are needed"):
        CHECKS[check].run(world, 0, tmp_path / "out.json", settings, lambda done, total: None, "a test", **more)
    assert not list(tmp_path.iterdir())


def test_every_setting_of_every_check_has_its_reader() -> None:
    for check in CHECKS.values():
        texts = {
            key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for key, value in check.defaults.items()
        }
        assert read_settings(texts, check.defaults) == check.defaults


def test_an_engine_refuses_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    draft: Engine = world.draft
    cache = draft.prefill([[1, 2]])
    monkeypatch.setattr(gsi_theory.arrays.memory, "available_memory", lambda: 1e6)
    draft.sample(cache, 100, [PositionStream(0, "p", 0, 1)], world.rule)
    with pytest.raises(InputError, match=r"n = 10000: 10000 candidates of up to 4 tokens at 1 position: about 1"):
        draft.sample(cache, 10_000, [PositionStream(0, "p", 0, 1)], world.rule)
    with pytest.raises(InputError, match=r"n = 10000, n_base = 10000: .* at 2 positions"):
        models = world.draft, world.base, world.reward_model
        decode("gsi", *models, world.task.problems[:2], 1.0, 10_000, None, world.rule, 0)


def test_what_is_counted_is_what_drawing_takes(world: World) -> None:
    """The count is no less than the arrays that are returned, and no more than ten times them."""
    rule = parse_step_rule("tokens:4", world.draft.tokenizer, 4)
    steps = world.draft.sample(world.draft.prefill([[1, 2]]), 1000, [PositionStream(0, "p", 0, 1)], rule)
    held = steps.tokens.nbytes + steps.token_logp.nbytes + steps.finish.nbytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gsi_theory.arrays.memory, "available_memory", lambda: float(held))
        with pytest.raises(InputError):
            require_candidates(1000, 1, rule)
        patch.setattr(gsi_theory.arrays.memory, "available_memory", lambda: 10.0 * held)
        require_candidates(1000, 1, rule)


@pytest.mark.parametrize("option", ["--draft", "--reward", "--task", "--reward python:", "--task jsonl:"])
def test_names_too_long_for_a_file_are_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flag, _, kind = option.partition(" ")
    name = "a" * 5000 + (".py:judge" if kind == "python:" else "")
    assert "a" * 900 in refused(["decode", "--problems", "1", flag, kind + name], tmp_path, capsys)


@pytest.mark.parametrize(
    ("bad", "words"), [({"max_step_tokens": 0}, "max_step_tokens = 0"), ({"seed": -1}, "seed = -1"),
                       ({"beta": float("inf")}, "beta = inf"), ({"threshold": float("nan")}, "threshold nan"),
                       ({"n": 2.5}, "n = 2.5"), ({"method": "sgi"}, "sgi"), ({"draft": "no/such"}, "no/such")],
)  # fmt: skip
def test_generate_refuses_bad_values(bad: dict[str, Any], words: str, world: World) -> None:
    arguments: dict[str, Any] = {"draft": world.draft, "reward": world.reward_model, "beta": 1.0, "n": 2}
    with pytest.raises(InputError, match=words):
        gsi(**(arguments | bad))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e308])
def test_temperatures_that_leave_no_law_are_refused(temperature: float) -> None:
    with pytest.raises(InputError, match=r"sampling temperature .* from 1e-6 to 1e6"):
        load_engine(checkpoint_path("draft"), temperature=temperature)


@pytest.mark.parametrize("temperature", [1e-6, 1e6])
def test_extreme_temperatures_have_finite_laws(temperature: float) -> None:
    engine: Any = load_engine(checkpoint_path("draft"), temperature=temperature)
    law = engine.log_probs(engine.prefill([[1, 2, 13]]))
    assert np.isfinite(law).all() and np.logaddexp.reduce(law, axis=1) == pytest.approx(0.0, abs=1e-12)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed -1"):
        PositionStream(-1, "p", 0, 1)


def test_generate_refuses_too_many(world: World) -> None:
    from torch import tensor

    guided = gsi(world.draft, world.reward_model, beta=1.0, n=HUGE, max_step_tokens=4)
    model: Any = world.base
    with pytest.raises(InputError, match="TB of memory are needed"):
        model.model.generate(tensor(np.array([[1, 2, 13]])), custom_generate=guided, do_sample=False, max_length=20)
