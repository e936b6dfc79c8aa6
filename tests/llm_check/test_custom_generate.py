"""GSI inside transformers' generate: the lines of docs/models.md, padding, limits, criteria, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria

from gsi_theory.errors import InputError
from llm_check.custom_generate import gsi
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.solution import decode
from llm_check.models.tiny import checkpoint_path
from llm_check.models.world import World, load_world
from tests.llm_check.models.small_llama import save_pair

SNIPPET = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_check.custom_generate import gsi
from llm_check.models.tiny import checkpoint_path

base, draft, prm = (checkpoint_path(name) for name in ("base", "draft", "prm"))  # or folders of your own
model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
prompt = tokenizer("48-5-7+4\\n\\n", return_tensors="pt", add_special_tokens=False)
guided = gsi(draft=draft, reward=prm, beta=20, n=8, threshold=0.5)
answer = model.generate(**prompt, custom_generate=guided, max_new_tokens=32)
print(tokenizer.decode(answer[0]))
"""
TEXTS = ["48-5-7+4\n\n", "9+1+1+1\n\n", "95-7+5-7\n\n43"]


@pytest.fixture(scope="module")
def world() -> World:
    return load_world(limit=1)


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(checkpoint_path("base"))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(checkpoint_path("base"), padding_side="left")


def guided(world: World, **more: Any) -> Any:
    return gsi(world.draft, world.reward_model, **({"beta": 20, "n": 4, "threshold": 0.5} | more))


def encoded(tokenizer: Any, texts: list[str]) -> Any:
    tokenizer.pad_token_id = 0
    return tokenizer(texts, return_tensors="pt", add_special_tokens=False, padding=True)


def test_the_lines_of_the_page_on_models_solve_the_problem(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(SNIPPET, "models.md", "exec"), {})
    assert capsys.readouterr().out == "48-5-7+4\n\n43\n\n36\n\n40\n\n\\boxed{40}\n"


def test_the_page_on_models_shows_these_lines() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert SNIPPET in page


@pytest.mark.parametrize("method", ["gsi", "rsd", "base", "specs"])
def test_a_padded_batch_is_what_decode_gives(method: str, world: World, model: Any, tokenizer: Any) -> None:
    given = encoded(tokenizer, TEXTS)
    call = guided(world, method=method, seed=3)
    got = model.generate(**given, custom_generate=call, max_new_tokens=24)
    rows = given.input_ids.numpy()
    prompts = [
        Prompt(str(i), tuple(row[mask.astype(bool)].tolist()))
        for i, (row, mask) in enumerate(zip(rows, given.attention_mask.numpy(), strict=True))
    ]
    expected = decode(
        method, world.draft, world.base, world.reward_model, prompts, 20.0, 4, 0.5,
        call_rule(world, 24), 3, max_steps=40,
    )  # fmt: skip
    assert torch.equal(got[:, : rows.shape[1]], given.input_ids)
    for row, path in zip(got[:, rows.shape[1] :].tolist(), expected.step_ids, strict=True):
        tokens = [token for step in path for token in step][:24]
        assert row == tokens + [0] * (len(row) - len(tokens))
    np.testing.assert_array_equal(call.records["step"][:3], [0, 0, 0])


def call_rule(world: World, limit: int) -> Any:
    from llm_check.models.decoding.reasoning_steps import parse_step_rule

    return parse_step_rule("delimiter:\\n\\n", world.draft.tokenizer, limit)


def test_length_limit_and_criteria_end_a_solution(world: World, model: Any, tokenizer: Any) -> None:
    given = encoded(tokenizer, TEXTS[:1])
    full = model.generate(**given, custom_generate=guided(world), max_new_tokens=32)
    cut = model.generate(**given, custom_generate=guided(world), max_new_tokens=4)
    assert cut.shape[1] == given.input_ids.shape[1] + 4 < full.shape[1]

    class AfterOneStep(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **more: Any) -> Any:
            return torch.full((len(input_ids),), True)

    call = guided(world)
    stopped = model.generate(**given, custom_generate=call, max_new_tokens=32, stopping_criteria=[AfterOneStep()])
    assert len(call.records["step"]) == 1
    assert torch.equal(stopped[0], full[0, : stopped.shape[1]])


def test_sequences_of_one_prompt_differ_and_dictionaries_are_given(world: World, model: Any, tokenizer: Any) -> None:
    given = encoded(tokenizer, ["4+5+5+9\n\n"])
    call = guided(world, method="draft")
    found = model.generate(
        **given, custom_generate=call, max_new_tokens=24, do_sample=True, top_k=0, num_return_sequences=6,
        return_dict_in_generate=True,
    )  # fmt: skip
    assert found.sequences.shape[0] == 6
    assert len({tuple(row) for row in found.sequences.tolist()}) > 1


def test_what_changes_the_law_is_refused(world: World, model: Any, tokenizer: Any) -> None:
    given = encoded(tokenizer, TEXTS[:1])
    with pytest.raises(InputError, match=r"TemperatureLogitsWarper.*pass do_sample=False"):
        model.generate(**given, custom_generate=guided(world), max_new_tokens=8, do_sample=True, temperature=0.7)
    with pytest.raises(InputError, match="RepetitionPenaltyLogitsProcessor"):
        model.generate(**given, custom_generate=guided(world), max_new_tokens=8, repetition_penalty=1.1)
    with pytest.raises(InputError, match="method 'gis'"):
        guided(world, method="gis")
    with pytest.raises(InputError, match="needs a threshold"):
        guided(world, method="rsd", threshold=None)
    with pytest.raises(InputError, match="no model folder at /nowhere"):
        gsi("/nowhere", world.reward_model, beta=1, n=2)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, str]:
    """(base, tokenizer, draft's folder) of the small checkpoints of Llama class."""
    draft, base = save_pair(tmp_path_factory.mktemp("llama"))
    return AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base), str(draft)


def test_rewards_that_are_functions_files_and_answers_on_a_llama(llama: Any, tmp_path: Path) -> None:
    """A function, `python:` and `verifiable` choose as they say, on prompts of a chat template."""
    model, tokenizer, draft = llama
    turns = [[{"role": "user", "content": f"What is {i} + {i}?"}] for i in (2, 3)]
    given = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True, padding_side="left"
    )
    seen: list[str] = []

    def short(prefix: str, step: str) -> float:
        seen.append(prefix)
        return -float(len(step))

    (tmp_path / "own.py").write_text("def short(questions, steps):\n    return [-len(s[-1]) / 99 for s in steps]\n")
    lengths = {}
    for name, reward in {
        "function": short,
        "file": f"python:{tmp_path / 'own.py'}:short",
        "none": lambda *_: 0.0,
    }.items():
        call = gsi(draft, reward, beta=1e4, n=8, method="soft_bon_base", step="answer", max_step_tokens=8)
        found = model.generate(**given, custom_generate=call, max_new_tokens=8)
        assert found.shape[0] == 2
        lengths[name] = sum(len(tokenizer.decode(row)) for row in found[:, given["input_ids"].shape[1] :])
    assert lengths["function"] < lengths["none"] and lengths["file"] <= lengths["none"]
    assert "What is 2 + 2?" in seen[0]
    call = gsi(
        draft, "verifiable?answer=last_number", beta=5.0, n=2, threshold=0.5, step="answer", max_step_tokens=8,
        answers=["4", "6"],
    )  # fmt: skip
    more = model.generate(
        **given, custom_generate=call, max_new_tokens=8, num_return_sequences=2, do_sample=True, top_k=0
    )
    assert more.shape[0] == 4 and set(call.records["reward"].tolist()) <= {0.0, 1.0}
    with pytest.raises(InputError, match="without answers"):
        gsi(draft, "verifiable", beta=1.0, n=2)
    with pytest.raises(InputError, match=r"3 answers for 2 rows"):
        three = gsi(draft, "verifiable", beta=1.0, n=2, answers=["4", "6", "8"])
        model.generate(**given, custom_generate=three, max_new_tokens=8)
    with pytest.raises(InputError, match="reward 3 is int"):
        gsi(draft, 3, beta=1.0, n=2)  # type: ignore[arg-type]
