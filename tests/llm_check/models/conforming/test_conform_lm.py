"""gsi conform lm: laws along completions by plain forwards, right samplers of all ways, planted faults found and named,
alarms at their level, and what a user meets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.models.checks.plain_law import PlainLaw
from llm_check.models.conforming.engine_conformance import conform_engine, copied
from llm_check.models.conforming.lm_bench import LmBench, load_bench
from llm_check.models.conforming.lm_samplers import Completions, LmPrompt, LmSampler
from llm_check.models.conforming.token_mistakes import COPIES, TOKEN_MISTAKES
from llm_check.models.conforming.token_nodes import nodes_along
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.small_llama import save_pair

BASE, DRAFT = str(checkpoint_path("base")), str(checkpoint_path("draft"))


@cache
def bench(tested: str = BASE, tokens: int = 3) -> LmBench:
    return load_bench(tested, prompts=3, tokens=tokens)


@cache
def table(role: str, ids: tuple[int, ...], more: int) -> np.ndarray:
    """Probabilities (16^more, V) after ids and every further `more` tokens, by whole forwards."""
    model = (bench().model if role == "base" else bench().assistant).model
    after = np.array(list(itertools.product(range(16), repeat=more)), dtype=np.int64).reshape(16**more, more)
    rows = torch.from_numpy(np.concatenate([np.tile(ids, (len(after), 1)), after], axis=1))
    with torch.inference_mode():
        return torch.softmax(model(input_ids=rows, use_cache=False).logits[:, -1].double(), -1).numpy()


def law(role: str, ids: tuple[int, ...], before: tuple[int, ...] = ()) -> np.ndarray:
    """Probabilities (V,) after ids and what was drawn."""
    return table(role, ids, len(before))[sum(y * 16**k for k, y in enumerate(reversed(before)))]


def test_laws_along_completions_are_those_of_plain_forwards() -> None:
    prompt = bench().prompts[0]
    steps = np.array([[1, 2, 3], [1, 2, 4], [15, PAD, PAD], [1, 15, PAD], [4, 5, 6]])
    plain = {"": PlainLaw(bench().model.model, prompt.ids), "assistant": PlainLaw(bench().assistant.model, prompt.ids)}
    met = np.zeros(steps.shape, dtype=int)
    for node, rows, t in nodes_along(plain, steps, prompt.ends):
        met[rows, t] += 1
        assert all(tuple(steps[row, :t]) == node.context for row in rows)
        own = law("base", prompt.ids, node.context)
        np.testing.assert_allclose(np.exp(node.log_law), own, atol=1e-6)
        np.testing.assert_allclose(np.exp(node.others["assistant"]), law("draft", prompt.ids, node.context), atol=1e-6)
        order = sorted(range(own.size), key=lambda y: -node.log_law[y])
        assert [own[order[:k]].sum() for k in range(own.size)] == pytest.approx(node.above[order].tolist(), abs=1e-6)
    assert (met == (steps != PAD)).all()


@pytest.mark.parametrize("tested", [BASE, f"generate:{BASE}", f"custom:{BASE}"])
def test_ways_of_drawing_conform(tested: str) -> None:
    judged = bench(tested).play(300)
    assert judged.outcome.conforms and judged.completions == 300
    assert (judged.score_gap is None) == (tested != BASE) and (judged.score_gap or 0.0) < 1e-4


def test_assisted_generation_conforms() -> None:
    assert bench(f"assisted:{BASE}").play(30).outcome.conforms


Law = Callable[[np.ndarray, LmPrompt, tuple[int, ...]], np.ndarray]


def planted(change: Law) -> LmSampler:
    """Draws token by token from a changed law, by `rng.choice`."""

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        tokens = np.full((n, prompt.max_tokens), PAD, dtype=np.int64)
        for row in tokens:
            for t in range(prompt.max_tokens):
                before = tuple(row[:t].tolist())
                chance = change(law("base", prompt.ids, before), prompt, before)
                row[t] = np.searchsorted(np.cumsum(chance), prompt.rng.random() * chance.sum(), side="right")
                if int(row[t]) in prompt.ends:
                    break
        return Completions(tokens)

    return LmSampler(draw, "planted", "")


def kept_mass(p: np.ndarray, share: float) -> np.ndarray:
    kept, mass = np.zeros_like(p), 0.0
    for y in sorted(range(p.size), key=lambda y: -p[y]):
        if mass >= share:
            break
        kept[y], mass = p[y], mass + p[y]
    return kept


def no_residual(p: np.ndarray, prompt: LmPrompt, before: tuple[int, ...]) -> np.ndarray:
    q = law("draft", prompt.ids, before)
    proposed = int(prompt.rng.choice(q.size, p=q / q.sum()))
    kept = prompt.rng.random() < min(1.0, p[proposed] / q[proposed])
    return np.eye(q.size)[proposed] if kept else p


PLANTED: dict[str, Law] = {
    "temperature_0.7": lambda p, *_: p ** (1 / 0.7),
    "temperature_1.5": lambda p, *_: p ** (1 / 1.5),
    "top_k_5": lambda p, *_: np.where(p >= np.sort(p)[-5], p, 0.0),
    "top_p_0.8": lambda p, *_: kept_mass(p, 0.8),
    "min_p_0.1": lambda p, *_: np.where(p >= 0.1 * p.max(), p, 0.0),
    "greedy": lambda p, *_: (np.arange(p.size) == p.argmax()).astype(float),
    "assistant": lambda p, prompt, before: law("draft", prompt.ids, before),
    "no_residual": no_residual,
    "prompt_without_first": lambda p, prompt, before: law("base", prompt.ids[1:], before),
    "prompt_without_last": lambda p, prompt, before: law("base", prompt.ids[:-1], before),
    "prompt_first_twice": lambda p, prompt, before: law("base", (prompt.ids[0], *prompt.ids), before),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_found_and_named(name: str) -> None:
    at = bench()
    judged = conform_engine(
        planted(PLANTED[name]), at.model.model, at.prompts, assistant=at.assistant.model, draws=3_000
    )
    near = judged.outcome.nearest
    assert not judged.outcome.conforms and near is not None and near.explains
    assert name in (near.id, *near.alike), near


def test_an_end_that_is_never_drawn_is_found() -> None:
    """Prompts so far along that an end is near: a box is open, with the likeliest digits."""
    prompts = []
    for p in bench().prompts:
        ids = (*p.ids, 14)
        while law("base", ids)[15] < 0.3:
            ids = (*ids, int(law("base", ids).argmax()))
        prompts.append(LmPrompt(ids, "", 2, p.ends, 1.0, p.rng))
    at = bench()
    endless = planted(lambda p, prompt, _: np.where(np.isin(np.arange(p.size), list(prompt.ends)), 0.0, p))
    near = conform_engine(endless, at.model.model, prompts, draws=400).outcome.nearest
    assert near is not None and near.id == "endless", near
    assert conform_engine(planted(lambda p, *_: p), at.model.model, prompts, draws=400).outcome.conforms


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(name: str) -> None:
    right = planted(lambda p, *_: p)
    first: dict[tuple[int, ...], np.ndarray] = {}

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        if name == "copies_neighbor":  # two of each, as where two workers have one seed
            return Completions(np.repeat(right.draw(prompt, -(-n // 2), call).tokens, 2, axis=0)[:n])
        return Completions(first.setdefault(prompt.ids, right.draw(prompt, n, call).tokens))

    at = bench()
    sampler = LmSampler(draw, "planted", "", at_once=100)
    near = conform_engine(sampler, at.model.model, at.prompts, assistant=at.assistant.model, draws=800).outcome.nearest
    assert near is not None and near.id == name


def test_a_copy_is_weighed_as_a_whole_completion() -> None:
    """log[½ 1(all equal) + ½ Πp] − log Πp of each completion, by the sum over its tokens."""
    tokens = np.array([[1, 2, 3], [1, 2, 4], [15, PAD, PAD], [7, 7, 7], [1, 15, PAD]])
    earlier = np.array([[1, 2, 3], [1, 2, 3], [15, PAD, PAD], [6, 7, 7], [1, 15, PAD]])
    chance = np.random.default_rng(0).uniform(0.05, 0.9, tokens.shape)
    ratio = copied(tokens, np.log(chance), earlier).sum(axis=1)
    for row, (mine, other) in enumerate(zip(tokens, earlier, strict=True)):
        whole = chance[row][mine != PAD].prod()
        assert ratio[row] == pytest.approx(np.log(0.5 * (mine == other).all() + 0.5 * whole) - np.log(whole), abs=1e-12)
    assert copied(tokens, np.log(chance), earlier[:2])[:3].tolist() == [[0.0] * 3] * 3


def test_right_samplers_alarm_at_their_level() -> None:
    """25 runs at 20 %: more than 10 alarms with probability 0.01 were the level spent whole."""
    at, right = bench(tokens=2), planted(lambda p, *_: p)
    alarms = 0
    for seed in range(25):
        prompt = at.prompts[seed % len(at.prompts)]
        judged = conform_engine(right, at.model.model, [prompt], draws=30, level=0.2, seed=seed)
        alarms += not judged.outcome.conforms
    assert alarms <= 10


def test_the_temperature_is_part_of_the_law() -> None:
    """A claimed temperature of 1.5: its draws conform; those at 1 are told by their temperature."""
    at = load_bench(BASE, prompts=3, tokens=3, temperature=1.5)
    hot = planted(lambda p, *_: p ** (1 / 1.5))
    assert conform_engine(hot, at.model.model, at.prompts, draws=600).outcome.conforms
    assert at.play(600).outcome.conforms
    near = conform_engine(planted(lambda p, *_: p), at.model.model, at.prompts, draws=3_000).outcome.nearest
    assert near is not None and {"temperature_0.7", "temperature_0.8"} & {near.id, *near.close}


class Padded:
    """A model's law with more logits than its tokenizer has ids, or fewer than another model."""

    def __init__(self, plain: PlainLaw, size: int) -> None:
        self.plain, self.vocabulary = plain, size

    def along(self, steps: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for rows, laws in self.plain.along(steps):
            more = max(0, self.vocabulary - laws.shape[-1])
            yield rows, np.pad(laws[..., : self.vocabulary], ((0, 0), (0, 0), (0, more)), constant_values=-40.0)


@pytest.mark.parametrize("size", [15, 20])
def test_models_pad_their_logits_to_different_numbers(size: int) -> None:
    prompt, steps = bench().prompts[0], np.array([[1, 2], [3, 15], [3, 4]])
    laws = {"": PlainLaw(bench().model.model, prompt.ids)}
    plain = PlainLaw(bench().assistant.model, prompt.ids)  # type: ignore[union-attr]
    for node, *_ in nodes_along({**laws, "assistant": Padded(plain, size)}, steps, prompt.ends):  # type: ignore[dict-item]
        assert node.others["assistant"].shape == node.log_law.shape == (16,)
        own = law("draft", prompt.ids, node.context)
        np.testing.assert_allclose(np.exp(node.others["assistant"])[:15], own[:15], atol=1e-6)
        assert all(mistake.log_law(node) is not None for mistake in (TOKEN_MISTAKES["no_residual"],))


def test_another_pair_of_models_and_one_alone(tmp_path: Path) -> None:
    """2,000 tokens and a chat template: alone it has no assistant, and is loaded once; with one it is assisted."""
    draft, base = (str(place) for place in save_pair(tmp_path))
    alone = load_bench(f"generate:{base}", prompts=2, tokens=2)
    assert alone.assistant is None and alone.play(60).outcome.conforms
    with pytest.raises(InputError, match="--assistant"):
        load_bench(f"assisted:{base}")
    assert load_bench(f"assisted:{base}", assistant=draft, prompts=2, tokens=2).play(20).outcome.conforms
    near = load_bench(f"generate:{base}?top_k=20", prompts=2, tokens=2).play(400).outcome.nearest
    assert near is not None and near.id == "top_k_20"


def test_every_mistake_is_a_law_of_its_own_on_some_prompt() -> None:
    prompt = bench().prompts[0]
    plain = {
        name: PlainLaw(bench().model.model, prompt.ids) for name in ("", *(m for m in TOKEN_MISTAKES if "prompt" in m))
    }
    plain["assistant"] = PlainLaw(bench().assistant.model, prompt.ids)
    node = next(nodes_along(plain, np.zeros((1, 1), dtype=np.int64), prompt.ends))[0]
    for mistake in TOKEN_MISTAKES.values():
        wrong = mistake.log_law(node)
        assert wrong is not None and np.exp(wrong).sum() == pytest.approx(1.0, abs=1e-6), mistake.id


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["conform", "lm", *arguments])
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out, out.err


def test_half_precision_says_what_it_cannot_see(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said([BASE, "--dtype", "bfloat16", "--draws", "80", "--tokens", "2"], capsys)
    assert code == 0 and "in bfloat16 the law is known within 0.3 nats a token" in out
    code, out, _ = said([f"generate:{BASE}?temperature=3.0", "--dtype", "bfloat16", "--draws", "400"], capsys)
    assert code == 1 and "temperature_2" in out


def test_the_command_says_what_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = said([f"generate:{BASE}?temperature=0.5", "--draws", "400", "--json"], capsys)
    answer = json.loads(out)
    assert code == 1 and answer["schema"] == 1 and not answer["conforms"]
    near = answer["nearest"]
    assert "temperature_0.5" in (near["id"], *near["close"]) and answer["engine"].startswith("transformers generate 5")
    code, out, _ = said([BASE, "--draws", "200"], capsys)
    assert code == 0 and "conforms to checkpoints/base" in " ".join(out.split()) and "nats a token" in out
    mine = Path("mine.py")
    mine.write_text("def right(prompt):\n    import numpy as np\n    return np.array([15])\n")
    code, out, _ = said([f"{mine}:right", "--draws", "100"], capsys)
    assert code == 1 and "does not conform" in " ".join(out.split()) and "first token" in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        ("return 'text'", "return the token ids"),
        ("return [1, 2]", "stops after 2 of 4 tokens"),
        ("return [99] * 4", "outside the 16 ids"),
        ("return None", "return the token ids"),
        ("return [1.7, 2.0, 3.0, 4.0]", "return the token ids"),
        ("raise KeyError('x')", "raised KeyError"),
    ],
)
def test_functions_that_return_no_completion_are_one_line(
    body: str, cure: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(f"def f(prompt):\n    {body}\n")
    code, out, errors = said([f"{mine}:f"], capsys)
    lines = [line for line in errors.splitlines() if line and not line.startswith("completions")]
    assert code == 2 and not out and len(lines) == 1 and cure in lines[0]


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["nowhere"], "no checkpoint folder"),
        (["http://localhost:1"], "--model"),
        ([f"generate:{BASE}?num_beams=x"], "refuses its settings"),
        ([f"custom:{BASE}?top_k=5"], "takes no setting"),
        ([BASE, "--tokens", "60"], "a context of"),
        ([BASE, "--draws", "2"], "at least 4"),
        ([BASE, "--level", "2"], "a level in (0, 1)"),
        ([BASE, "--temperature", "0"], "temperature"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], cure: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = said(arguments, capsys)
    assert code == 2 and not out and cure in errors and "Traceback" not in errors


def test_other_vocabularies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint folder"):
        load_bench(BASE, assistant=str(tmp_path / "none"))
