"""Faulty pools of the embedded pair: drawn at another temperature or truncated, or scored after another prompt.

The models are real: an engine whose logits pass through a hook draws the candidates, and the plain engine scores them,
as a log does whose sampler and scorer disagree.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gsi_theory.errors import InputError
from llm_check.models.collecting.collect import collect_pool, positions
from llm_check.models.decoding.positions import Position
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.world import World
from tests.plants.pool_faults import Columns, Sampling, restrict

__all__ = ["engine_columns", "prefix_log_probs", "sampling_engine"]


def sampling_engine(engine: TransformersEngine, sampling: Sampling) -> TransformersEngine:
    """The engine with logits as `sampling` makes them; the given one stays as it was."""
    if sampling == Sampling():
        return engine
    model = copy.deepcopy(engine.model)

    def change(module: Any, inputs: Any, output: Any) -> Any:
        changed = restrict(torch.log_softmax(output.logits.double(), dim=-1).numpy(), sampling)
        output.logits = torch.as_tensor(changed)
        return output

    model.register_forward_hook(change)
    return TransformersEngine.from_model(model, engine.tokenizer, engine.contract.model)


def _rescore(
    engine: TransformersEngine,
    model: str,
    columns: Columns,
    places: Sequence[Position],
    prefixes: Sequence[Any],
    rows: Any,
) -> None:
    """Replace a model's log-probabilities in `rows` by those of `engine` after `prefixes`, one for each place."""
    by_place: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        by_place.setdefault((columns["prompt_id"][row], columns["step"][row]), []).append(row)
    cache = engine.prefill(prefixes)
    groups = [by_place.get((place.prompt_id, place.step), []) for place in places]
    scored = engine.score(cache, [[columns["token_ids"][r] for r in group] for group in groups])
    for b, group in enumerate(groups):
        for i, row in enumerate(group):
            values = scored[b, i, : len(columns["token_ids"][row])].tolist()
            columns[f"token_logp_{model}"][row] = values
            columns[f"logp_{model}"][row] = float(sum(values))


def _transformers(engine: Any) -> TransformersEngine:
    """The engine, when its model can be hooked. Raises InputError otherwise."""
    if not isinstance(engine, TransformersEngine):
        raise InputError(f"{engine.contract.engine} engine: faults are planted in transformers models, load a folder")
    return engine


def engine_columns(
    world: World, seed: int, problems: int, n: int, draft: Sampling, base: Sampling, shifted: str = ""
) -> tuple[Columns, list[Position]]:
    """Columns of a pool of the embedded pair, and its positions (steps 0 and 1 of `problems`/2 problems).

    shifted: "" or which rows the base scores wrongly: "drafts" or "all" after the next problem's prompt, "missing" all
    after the prompt without the earlier steps (only step 1 changes).
    """
    places = positions(make_problems(problems // 2, seed, "test"), world.draft.tokenizer, (0, 1))
    engines = {"draft": _transformers(world.draft), "base": _transformers(world.base)}
    hooked = {"draft": sampling_engine(engines["draft"], draft), "base": sampling_engine(engines["base"], base)}
    columns = collect_pool(hooked["draft"], hooked["base"], world.reward_model, places, n, n, world.rule, seed)
    every = np.arange(len(columns["reward"]))
    for model, engine in engines.items():
        if hooked[model] is not engine:
            _rescore(engine, model, columns, places, [p.prefix for p in places], every)
    if shifted:
        wrong = [p.prefix for p in (*places[2:], *places[:2])]
        if shifted == "missing":
            wrong = [p.prompt.ids for p in places]
        source = np.array(columns["source"])
        rows = every[source == "draft"] if shifted == "drafts" else every
        _rescore(engines["base"], "base", columns, places, wrong, rows)
    return columns, places


def prefix_log_probs(world: World, places: Sequence[Position]) -> dict[tuple[str, int, str], list[float]]:
    """Token log-probabilities of each place's prefix after its first token, under each model."""
    found = {}
    for name, engine in (("draft", world.draft), ("base", world.base)):
        cache = engine.prefill([p.prefix[:1] for p in places])
        scored = engine.score(cache, [[list(p.prefix[1:])] for p in places])
        for b, place in enumerate(places):
            found[place.prompt_id, place.step, name] = scored[b, 0, : len(place.prefix) - 1].tolist()
    return found
