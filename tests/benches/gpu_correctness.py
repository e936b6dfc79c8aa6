"""Whether a device computes what the CPU does: laws, log-probabilities, rewards and draws, on the embedded pair and,
where it is ready (`gsi models`), on the real model.

    law, scores, rewards    largest difference from the CPU, float32 on both
    drawn                   log-probabilities that came with draws against those of scoring the same tokens
    draws                   p of Pearson's χ² of draws against the enumerated law of the CPU
    solutions               share of solutions of GSI that are the CPU's to the last token (the same uniforms; a
                            difference in the last digits may turn one: reported, not judged)

Draws go through whatever the engine plays them with on that device; `forward` says which.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.solution import decode
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.real.model_cache import REAL_MODELS, cache_folder, is_ready
from llm_check.models.tiny.exact_steps import checked_positions, enumerate_position, frequency_test
from llm_check.models.world import World, load_world, transformers_pair

__all__ = ["Row", "compared", "failures"]

Row = dict[str, Any]
# Float32 against float32: sums of some hundred terms in another order.
CLOSE, CLOSE_REAL = 1e-4, 2e-3
# Of p-values: smaller than the least of a few dozen right ones is, once in a thousand runs.
LEAST_P = 1e-5


def _row(model: str, what: str, value: float, bound: float | None, forward: str, above: bool = False) -> Row:
    passed = None if bound is None else bool(value >= bound if above else value <= bound)
    return {"model": model, "check": what, "value": float(value), "bound": bound, "passed": passed, "forward": forward}


def compared(device: str, small: bool, seed: int) -> list[Row]:
    """A row for every comparison; `small`: fewer positions and draws."""
    here, there = load_world(seed=seed), load_world(device=device, seed=seed)
    rows = _embedded(here, there, 1 if small else 8, 1000 if small else 20_000, 4 if small else 20, seed)
    for name, model in REAL_MODELS.items():
        if is_ready(model, cache_folder()):
            rows += _real(name, device, 8 if small else 64)
    return rows


def _embedded(here: World, there: World, positions: int, draws: int, solutions: int, seed: int) -> list[Row]:
    rows: list[Row] = []
    places = checked_positions(here, seed, positions)
    known = [enumerate_position(here, place, 0.0) for place in places]
    ours, theirs = transformers_pair(here), transformers_pair(there)
    for name, cpu, gpu in zip(("draft", "base"), ours, theirs, strict=True):
        law = score = drawn = 0.0
        least = 1.0
        for at in known:
            steps = at.tokens[None]
            prefix = [list(at.position.prefix)]
            caches = cpu.prefill(prefix), gpu.prefill(prefix)
            law = max(law, np.abs(np.exp(cpu.log_probs(caches[0])) - np.exp(gpu.log_probs(caches[1]))).max())
            score = max(score, np.abs(cpu.score(caches[0], steps) - gpu.score(caches[1], steps)).max())
            made = gpu.sample(caches[1], draws, [at.position.stream(seed, Purpose.CHECK)], there.rule)
            drawn = max(drawn, np.abs(gpu.score(caches[1], made.tokens) - made.token_logp).max())
            log_prob = at.instance.log_draft if name == "draft" else at.instance.log_base
            least = min(least, frequency_test(at.locate(made.tokens[0]), np.exp(log_prob)).p_value)
        way = gpu.contract.forward
        rows += [_row(name, "law", law, CLOSE, way), _row(name, "scores", score, CLOSE, way)]
        rows += [_row(name, "drawn", drawn, CLOSE, way), _row(name, "draws", least, LEAST_P, way, above=True)]
    reward = 0.0
    for at in known:
        steps = [row[row >= 0].tolist() for row in at.tokens]
        judged = there.reward_model.score([at.position] * len(steps), steps)
        reward = max(reward, np.abs(judged - at.instance.reward).max())
    rows.append(_row("reward", "rewards", reward, CLOSE, ""))
    texts = [
        decode("gsi", w.draft, w.base, w.reward_model, w.task.problems[:solutions], 20.0, 8, 0.5, w.rule, seed).text
        for w in (here, there)
    ]
    same = float(np.mean([a == b for a, b in zip(*texts, strict=True)]))
    return [*rows, _row("pair", "solutions", same, None, theirs[0].contract.forward)]


def _real(name: str, device: str, tokens: int) -> list[Row]:
    cpu, gpu = (load_engine(name, device=place) for place in ("cpu", device))
    prompt = cpu.tokenizer("The sum of two odd numbers is even, because", add_special_tokens=False)["input_ids"]
    rng = np.random.default_rng(0)
    steps = rng.integers(1000, size=(1, 4, tokens))
    scores = [engine.score(engine.prefill([prompt]), steps) for engine in (cpu, gpu)]
    return [_row(name, "scores", np.abs(scores[0] - scores[1]).max(), CLOSE_REAL, gpu.contract.forward or "")]


def failures(rows: list[Row]) -> list[str]:
    """What failed, in words."""
    return [f"{r['model']} {r['check']} {r['value']:.3g}" for r in rows if r["passed"] is False]
