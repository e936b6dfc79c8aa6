"""Pairs of models from papers, by name: models, reward model and settings of a published experiment in one record.

    gsi decode --pair gsi-qwen2.5 --task math500 --method paper

A pair stands for options of the commands that load models; those that are given win. Models are on the hub,
`hub:OWNER/NAME[@REVISION]` (llm_check.models.engines.hub_snapshot), and `--draft FOLDER` takes a copy that lies
elsewhere. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gsi_theory.arrays.memory import readable_size
from gsi_theory.errors import InputError, Named
from gsi_theory.runs.costs import SHAPES, Shape
from gsi_theory.runs.options import given_options
from gsi_theory.types import Record

if TYPE_CHECKING:
    import typer

__all__ = ["PAIRS", "HubModel", "ModelPair", "with_pair"]

_ROLES = ("draft", "base", "reward")
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class HubModel:
    """name on the hub; shape: its parameters and cache in gsi_theory.runs.costs.SHAPES; revision: branch or commit."""

    name: str
    shape: str
    revision: str = "main"

    @property
    def spec(self) -> str:
        """What --draft, --base and --reward take."""
        return f"hub:{self.name}" + ("" if self.revision == "main" else f"@{self.revision}")

    @property
    def sizes(self) -> Shape:
        """Parameters, and bytes of keys and values a token."""
        return SHAPES[self.shape]


@dataclass(frozen=True)
class ModelPair:
    """A published experiment: id; source; draft, base and reward model; where a step ends and its most tokens; prompt
    template; temperature of both policies; β, threshold u (reward units), the n that are compared; dtype of weights;
    problems decoded side by side."""

    id: str
    source: str
    draft: HubModel
    base: HubModel
    reward: HubModel
    step: str = r"delimiter:\n\n"
    max_tokens: int = 512
    template: str = "chat"
    temperature: float = 0.7
    beta: float = 20.0
    threshold: float = 0.5
    ns: tuple[int, ...] = (1, 4, 16)
    dtype: str = "bfloat16"
    batch: int = 1

    def options(self) -> Record:
        """Arguments by the names that `llm_check.decode`, `collect_task` and `load_world` give them."""
        models = {role: getattr(self, role).spec for role in _ROLES}
        names = ("step", "max_tokens", "template", "temperature", "beta", "threshold", "dtype", "batch")
        return models | {name: getattr(self, name) for name in names} | {"n": self.ns}

    def weight_bytes(self, dtype: str | None = None) -> float:
        """Memory of the three models' weights."""
        return _BYTES[dtype or self.dtype] * sum(getattr(self, role).sizes.parameters for role in _ROLES)

    def cache_bytes(self, n: int, tokens: int = 4096, dtype: str | None = None) -> float:
        """Memory of keys and values of n candidates of a solution of so many tokens, under all three models: what they
        share is counted once, their own step n times."""
        held = tokens + n * self.max_tokens
        # of a shape: 16-bit numbers
        return _BYTES[dtype or self.dtype] / 2 * held * sum(getattr(self, role).sizes.cache_bytes for role in _ROLES)


# arXiv 2506.04118 (ICLR 2026) and its code, github.com/j-geuter/GSI (main.py, job.slurm, inference/speculative.py):
# temperature 0.7, β = 20, u = 0.5, at most 512 tokens a step, which ends with a token that holds a blank line, one
# problem at a time; both pairs are judged by the same reward model. There draws at 0.7 are weighted by
# log-probabilities at 1; here both are at 0.7. No source names commits; a record of a run holds those that it used.
_SOURCE = "arXiv 2506.04118"
_PRM = HubModel("Qwen/Qwen2.5-Math-PRM-7B", "qwen2.5-math-prm-7b")
_TABLE = (
    ModelPair(
        "gsi-qwen2.5",
        _SOURCE,
        HubModel("Qwen/Qwen2.5-Math-1.5B-Instruct", "qwen2.5-math-1.5b"),
        HubModel("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2.5-math-7b"),
        _PRM,
    ),
    ModelPair(
        "gsi-qwen3",
        _SOURCE,
        HubModel("Qwen/Qwen3-1.7B", "qwen3-1.7b"),
        HubModel("Qwen/Qwen3-14B", "qwen3-14b"),
        _PRM,
    ),
)
PAIRS: dict[str, ModelPair] = Named("pair", {pair.id: pair for pair in _TABLE})


def with_pair(context: typer.Context, pair: str | None, values: Record) -> Record:
    """`values` of a command's options, those that the command line did not give replaced by the pair's.

    Raises UnknownName for a pair that is not in `PAIRS`, and InputError, one line for all of them, for models that are
    neither in the hub's cache nor within reach.
    """
    if pair is None:
        return values
    chosen, given = PAIRS[pair], set(given_options(context))
    used = values | {k: v for k, v in chosen.options().items() if k in values and k not in given}
    _require_models(chosen, used)
    return used


def _require_models(pair: ModelPair, used: Record) -> None:
    from llm_check.models.engines.hub_snapshot import hub_folder, is_hub_name

    missing, reason = [], ""
    for role in _ROLES:
        if is_hub_name(used[role]):
            try:
                hub_folder(used[role])
            except InputError as error:
                missing.append(role)
                reason = str(error.__cause__ or error).splitlines()[0]
    if not missing:
        return
    ns = used.get("n") or pair.ns
    most = max(ns) if isinstance(ns, tuple | list) else int(ns)
    names = ", ".join(f"{getattr(pair, role).name} ({role})" for role in missing)
    size = _BYTES["bfloat16"] * sum(getattr(pair, role).sizes.parameters for role in missing)
    dtype = used.get("dtype") or pair.dtype
    need = f"{readable_size(pair.weight_bytes(dtype))} for weights in {dtype}"
    need += f" and {readable_size(pair.cache_bytes(most, dtype=dtype))} for keys and values at n = {most}"
    raise InputError(
        f"pair {pair.id} lacks {names}: not in the hub's cache, and the hub cannot be reached ({reason}); where there "
        f"is a network: hf download NAME ({readable_size(size)}), or give folders with "
        f"{', '.join(f'--{role} FOLDER' for role in missing)}; all three models need {need}"
    )
