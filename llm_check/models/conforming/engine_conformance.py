"""Judging completions of an engine or a generation loop against the law of its model, token by token (M50).

Given what came before, every token has an exact law p₀, so that products of q(token | before)/p₀(token | before) are
e-values for any named q. The mixture without a name is over eight cells: first tokens of a prompt (the seven likeliest
and the rest), and for later tokens the eighths of the randomized rank transform, F(x−) + U p₀(x) with tokens in
decreasing order of p₀, which is uniform under p₀ whatever the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory.conformance.e_process import EProcess
from gsi_theory.conformance.play import Conformance, Part, Rival, judge
from gsi_theory.errors import InputError
from gsi_theory.types import Floats, Ints
from llm_check.models.checks.plain_law import PlainLaw
from llm_check.models.conforming.lm_samplers import Completions, LmPrompt, LmSampler
from llm_check.models.conforming.token_mistakes import COPIES, TOKEN_MISTAKES
from llm_check.models.conforming.token_nodes import TokenNode, nodes_along
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.model_types import Module

__all__ = ["EngineConformance", "conform_engine", "copied", "slack_of"]

CELLS = 8
_COPY = 0.5  # share of copies under COPIES


@dataclass(frozen=True)
class EngineConformance:
    """How completions of an engine compare with its model's law.

    outcome: as of any sampler; its draws are tokens, its problems the first tokens of each prompt, then all later ones
    completions: how many were drawn
    score_gap: largest |difference| in nats of the log-probabilities that the engine stated; None where it stated none
    likeliest: first tokens of every prompt, each a cell
    """

    outcome: Conformance
    completions: int
    score_gap: float | None
    likeliest: tuple[tuple[int, ...], ...]


def slack_of(dtype: str) -> float:
    """Nats by which two forwards of one model may differ at a token: the law is not known better.

    Half precision: SmolLM2 in bfloat16 on the CPU differed by 0.25 at the worst of 360 tokens (gsi conform lm smollm2
    --dtype bfloat16 --draws 120 --tokens 3 --prompts 2), 2e-5 in float32.
    """
    return 3e-5 if dtype in ("float32", "float64") else 0.3


def conform_engine(
    sampler: LmSampler,
    model: Module,
    prompts: Sequence[LmPrompt],
    *,
    assistant: Module | None = None,
    draws: int = 2_000,
    level: float = 0.01,
    slack: float = 3e-5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> EngineConformance:
    """Draw about `draws` completions, prompts in turn, and judge every token against `model`, a causal language model
    of transformers; `assistant` is what the draws may be mixed up with.

    A right sampler is refuted with probability at most `level`, its law known within `slack` nats a token. Raises
    InputError for tokens outside the vocabulary and completions that end too early, and as `judge`.
    """
    if draws < len(prompts) or not 0.0 < level < 1.0:
        raise InputError(f"draws = {draws}, level = {level:g}: give at least {len(prompts)}, and a level in (0, 1)")
    seats = [_Seat(m, prompt, model, assistant) for m, prompt in enumerate(prompts)]
    later = len(seats) if max(prompt.max_tokens for prompt in prompts) > 1 else None
    laws = [seat.cells for seat in seats] + ([] if later is None else [np.full(CELLS, 1.0 / CELLS)])
    rivals = [Rival("mistake", each.id, each.words) for each in TOKEN_MISTAKES.values()]
    rivals += [Rival("mistake", name, words) for name, words in COPIES.items()]
    process = EProcess(laws, [slack] * len(laws), further=len(rivals))
    rng = np.random.default_rng([seed, 50])
    count, gaps = 0, list[float]()

    def parts() -> Iterator[Part]:
        nonlocal count
        turn = 0
        while count < draws:
            seat = seats[turn % len(seats)]
            n = min(sampler.at_once, -(-(draws - count) // (len(seats) - turn % len(seats))))
            drawn = sampler.draw(seat.prompt, n, turn)
            part, gap = _read(seat, drawn, later, rng, slack)
            gaps.extend([] if gap is None else [gap])
            turn, count = turn + 1, count + n
            if progress is not None:
                progress(count, draws)
            yield part

    planned = sum(prompt.max_tokens for prompt in prompts) * draws // len(prompts)
    outcome = judge(parts(), process, rivals, level=level, planned=planned)
    likeliest = tuple(tuple(seat.first[: CELLS - 1].tolist()) for seat in seats)
    return EngineConformance(outcome, count, max(gaps, default=None), likeliest)


class _Seat:
    """A prompt, its laws, and the completions of its last call."""

    def __init__(self, number: int, prompt: LmPrompt, model: Module, assistant: Module | None) -> None:
        self.number, self.prompt = number, prompt
        ids, at = list(prompt.ids), prompt.temperature
        self.laws = {"": PlainLaw(model, ids, at), "prompt_first_twice": PlainLaw(model, ids[:1] + ids, at)}
        if assistant is not None:
            self.laws["assistant"] = PlainLaw(assistant, ids, at)
        if len(ids) > 1:
            self.laws["prompt_without_first"] = PlainLaw(model, ids[1:], at)
            self.laws["prompt_without_last"] = PlainLaw(model, ids[:-1], at)
        node = next(nodes_along(self.laws, np.zeros((1, 1), dtype=np.int64), prompt.ends))[0]
        self.first = node.order
        mass = np.exp(node.log_law)
        cells = np.bincount(np.minimum(node.rank, CELLS - 1), weights=mass, minlength=min(CELLS, mass.size))
        self.cells: Floats = cells / cells.sum()
        self.call: NDArray[np.int64] = np.zeros((0, prompt.max_tokens), dtype=np.int64)


def _read(
    seat: _Seat, drawn: Completions, later: int | None, rng: np.random.Generator, slack: float
) -> tuple[Part, float | None]:
    """Problems, outcomes and log q/p₀ of all tokens of a call, and by how much its stated log-probabilities are off."""
    tokens = drawn.tokens
    vocabulary = seat.laws[""].vocabulary
    _require_whole(tokens, seat.prompt, vocabulary)
    shape, kinds = tokens.shape, list(TOKEN_MISTAKES.values())
    law, ratio = np.zeros(shape), np.zeros((len(kinds), *shape))
    cell = np.zeros(shape, dtype=np.int64)
    uniform = rng.random(shape)
    for node, rows, t in nodes_along(seat.laws, tokens, seat.prompt.ends):
        ids = tokens[rows, t]
        law[rows, t] = node.log_law[ids]
        cell[rows, t] = _cells(node, ids, uniform[rows, t], t)
        for j, kind in enumerate(kinds):
            wrong = kind.log_law(node)
            if wrong is not None:
                ratio[j, rows, t] = wrong[ids] - node.log_law[ids]
    neighbors = np.concatenate([seat.call[-1:], tokens])[-len(tokens) - 1 : -1] if len(seat.call) else tokens[:-1]
    copies = [copied(tokens, law, neighbors), copied(tokens, law, seat.call[: len(tokens)])]
    seat.call = tokens
    real = tokens != PAD
    problems = np.where(np.arange(shape[1]) == 0, seat.number, -1 if later is None else later)
    further = np.concatenate([ratio, copies])[:, real] - slack
    stated = drawn.token_logp
    gap = None if stated is None else float(np.max(np.abs(stated - law)[real]))
    return (np.broadcast_to(problems, shape)[real], cell[real], further), gap


def _cells(node: TokenNode, ids: Ints, uniform: Floats, t: int) -> Ints:
    """Of a first token its rank, of a later one the eighth that its randomized rank transform is in."""
    if t == 0:
        return np.minimum(node.rank[ids], CELLS - 1)
    place = node.above[ids] + uniform * np.exp(node.log_law[ids])
    return np.clip((CELLS * place).astype(np.int64), 0, CELLS - 1)


def copied(tokens: NDArray[np.int64], law: Floats, earlier: NDArray[np.int64]) -> Floats:
    """log q/p₀ of each token if half of the completions copy `earlier`, its last rows beside the last of `tokens`."""
    ratio = np.zeros(tokens.shape)
    count = len(earlier)
    if not count:
        return ratio
    mine, weight = tokens[-count:], np.full(count, _COPY)
    for t in range(tokens.shape[1]):
        there = mine[:, t] != PAD
        chance = np.exp(law[-count:, t])
        same = np.where(there & (mine[:, t] == earlier[:, t]), weight, 0.0)
        both = same + (1.0 - weight) * chance
        ratio[-count:, t] = np.where(there, np.log(both) - law[-count:, t], 0.0)
        weight = np.where(there, same / both, weight)
    return ratio


def _require_whole(tokens: NDArray[np.int64], prompt: LmPrompt, vocabulary: int) -> None:
    """InputError for ids outside the vocabulary, and for a completion that stops without an end."""
    if ((tokens < PAD) | (tokens >= vocabulary)).any():
        bad = tokens[(tokens < PAD) | (tokens >= vocabulary)][0]
        raise InputError(f"token {int(bad)} was drawn, outside the {vocabulary} ids of the model: return its token ids")
    length = (tokens != PAD).sum(axis=1)
    last = tokens[np.arange(len(tokens)), np.maximum(length - 1, 0)]
    short = (length < prompt.max_tokens) & ~np.isin(last, list(prompt.ends))
    if short.any():
        ends = ", ".join(map(str, sorted(prompt.ends)))
        raise InputError(
            f"a completion stops after {int(length[short][0])} of {prompt.max_tokens} tokens, without {ends}: return "
            "all tokens up to an end, and that too"
        )
