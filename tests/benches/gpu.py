"""One script for whoever has a GPU, some minutes long: does the device compute what the CPU does, and how long does a
step take at the GSI paper's shapes, with random weights, against the floors of the machine. Artifact `lm_gpu`.

    python -m tests.benches.gpu                         # an NVIDIA card of 40 GB or more; exit status 1 if it is wrong
    python -m tests.benches.gpu --device cpu --small    # the same code at tiny shapes, without a GPU: a test of it

Correctness: tests/benches/gpu_correctness.py, in float32.

Seconds: shapes of Qwen2.5-Math 1.5B (draft), 7B (base) and the PRM 7B; n = 16 candidates of 64 tokens after a prefix of
512, the last step of which is new to every model, as in the middle of a solution. Nothing is downloaded: weights are
random, so times are those of the real models and numbers mean nothing.

    GSI(a)  = draft draws + base scores + PRM judges + (1 - a) (base draws + PRM judges),   a the acceptance rate
    soft best-of-n on the base = base draws + PRM judges

Floors: every weight read once a token at the memory bandwidth (drawing); 2 operations a weight and token, and 4 a head
dimension, head and pair of tokens in attention, at the rate of matrix products (scoring). The rates are those of the
data sheet for the cards in `CARDS`, else measured here: the artifact says which.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, Qwen2Config

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.artifact import provenance, require_writable, write_artifact
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import StepRule, Steps
from llm_check.models.engines.checkpoint import torch_device, torch_dtype
from llm_check.models.engines.step_encoder import StepEncoder
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.model_options import quiet_engines
from tests.benches.gpu_correctness import compared, failures

__all__ = ["CARDS", "SHAPES", "Rates", "bench"]

ACCEPTANCE = 0.82
# Seconds per step that the paper reports on one H100 with vLLM (its table of run times).
PAPER = {"gsi": 0.72, "soft_bon_base": 0.94}


@dataclass(frozen=True)
class Shape:
    """Sizes of one model, named as in its config."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    def config(self, context: int) -> Qwen2Config:
        """A Qwen2 config of this shape."""
        return Qwen2Config(
            hidden_size=self.hidden, intermediate_size=self.inner, num_hidden_layers=self.layers,
            num_attention_heads=self.heads, num_key_value_heads=self.kv_heads, vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied, max_position_embeddings=context,
        )  # fmt: skip

    @property
    def body_weights(self) -> int:
        """Weights of the matrices of all layers."""
        width = self.hidden // self.heads
        attention = self.hidden * width * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    def kv_numbers(self, tokens: int) -> int:
        """Numbers that keys and values of so many tokens hold."""
        return 2 * self.layers * self.kv_heads * (self.hidden // self.heads) * tokens

    def attention_operations(self, pairs: int) -> int:
        """Operations of attention over so many (query, key) pairs."""
        return 4 * self.layers * self.hidden * pairs


@dataclass(frozen=True)
class Workload:
    """Three models, `prefix` encoded tokens, steps of `step` tokens, `n` candidates."""

    draft: Shape
    base: Shape
    prm: Shape
    prefix: int
    step: int
    n: int


_QWEN_7B = Shape(3584, 18944, 28, 28, 4, 152_064, False)
_TINY = Shape(96, 192, 3, 4, 2, 64, False)
SHAPES: dict[str, Workload] = {
    "qwen2.5-math": Workload(Shape(1536, 8960, 28, 12, 2, 151_936, True), _QWEN_7B, _QWEN_7B, 512, 64, 16),
    "tiny": Workload(Shape(64, 128, 2, 4, 2, 64, True), _TINY, _TINY, 24, 6, 4),
}


@dataclass(frozen=True)
class Rates:
    """Bytes per second from memory, and operations per second of matrix products in the dtype; where they are from."""

    bandwidth: float
    operations: float
    source: str


# Data sheets, dense bfloat16.
CARDS = {
    "H100": Rates(3.35e12, 989e12, "data sheet, H100 SXM"),
    "H200": Rates(4.8e12, 989e12, "data sheet, H200 SXM"),
    "A100": Rates(2.04e12, 312e12, "data sheet, A100 80 GB SXM"),
}


def _timed(call: Callable[[], Any], device: torch.device, repeats: int) -> list[float]:
    """Wall-clock seconds of `repeats` calls after one that is not counted; of that one if `repeats` is 0."""
    found = []
    for _ in range(repeats + 1):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        found.append(time.perf_counter() - began)
    return found[1:] or found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _rates(device: torch.device, dtype: torch.dtype) -> Rates:
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    for card, rates in CARDS.items():
        if card in name and dtype in (torch.bfloat16, torch.float16):
            return rates
    size = 4096 if device.type == "cuda" else 512
    square = torch.randn((size, size), device=device).to(dtype)
    block = torch.empty(1 << (30 if device.type == "cuda" else 25), dtype=torch.uint8, device=device)
    product = min(_timed(lambda: square @ square, device, 5))
    copy = min(_timed(block.clone, device, 5))
    return Rates(2 * block.numel() / copy, 2 * size**3 / product, f"measured on {name}")


@torch.no_grad()
def _engine(shape: Shape, context: int, device: torch.device, dtype: torch.dtype, seed: int) -> TransformersEngine:
    torch.manual_seed(seed)
    with device:
        model = AutoModelForCausalLM.from_config(shape.config(context), dtype=dtype, attn_implementation="sdpa")
    return TransformersEngine.from_model(model, None, f"random weights, hidden {shape.hidden}")


def _floors(work: Workload, rates: Rates, size: int) -> dict[str, float]:
    """Least seconds of each part by these rates; `size` bytes a weight."""
    own = work.n * work.step
    # A candidate's token at depth t sees the prefix, the new step and t tokens of its own.
    pairs = work.n * sum(work.prefix + work.step + t for t in range(work.step))
    floors = {}
    for name, shape in (("draft_draws", work.draft), ("base_draws", work.base)):
        weights = shape.body_weights + shape.hidden * shape.vocabulary
        kv = sum(shape.kv_numbers(work.prefix + work.step + work.n * t) for t in range(work.step))
        floors[name] = size * (work.step * weights + kv) / rates.bandwidth
    for name, shape, head in (("base_scores", work.base, True), ("prm_judges", work.prm, False)):
        weights = shape.body_weights * (own + work.step) + (shape.hidden * shape.vocabulary * own if head else 0)
        floors[name] = (2 * weights + shape.attention_operations(pairs)) / rates.operations
    return floors


def _require(shapes: str, repeats: int) -> None:
    if shapes not in SHAPES:
        raise InputError(f"shapes {shapes!r}{nearest(shapes, SHAPES)}: use one of {', '.join(SHAPES)}")
    if repeats < 1:
        raise InputError(f"repeats {repeats}: give at least 1")


def bench(shapes: str, device: str, dtype: str, repeats: int, seed: int) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """(summary, table of parts) of one workload; InputError for unknown shapes, device or dtype, or repeats < 1."""
    _require(shapes, repeats)
    work, place, kind = SHAPES[shapes], torch_device(device), torch_dtype(dtype)
    rates = _rates(place, kind)
    seconds, known = _measured(work, place, kind, repeats, seed)
    floors = _floors(work, rates, torch.empty((), dtype=kind).element_size())
    medians = {name: float(np.median(found)) for name, found in seconds.items()}
    gsi, base_step = _steps(medians)
    gsi_floor, base_floor = _steps(floors)
    summary = {
        "device": torch.cuda.get_device_name() if place.type == "cuda" else "cpu", "shapes": shapes, "dtype": dtype,
        "n": work.n, "step_tokens": work.step, "prefix_tokens": work.prefix, "acceptance": ACCEPTANCE,
        "gsi_seconds_per_step": gsi, "soft_bon_base_seconds_per_step": base_step,
        "gsi_floor_seconds_per_step": gsi_floor, "soft_bon_base_floor_seconds_per_step": base_floor,
        "paper_gsi_seconds_per_step": PAPER["gsi"], "paper_soft_bon_base_seconds_per_step": PAPER["soft_bon_base"],
        "bandwidth": rates.bandwidth, "operations": rates.operations, "rates": rates.source, "repeats": repeats,
    } | known  # fmt: skip
    table: dict[str, list[Any]] = {
        "part": list(seconds), "seconds": [medians[name] for name in seconds],
        "fastest": [min(seconds[name]) for name in seconds], "slowest": [max(seconds[name]) for name in seconds],
        "floor": [floors[name] for name in seconds],
        "fraction_of_floor": [floors[name] / medians[name] for name in seconds],
    }  # fmt: skip
    return summary, table


def _steps(parts: dict[str, float]) -> tuple[float, float]:
    """Seconds of a step of GSI, and of soft best-of-n on the base, from those of its parts."""
    base = parts["base_draws"] + parts["prm_judges"]
    return parts["draft_draws"] + parts["base_scores"] + parts["prm_judges"] + (1 - ACCEPTANCE) * base, base


def _measured(
    work: Workload, device: torch.device, dtype: torch.dtype, repeats: int, seed: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of every part, `repeats` times; and which forward ran, and how far drawn and scored log-probabilities
    of the draft are apart (nats)."""
    context = work.prefix + 4 * work.step
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in rng.integers(work.draft.vocabulary, size=work.prefix + work.step)]
    prompt, taken = ids[: work.prefix], ids[work.prefix :]
    rule = StepRule(frozenset(), frozenset({work.draft.vocabulary}), work.step, counts=True)
    stream = [PositionStream(seed, "bench", 0, 0)]
    draft, base = (_engine(s, context, device, dtype, seed + i) for i, s in enumerate((work.draft, work.base)))
    before = {engine.contract.model: engine.prefill([prompt]) for engine in (draft, base)}

    def draws(engine: TransformersEngine) -> Steps:
        return engine.sample(engine.extend(before[engine.contract.model], [taken]), work.n, stream, rule)

    def scores(engine: TransformersEngine) -> NDArray[np.float64]:
        return engine.score(engine.extend(before[engine.contract.model], [taken]), drawn.tokens)

    for cache in before.values():
        _ = cache.logits
    drawn = draws(draft)
    seconds = {
        "draft_draws": _timed(partial(draws, draft), device, repeats),
        "base_draws": _timed(partial(draws, base), device, repeats),
        "base_scores": _timed(partial(scores, base), device, repeats),
        "prm_judges": _judged(work, base, (tuple(prompt), tuple(taken)), drawn.token_ids[0], repeats),
    }
    apart = float(np.abs(scores(draft) - drawn.token_logp).max())
    return seconds, {"forward": base.contract.forward, "drawn_against_scored": apart}


def _judged(
    work: Workload, base: TransformersEngine, before: tuple[tuple[int, ...], ...], steps: list[list[int]], repeats: int
) -> list[float]:
    """Seconds of judging by a model of the base's shape, its small head left out."""
    assert work.prm == work.base
    encoder = StepEncoder(base.model.base_model, "random PRM")

    def once() -> float:
        encoder.last_hidden([before])  # the prefix as the step before leaves it
        return _timed(lambda: encoder.last_hidden([(*before, tuple(step)) for step in steps]), base.device, 0)[0]

    return [once() for _ in range(repeats + 1)][1:]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    device: Annotated[str, typer.Option(help="cuda or cpu.")] = "cuda",
    small: Annotated[
        bool, typer.Option("--small", help="Tiny shapes in float32, few draws: a test of the script.")
    ] = False,
    shapes: Annotated[str | None, typer.Option(help=f"One of {', '.join(SHAPES)} (default: qwen2.5-math).")] = None,
    dtype: Annotated[str | None, typer.Option(help="Dtype of the timed weights (default: bfloat16).")] = None,
    repeats: Annotated[int, typer.Option(help="Calls that are counted.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of weights and tokens.")] = 0,
    out: Annotated[Path, typer.Option(help="Artifact to write.")] = Path("lm_gpu.json"),
) -> None:
    """Compare the device with the CPU, time one step at the paper's shapes, and write the artifact."""
    shapes, dtype = shapes or ("tiny" if small else "qwen2.5-math"), dtype or ("float32" if small else "bfloat16")
    began = time.perf_counter()
    try:
        require_writable(out)
        _require(shapes, repeats)
        torch_device(device)
        torch_dtype(dtype)
        quiet_engines()
        rows = compared(device, small, seed)
        summary, table = bench(shapes, device, dtype, repeats, seed)
        wrong = failures(rows)
        gpu = torch_device(device).type == "cuda"
        summary |= {"gpu": gpu, "passed": not wrong, "minutes": (time.perf_counter() - began) / 60.0}
        line = f"python -m tests.benches.gpu --device {device} --shapes {shapes} --dtype {dtype} --repeats {repeats}"
        tables = {"parts": table, "correctness": {key: [row[key] for row in rows] for key in rows[0]}}
        write_artifact(out, "lm_gpu", provenance(f"{line} --seed {seed}", seed), summary, tables)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if not gpu:
        print("no GPU was used: this tests the script, and says nothing of a card")
    print(f"{'model':<10}{'check':<12}{'value':>10}{'bound':>10}  forward")
    for row in rows:
        bound = "–" if row["bound"] is None else f"{row['bound']:.3g}"
        said = {None: "", True: "", False: "  WRONG"}[row["passed"]]
        print(f"{row['model']:<10}{row['check']:<12}{row['value']:>10.3g}{bound:>10}  {row['forward']}{said}")
    print(f"{summary['device']}, {shapes}, {dtype}; rates: {summary['rates']}")
    print(f"{'part':<14}{'seconds':>10}{'floor':>10}{'of floor':>10}")
    for row in zip(table["part"], table["seconds"], table["floor"], table["fraction_of_floor"], strict=True):
        print(f"{row[0]:<14}{row[1]:>10.4f}{row[2]:>10.4f}{row[3]:>10.0%}")
    for name in ("gsi", "soft_bon_base"):
        paper = f"   (paper, 1 H100, vLLM: {PAPER[name]} s)" if shapes == "qwen2.5-math" else ""
        floor = summary[f"{name}_floor_seconds_per_step"]
        print(f"{name} {summary[f'{name}_seconds_per_step']:.4f} s a step, floor {floor:.4f} s{paper}")
    print(f"wrote {out} in {summary['minutes']:.1f} minutes")
    if wrong:
        typer.echo(f"wrong on {device}: {', '.join(wrong)}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
