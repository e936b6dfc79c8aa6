"""What `gsi conform lm` plays: a sampler, the model whose law it claims, an assistant, and prompts, loaded together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.memory import require_memory
from gsi_theory.errors import InputError
from gsi_theory.runs.user_file import names_file
from llm_check.models.collecting.provenance import folder_of
from llm_check.models.conforming.engine_conformance import EngineConformance, conform_engine, slack_of
from llm_check.models.conforming.lm_samplers import WAYS, LmPrompt, LmSampler, engine_sampler, function_sampler
from llm_check.models.decoding.delimiter import end_of_sequence_ids
from llm_check.models.engines.engine import require_same_vocabulary
from llm_check.models.engines.load_engine import load_engine, option_value
from llm_check.models.engines.torch_threads import set_threads
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.real.model_cache import real_name
from llm_check.models.spec import read_query
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.tokenizer import VOCABULARY

__all__ = ["LmBench", "load_bench"]


@dataclass(frozen=True)
class LmBench:
    """A sampler, the model whose law it claims, the draft it may be mixed up with, prompts, and the seed of all."""

    sampler: LmSampler
    model: TransformersEngine
    assistant: TransformersEngine | None
    prompts: Sequence[LmPrompt]
    seed: int

    def play(
        self, draws: int, level: float = 0.01, progress: Callable[[int, int], None] | None = None
    ) -> EngineConformance:
        """Draw and judge, as `conform_engine`."""
        return conform_engine(
            self.sampler,
            self.model.model,
            self.prompts,
            assistant=None if self.assistant is None else self.assistant.model,
            draws=draws,
            level=level,
            slack=slack_of(self.model.contract.dtype),
            seed=self.seed,
            progress=progress,
        )


def load_bench(
    tested: str,
    model: str | None = None,
    assistant: str | None = None,
    *,
    prompts: int = 4,
    tokens: int = 4,
    temperature: float = 1.0,
    task: str | None = None,
    template: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
) -> LmBench:
    """`tested` as `conforming.lm_samplers` lists it, against `model` (default: the one that `tested` names, else the
    embedded base), with an assistant (default: the embedded draft, a real model's medium one, else none) and that many
    prompts of a task (default: arithmetic, or sums for a model of another vocabulary).

    Raises InputError for what cannot be loaded, an assistant of another vocabulary, and a model without a folder.
    """
    way, _, rest = tested.partition(":")
    place, _, query = rest.partition("?")
    mine = names_file(tested)
    named = place if way in WAYS else str(checkpoint_path("base")) if mine else tested
    chosen = _model(model or named)

    def loaded(spec: str) -> TransformersEngine:
        engine = load_engine(spec, device=device, dtype=dtype, temperature=temperature)
        assert isinstance(engine, TransformersEngine)
        return engine

    base = loaded(chosen)
    embedded = [token for token, _ in sorted(base.tokenizer.get_vocab().items(), key=lambda row: row[1])]
    is_embedded, real = tuple(embedded) == VOCABULARY, real_name(chosen)
    set_threads(embedded=is_embedded)
    usual = f"{real.model.name}:medium" if real is not None else str(checkpoint_path("draft")) if is_embedded else None
    draft = None if (drafting := assistant or usual) is None else loaded(_model(drafting))
    if draft is not None:
        require_same_vocabulary(draft, base)
    if way in WAYS:
        sampler = WAYS[way](base, draft, seed, {k: option_value(v) for k, v in read_query(query, tested).items()})
    elif mine:
        sampler = function_sampler(tested)
    else:
        same = tested == chosen
        engine = base if same else load_engine(tested, device=device, dtype=dtype, temperature=temperature)
        require_same_vocabulary(engine, base)
        sampler = engine_sampler(engine, seed)
    problems = load_task(task or ("arithmetic" if is_embedded else "sums"), limit=prompts, seed=seed)
    ends = end_of_sequence_ids(base.tokenizer)
    rows = [
        LmPrompt(
            p.ids, str(base.tokenizer.decode(list(p.ids))), tokens, ends, temperature, np.random.default_rng([seed, m])
        )
        for m, p in enumerate(problems.prompts(base.tokenizer, template or problems.template))
    ]
    engines = [base] if draft is None else [base, draft]
    numbers = tokens * base.vocabulary * (3 + len(engines))  # laws along one completion
    require_memory(16.0 * numbers, f"--tokens {tokens}", "take fewer")
    room = min(engine.context for engine in engines if engine.context is not None)
    if (longest := max(len(row.ids) for row in rows) + tokens + 1) > room:
        raise InputError(f"{longest} tokens of prompt and completion, and a context of {room}: take fewer --tokens")
    return LmBench(sampler, base, draft, rows, seed)


def _model(spec: str) -> str:
    """A name that transformers can load: a real model's, or the folder that an engine's spec names."""
    if real_name(spec) is not None or spec.startswith("hub:"):
        return spec
    folder = folder_of(spec)
    if folder is None:
        raise InputError(f"{spec!r} names no checkpoint folder: name one, or with --model the model whose law it is")
    return str(folder)
