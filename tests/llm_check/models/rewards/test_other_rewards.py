"""Sequence classifiers, the verifiable reward, Python functions, the tiny classifier, and what all rewards share."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.grading import worker_pool as grading_pool
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import reward_record, unjudged
from llm_check.models.rewards.scored_once import RewardMemory, score_once
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tasks.problem import Problem
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.tokenizer import build_tokenizer as tiny_tokenizer
from tests.llm_check.models.rewards.small_checkpoints import build_tokenizer, save_classifier, small_config

POLICY = build_tokenizer(reverse=True)


def encode(text: str) -> tuple[int, ...]:
    return tuple(POLICY(text, add_special_tokens=False)["input_ids"])


def place(*steps: str, answers: tuple[str, ...] = ("13",), question: str = "What is 12+1?") -> Position:
    problem = Problem("q", question, answers)
    return Position(Prompt("q", encode(question), problem), tuple(encode(step) for step in steps))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("rm") / "classifier", labels=1)


def whole_logits(folder: Path, question: str, solution: str) -> torch.Tensor:
    """The logits of one conversation tokenized as text, alone."""
    tokenizer = build_tokenizer()
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": solution}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt")).logits[0].double()


@pytest.mark.parametrize(("activation", "bounds"), [("sigmoid", (0.0, 1.0)), ("raw", (-np.inf, np.inf))])
def test_sequence_classifier_reads_the_whole_conversation(
    classifier: Path, activation: str, bounds: tuple[float, float]
) -> None:
    model = load_reward(f"{classifier}?activation={activation}", POLICY)
    assert (model.low, model.high) == bounds
    places = [place(), place("first\n\n"), place("first\n\n", "so\n\n"), place()]
    steps = [encode("first\n\n"), encode("so the end"), (*encode("\\boxed{13}"), POLICY.eos_token_id), encode("x")]
    texts = ["first", "first\n\nso the end", "first\n\nso\n\n\\boxed{13}", "x"]
    logits = [float(whole_logits(classifier, "What is 12+1?", text)[0]) for text in texts]
    expected = logits if activation == "raw" else 1 / (1 + np.exp(-np.array(logits)))
    np.testing.assert_allclose(model.score(places, steps), expected, atol=3e-6)
    assert np.ptp(expected) > 1e-3


def test_two_labels_give_the_probability_of_class_one(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "two", labels=2)
    model = load_reward(str(folder), POLICY)
    expected = whole_logits(folder, "What is 12+1?", "13").softmax(dim=-1)[1]
    np.testing.assert_allclose(model.score([place()], [encode("13")]), [expected], atol=3e-6)
    with pytest.raises(InputError, match=r"activation 'sigmoid' for the 2 labels .*softmax"):
        load_reward(f"{folder}?activation=sigmoid", POLICY)
    with pytest.raises(InputError, match=r"activation 'sigmoid' for the 3 labels .* one label or two"):
        load_reward(str(save_classifier(tmp_path / "three", labels=3)), POLICY)


def test_a_classifier_that_is_no_decoder_reads_question_and_solution_as_one_text(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=267, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1,
        initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    build_tokenizer(chat=False).save_pretrained(tmp_path)
    model = load_reward(f"sequence_classifier:{tmp_path}?activation=raw", POLICY)
    ids = model.tokenizer("What is 12+1?\n\nfirst\n\nlast")["input_ids"]
    own = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.inference_mode():
        expected = own(input_ids=torch.tensor([ids])).logits[0, 0]
    np.testing.assert_allclose(model.score([place("first\n\n")], [encode("last")]), [float(expected)], atol=3e-6)


def test_a_folder_without_a_head_is_refused(tmp_path: Path) -> None:
    from transformers import Qwen2ForCausalLM

    Qwen2ForCausalLM(small_config()).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds Qwen2ForCausalLM, no reward model known here"):
        load_reward(str(tmp_path), POLICY)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["Qwen2ForSequenceClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_labels": 1}))
    with pytest.raises(InputError, match=r"lack score.weight \(1 in all\)"):
        load_reward(str(tmp_path), POLICY)


def test_tiny_classifier_loads_by_folder_and_refuses_another_tokenizer() -> None:
    folder = checkpoint_path("prm")
    model = load_reward(str(folder), tiny_tokenizer())
    task = load_task("arithmetic", limit=2)
    prompts = task.prompts(model.tokenizer)
    rewards = model.score([Position(prompt) for prompt in prompts], [(4, 13), (5, 13)])
    assert ((rewards >= 0) & (rewards <= 1)).all()
    with pytest.raises(InputError, match=r"reads the policies' token ids, but .* same tokenizer"):
        load_reward(f"token_classifier:{folder}", POLICY)
    with pytest.raises(InputError, match="runs in float32"):
        load_reward(f"token_classifier:{folder}", tiny_tokenizer(), dtype="bfloat16")
    assert model.name == "prm"  # no path of this machine
    with torch.no_grad():
        model.model.score.weight.fill_(torch.nan)
    model.forget()
    with pytest.raises(InputError, match="reward prm gave nan for step 0 of prompt test-"):
        model.score([Position(prompts[0])], [(4, 13)])


def test_verifiable_reward_grades_the_solution_so_far() -> None:
    model = load_reward("verifiable", POLICY)
    before = place("12+1\n\n")
    steps = [encode(text) for text in ("not yet", "\\boxed{13}", "\\boxed{\\frac{26}{2}}", "\\boxed{14}", "\\boxed{13")]
    assert model.score([before] * 5, steps).tolist() == [0.0, 1.0, 1.0, 0.0, 0.0]
    assert not model.failures and not unjudged(model)
    tiny = tiny_tokenizer()
    task = load_task("arithmetic", limit=1)
    prompt = task.prompts(tiny)[0]
    right, wrong = (encode_text(tiny, f"\\boxed{{{task.problems[0].answer + off}}}") for off in (0, 1))
    assert load_reward("verifiable", tiny).score([Position(prompt)] * 2, [right, wrong]).tolist() == [1.0, 0.0]
    with pytest.raises(InputError, match="prompt q has no reference answer"):
        model.score([place(answers=())], [encode("\\boxed{13}")])


def test_a_failing_grader_is_counted_and_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print('{}', flush=True); [print('?', flush=True) for _ in sys.stdin]"
    broken = grading_pool.GradingPool(1, (sys.executable, "-c", code))
    monkeypatch.setattr("llm_check.models.grading.grading.shared_pool", lambda size: broken)
    model = load_reward("verifiable", POLICY)
    with pytest.warns(UserWarning, match=r"the grader failed, counted in failures: .*garbage"):
        rewards = model.score([place()] * 2, [encode("\\boxed{1}"), encode("none")])
    assert rewards.tolist() == [0.0, 0.0]
    assert dict(model.failures) == {"the grading process answered garbage": 1}
    assert unjudged(model) == "verifiable could not judge 1 steps, rewarded 0: 1 × the grading process answered garbage"
    broken.close()


def write_judge(folder: Path) -> Path:
    path = folder / "my_judge.py"
    path.write_text(
        textwrap.dedent(
            """
            def length(questions, solutions):
                return [len(q) + 100 * len(s) + len(s[-1]) for q, s in zip(questions, solutions)]
            def short(questions, solutions):
                return [0.5]
            def odd(questions, solutions):
                return [float("nan")] * len(questions)
            """
        )
    )
    return path


def test_a_python_function_is_a_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_judge(tmp_path)
    model = load_reward(f"python:{path}:length", POLICY)
    rewards = model.score([place("a\n\n")] * 3, [encode("xyz\n\n"), encode("xyz"), encode("wxyz")])
    assert rewards.tolist() == [216.0, 216.0, 217.0]
    monkeypatch.syspath_prepend(str(tmp_path))
    bounded = load_reward("python:my_judge:length?low=0&high=10", POLICY)
    assert (bounded.low, bounded.high) == (0.0, 10.0)
    with pytest.raises(InputError, match=r"gave 114 for step 0 of prompt q: .*\[0, 10\]"):
        bounded.score([place()], [encode("x")])
    with pytest.raises(InputError, match="gave 1 values for 2 steps"):
        load_reward("python:my_judge:short", POLICY).score([place()] * 2, [encode("x"), encode("y")])
    with pytest.raises(InputError, match="gave nan for step 0 of prompt q"):
        load_reward("python:my_judge:odd", POLICY).score([place()], [encode("x")])


def test_a_function_of_prefix_and_step_is_a_reward() -> None:
    seen: list[tuple[str, str]] = []

    def judge(prefix: str, step: str) -> float:
        seen.append((prefix, step))
        return len(step)

    model = load_reward(judge, POLICY)
    steps = [(*encode("ab\n\n"), POLICY.eos_token_id), encode("abc")]
    assert model.score([place("x\n\n")] * 2, steps).tolist() == [4.0, 3.0]
    assert seen == [("What is 12+1?x\n\n", "ab\n\n"), ("What is 12+1?x\n\n", "abc")]
    model.score([place("x\n\n")], [encode("abc")])
    assert len(seen) == 2
    model.forget()
    model.score([place("x\n\n")], [encode("abc")])
    assert len(seen) == 3
    assert model.name.startswith("python:") and "judge" in model.name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("python:json:absent", "json has no function absent"),
        ("python:no_such_module_x:f", "no module no_such_module_x"),
        ("python:no_such_file.py:f", "there is no file no_such_file.py"),
        ("python:json", "write python:module:function"),
        ("python:json:dumps?low=1&high=0", r"range \[1, 0\]"),
        ("python:json:dumps?low=x", "setting low = 'x' .* give a number"),
        ("python:json:dumps?low=0,high=1", "setting low = '0,high=1' .* separated by &"),
        ("python:json:dumps?mid=1", "setting 'mid' .* low, high"),
        ("verifiable:gsm8k", "write verifiable alone"),
        ("qwen:folder", "'qwen' is no kind of reward model .*'qwen_prm'.*; use one of qwen_prm"),
        ("no/such/folder", "no model folder at no/such/folder: there is no such folder"),
        ("", "specification ''"),
    ],
)
def test_bad_specifications_are_named(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_reward(spec, POLICY)


def test_pickled_weights_and_broken_configs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config.json"):
        load_reward(str(tmp_path), POLICY)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is not JSON"):
        load_reward(str(tmp_path), POLICY)
    (tmp_path / "config.json").write_text('{"architectures": ["Qwen2ForProcessRewardModel"]}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match="pickled weights are not read"):
        load_reward(str(tmp_path), POLICY)


def test_memory_scores_each_pair_once_and_forgets_the_oldest() -> None:
    asked: list[int] = []

    def compute(pairs: list[Any]) -> list[float]:
        asked.extend(step[0] for _, step in pairs)
        return [float(step[0]) for _, step in pairs]

    memory = RewardMemory(entries=2)
    at = Position(Prompt("p", (1,)))
    other_split = Position(Prompt("p", (1,)), ((2, 3), (4,)))
    same_ids = Position(Prompt("p", (1,)), ((2,), (3, 4)))

    def run(where: Position, *steps: int) -> list[float]:
        found = score_once(memory, "r", (0, 9), [where] * len(steps), [(s,) for s in steps], compute)
        return found.tolist()

    assert run(at, 3, 3, 4) == [3.0, 3.0, 4.0] and asked == [3, 4]
    assert run(at, 3, 5, 3) == [3.0, 5.0, 3.0] and asked == [3, 4, 5]  # 4 is the least recently used: forgotten
    assert run(at, 4) == [4.0] and asked == [3, 4, 5, 4]
    asked.clear()
    run(other_split, 7)
    run(same_ids, 7)
    assert asked == [7, 7]  # equal ids, other steps: another question to a process reward model


def test_reward_record_states_range_and_settings(classifier: Path) -> None:
    raw = load_reward(f"sequence_classifier:{classifier}?activation=raw", POLICY)
    assert reward_record(raw) == {
        "name": "classifier", "low": None, "high": None, "architecture": "Qwen2ForSequenceClassification",
        "activation": "raw", "dtype": "float32",
    }  # fmt: skip
