"""What a step costs (M33): tokens and operations by model, and seconds by a roofline.

P are parameters, L tokens of a step. Operations: 2 a parameter and token (a multiply and an add), the attention over
the context left out. Of a step of GSI:

    draft        2 P_S n L_S                     n drafts of L_S tokens
    base         2 P_B n L_S                     scoring them, plus (1 − p_accept) 2 P_B n_B L_B decoded on rejection
    reward       2 P_R n L_S                     judging them, plus (1 − p_accept) 2 P_R n_B L_B

Seconds: every forward pass takes the longer of reading its bytes and doing its arithmetic. Over b sequences of t new
tokens each after a context of c tokens, κ bytes of keys and values a token:

    bytes       2 P + b (c + t) κ            16-bit weights once, keys and values of each sequence
    operations  2 P b t
    seconds     max(bytes/bandwidth, operations/peak) + overhead

Decoding a step of L tokens is L passes of t = 1; scoring it one pass of t = L. Sequences of one batch end at different
times: the batch lasts as long as its longest, `longest_over_mean` times the mean. Left out: attention arithmetic,
sampling, tokenization, text passing between processes, transfers between devices, imperfect use of bandwidth. A
roofline is a lower bound; `Slowdown` says by how much.

Around the passes an engine takes time of its own, `Overhead`: with a(c) = 1 + c·attention/(2 P), what attention over c
tokens makes of a token, ℓ the tokens of the step taken before, which are new to every model,

    drawn       call + read ℓ a(c) + (L − 1) step + drawn b (L − 1) a(c + L/2)
    scored      call + read (ℓ + b L) a(c + L/2), with the context in it, b (c + L) tokens, where it is read `again`

seconds a call, a token step, a token drawn and a token read, and once a selection: of an engine by `OVERHEADS`,
measured by `gsi check lm_seconds`. Measured ones hold the passes too: their device is `MEASURED`, of infinite rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance
from gsi_theory.methods import MethodLaw
from gsi_theory.types import Floats

__all__ = [
    "DEVICES",
    "HARDWARE",
    "MEASURED",
    "OVERHEADS",
    "SHAPES",
    "Device",
    "Hardware",
    "Overhead",
    "Overheads",
    "Shape",
    "Sizes",
    "Slowdown",
    "StepCost",
    "Trio",
    "drawing_seconds",
    "flops",
    "gsi_seconds",
    "pass_seconds",
    "reading_seconds",
    "require_context",
    "seconds",
    "soft_bon_seconds",
    "step_cost",
    "value_of",
]


def _require_positive(record: object, words: str) -> None:
    for name, value in vars(record).items():
        if not 0 < value < np.inf:
            raise InputError(words.format(name=name, value=value))


@dataclass(frozen=True)
class Sizes:
    """Parameters of draft, base and reward model. Raises InputError unless they are positive."""

    draft: float
    base: float
    reward: float

    def __post_init__(self) -> None:
        _require_positive(self, "{name} model of {value!r} parameters: give a positive number (1.5e9)")


@dataclass(frozen=True)
class StepCost:
    """Expected tokens of one step: drafted, decoded by the base, scored by the base, judged; flops by model."""

    drafted: Floats
    decoded: Floats
    scored: Floats
    judged: Floats
    flops_draft: Floats
    flops_base: Floats
    flops_reward: Floats

    @property
    def tokens(self) -> Floats:
        """All tokens that pass through some model."""
        return self.drafted + self.decoded + self.scored + self.judged

    @property
    def flops(self) -> Floats:
        """All operations."""
        return self.flops_draft + self.flops_base + self.flops_reward


def step_cost(
    n: ArrayLike,
    n_base: ArrayLike,
    p_reject: ArrayLike,
    draft_tokens: ArrayLike,
    base_tokens: ArrayLike,
    sizes: Sizes,
    alone: ArrayLike = False,
) -> StepCost:
    """Expected cost of a step of GSI; arguments broadcast: candidates, P(reject), mean tokens of a step from both.

    alone: neither scored nor judged (one draft without a gate). Soft best-of-n on the base is n = 0 with p_reject = 1.
    Raises InputError for tokens that are negative or not finite, and where the operations exceed the range of numbers.
    """
    n, n_base, p_reject, draft_tokens, base_tokens = (
        np.asarray(v, dtype=np.float64) for v in (n, n_base, p_reject, draft_tokens, base_tokens)
    )
    for name, tokens in (("draft", draft_tokens), ("base", base_tokens)):
        if not np.all((tokens >= 0) & (tokens < np.inf)):
            raise InputError(f"{name} steps of {float(tokens.min())!r} tokens: give a finite number, 0 or more")
    used = np.where(np.asarray(alone), 0.0, 1.0)
    drafted, decoded = n * draft_tokens, p_reject * n_base * base_tokens
    drafted, decoded, used = np.broadcast_arrays(drafted, decoded, used)
    scored, judged = drafted * used, drafted * used + decoded
    with np.errstate(over="ignore", invalid="ignore"):
        of_draft, of_base = 2.0 * sizes.draft * drafted, 2.0 * sizes.base * (scored + decoded)
        cost = StepCost(drafted, decoded, scored, judged, of_draft, of_base, 2.0 * sizes.reward * judged)
        if not np.isfinite(cost.flops).all():
            raise InputError("operations of a step exceed the range of numbers: give fewer tokens or parameters")
    return cost


@dataclass(frozen=True)
class Device:
    """bandwidth in bytes/s, peak in dense bfloat16 operations/s, overhead in seconds a pass."""

    bandwidth: float
    peak: float
    overhead: float = 0.0


# NVIDIA's data sheets: memory bandwidth, and dense (not sparse) bfloat16 tensor-core throughput.
DEVICES: dict[str, Device] = {
    "b200": Device(8.0e12, 2.25e15),  # Blackwell architecture brief, HGX B200, per GPU
    "h200": Device(4.8e12, 0.989e15),  # H200 SXM data sheet
    "h100": Device(3.35e12, 0.989e15),  # H100 SXM data sheet
    "h100-pcie": Device(2.0e12, 0.756e15),  # H100 PCIe data sheet
    "a100": Device(2.039e12, 0.312e15),  # A100 80 GB SXM data sheet
    "l40s": Device(0.864e12, 0.362e15),  # L40S data sheet
    "a10": Device(0.6e12, 0.125e15),  # A10 data sheet
    "rtx4090": Device(1.008e12, 0.165e15),  # Ada architecture white paper, FP32 accumulation
}


# Rates of a device whose passes are in measured overheads.
MEASURED = Device(float("inf"), float("inf"))


@dataclass(frozen=True)
class Shape:
    """Parameters; bytes of keys and values a token: 2 · layers · key-value heads · head size · 2 bytes; operations of
    attention for each pair of tokens: 4 · layers · heads · head size (counted with an `Overhead` only)."""

    parameters: float
    cache_bytes: float = 0.0
    attention: float = 0.0


def _shape(parameters: float, layers: int, kv_heads: int, heads: int, size: int = 128) -> Shape:
    return Shape(parameters, 4.0 * layers * kv_heads * size, 4.0 * layers * heads * size)


# config.json of each model: parameters, layers, key-value heads, heads
SHAPES: dict[str, Shape] = {
    "qwen2.5-math-1.5b": _shape(1.54e9, 28, 2, 12),
    "qwen2.5-math-7b": _shape(7.62e9, 28, 4, 28),
    "qwen2.5-math-prm-7b": _shape(7.08e9, 28, 4, 28),
    "qwen3-1.7b": _shape(1.72e9, 28, 8, 16),
    "qwen3-14b": _shape(14.8e9, 40, 8, 40),
}


@dataclass(frozen=True)
class Overhead:
    """Seconds of one model in one engine beside its passes: a call, a token step of drawing, a token of one candidate
    drawn, a token read (scored or judged); again: whether the context is read again with every candidate that is
    scored, as where no prefix cache serves it. Raises InputError for a number that is negative or not finite."""

    call: float = 0.0
    step: float = 0.0
    drawn: float = 0.0
    read: float = 0.0
    again: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise InputError(f"overhead {name} = {value!r}: give seconds, 0 or more")


@dataclass(frozen=True)
class Overheads:
    """Of draft, base and reward model; selection: seconds around the calls, once for every selection of a winner."""

    draft: Overhead = Overhead()
    base: Overhead = Overhead()
    reward: Overhead = Overhead()
    selection: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.selection < np.inf:
            raise InputError(f"overhead selection = {self.selection!r}: give seconds, 0 or more")


# vLLM: of the time that Llama 3 8B takes on an H100, 38 % is execution on the GPU and 29 % scheduling (vLLM 0.5.3,
# blog.vllm.ai/2024/09/05/perf-update.html; the HTTP server's 33 % left out): 29/38 of the 4.8 ms in which 8.03e9
# weights of 16 bits are read at 3.35 TB/s. Later versions schedule faster. Log-probabilities of given tokens pass by
# the prefix cache, and pooling models have none.
_VLLM = 29.0 / 38.0 * 2.0 * 8.03e9 / 3.35e12
OVERHEADS: dict[str, Overheads] = {
    "vllm": Overheads(Overhead(_VLLM, _VLLM), Overhead(_VLLM, _VLLM, again=True), Overhead(_VLLM, _VLLM, again=True))
}


@dataclass(frozen=True)
class Trio:
    """Draft, base and reward model."""

    draft: Shape
    base: Shape
    reward: Shape


@dataclass(frozen=True)
class Slowdown:
    """How much slower than the roofline: factors on passes of the draft and on those of the base and reward model.

    Raises InputError unless they are positive and finite.
    """

    draft: float = 1.0
    base: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(self, "{name} passes scaled by {value!r}: give a positive number")


@np.errstate(over="ignore")
def pass_seconds(
    shape: Shape, device: Device, sequences: ArrayLike, tokens: ArrayLike, context: ArrayLike = 0.0
) -> Floats:
    """Seconds of one forward pass over `sequences` of `tokens` new tokens each; arguments broadcast."""
    rows, new, before = (np.asarray(v, dtype=np.float64) for v in (sequences, tokens, context))
    size = 2.0 * shape.parameters + rows * (before + new) * shape.cache_bytes
    return np.maximum(size / device.bandwidth, 2.0 * shape.parameters * rows * new / device.peak) + device.overhead


def _decode(shape: Shape, device: Device, sequences: ArrayLike, length: ArrayLike, context: float = 0.0) -> Floats:
    """Seconds to decode `length` tokens for each sequence; the cache is taken at its middle length."""
    passes = np.asarray(length, dtype=np.float64)
    return passes * pass_seconds(shape, device, sequences, 1.0, context + passes / 2.0)


def _attended(shape: Shape, context: ArrayLike) -> Floats:
    """a(c): a token's operations over those of its weights."""
    return 1.0 + np.asarray(context, dtype=np.float64) * shape.attention / (2.0 * shape.parameters)


@np.errstate(over="ignore", invalid="ignore")
def drawing_seconds(
    shape: Shape,
    device: Device,
    overhead: Overhead,
    sequences: ArrayLike,
    tokens: ArrayLike,
    context: float,
    new: ArrayLike = 0.0,
    longest_over_mean: float = 1.0,
) -> Floats:
    """Seconds of one call that draws `sequences` steps of `tokens` tokens on average, `new` tokens of the context being
    new to the model; arguments broadcast."""
    rows, mean = np.asarray(sequences, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    longest, after = mean * longest_over_mean, np.maximum(mean - 1.0, 0.0)
    own = overhead.call + overhead.read * np.asarray(new) * _attended(shape, context)
    own = own + overhead.step * np.maximum(longest - 1.0, 0.0)
    own = own + overhead.drawn * rows * after * _attended(shape, context + mean / 2.0)
    return _decode(shape, device, rows, longest, context) + own


@np.errstate(over="ignore", invalid="ignore")
def reading_seconds(
    shape: Shape,
    device: Device,
    overhead: Overhead,
    sequences: ArrayLike,
    tokens: ArrayLike,
    context: float,
    new: ArrayLike = 0.0,
) -> Floats:
    """Seconds of one call that scores or judges `sequences` steps of `tokens` tokens, `new` as `drawing_seconds`."""
    rows, mean = np.asarray(sequences, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    if overhead.again:
        whole = context + mean
        return pass_seconds(shape, device, rows, whole) + (
            overhead.call + overhead.read * rows * whole * _attended(shape, whole / 2.0)
        )
    own = overhead.call + overhead.read * (np.asarray(new) + rows * mean) * _attended(shape, context + mean / 2.0)
    return pass_seconds(shape, device, rows, mean, context) + own


@np.errstate(over="ignore", invalid="ignore")
def gsi_seconds(
    trio: Trio,
    device: Device,
    n: ArrayLike,
    n_base: ArrayLike,
    p_reject: ArrayLike,
    draft_tokens: ArrayLike,
    base_tokens: ArrayLike,
    context: float = 500.0,
    longest_over_mean: float = 1.0,
    calibration: Slowdown = Slowdown(),
    alone: ArrayLike = False,
    overheads: Overheads = Overheads(),
) -> Floats:
    """Expected seconds of a step of GSI: the draft decodes n, base and reward model score them; after a rejection the
    base decodes n_B, and the reward model scores them. Arguments as of `step_cost`; the step before is as long as this.

    Raises InputError for a context that is negative or not finite, and where seconds exceed the range of numbers.
    """
    require_context(context)
    n, n_base, p_reject = (np.asarray(v, dtype=np.float64) for v in (n, n_base, p_reject))
    draft_tokens, base_tokens = (np.asarray(v, dtype=np.float64) for v in (draft_tokens, base_tokens))
    new, stretch = draft_tokens, longest_over_mean
    drafting = drawing_seconds(trio.draft, device, overheads.draft, n, draft_tokens, context, new, stretch)
    scoring = reading_seconds(trio.base, device, overheads.base, n, draft_tokens, context, new)
    scoring = scoring + reading_seconds(trio.reward, device, overheads.reward, n, draft_tokens, context, new)
    falling = drawing_seconds(trio.base, device, overheads.base, n_base, base_tokens, context, 0.0, stretch)
    falling = falling + reading_seconds(trio.reward, device, overheads.reward, n_base, base_tokens, context)
    return _finite(
        calibration.draft * drafting
        + np.where(np.asarray(alone), 0.0, calibration.base * scoring)
        + p_reject * _finite(calibration.base * falling)
        + overheads.selection * (1.0 + p_reject)
    )


@np.errstate(over="ignore", invalid="ignore")
def soft_bon_seconds(
    trio: Trio,
    device: Device,
    n: ArrayLike,
    tokens: ArrayLike,
    context: float = 500.0,
    longest_over_mean: float = 1.0,
    calibration: Slowdown = Slowdown(),
    overheads: Overheads = Overheads(),
) -> Floats:
    """Seconds of one step of soft best-of-n on the base: decoding n, judging n. Errors as `gsi_seconds`."""
    require_context(context)
    length = np.asarray(tokens, dtype=np.float64)
    decoding = drawing_seconds(trio.base, device, overheads.base, n, length, context, length, longest_over_mean)
    judging = reading_seconds(trio.reward, device, overheads.reward, n, length, context, length)
    return _finite(calibration.base * (decoding + judging)) + overheads.selection


def require_context(context: float) -> None:
    """InputError unless `context` is a finite number of tokens, 0 or more."""
    if not 0 <= context < np.inf:
        raise InputError(f"context of {context!r} tokens: give a finite number, 0 or more")


def _finite(numbers: Floats) -> Floats:
    if not np.isfinite(numbers).all():
        raise InputError("seconds of a step exceed the range of numbers: give fewer tokens or shorter timings")
    return numbers


@dataclass(frozen=True)
class Hardware:
    """The models of one setup, its device, and tokens a step."""

    models: Trio
    device: Device
    tokens: float


# The GSI paper's models (draft 1.5 B, base and process reward model 7 B, steps of 64 tokens) on one accelerator of
# 3.35 TB/s and 400 TFLOP/s of usable arithmetic; cache traffic left out.
HARDWARE = Hardware(Trio(Shape(1.5e9), Shape(7e9), Shape(7e9)), Device(3.35e12, 4e14), 64.0)


def flops(law: MethodLaw, hardware: Hardware = HARDWARE) -> float:
    """Expected operations of a round of a method's exact law: 2 P L for every candidate written or scored."""
    models = hardware.models
    drafts = models.draft.parameters * (law.draft_samples + law.draft_scored)
    bases = models.base.parameters * (law.base_samples + law.base_scored)
    return 2.0 * hardware.tokens * (drafts + bases + models.reward.parameters * law.reward_calls)


def seconds(law: MethodLaw, hardware: Hardware = HARDWARE) -> float:
    """Expected seconds of a round in which candidates of one model are written together; a fallback follows the drafts.

    Where base samples are expected only after a rejection, the batch is what a rejection asks for.
    """
    models, device, length = hardware.models, hardware.device, hardware.tokens

    def scoring(shape: Shape, batch: float) -> float:
        return float(pass_seconds(shape, device, batch, length)) if batch > 0 else 0.0

    def writing(shape: Shape, batch: float) -> float:
        return float(_decode(shape, device, batch, length)) if batch > 0 else 0.0

    gated = law.p_accept is not None
    rejected = 1.0 if law.p_accept is None else 1.0 - law.p_accept
    after = law.base_samples / rejected if rejected > 0 else 0.0
    judged = law.reward_calls - (law.base_samples if gated else 0.0)
    judged_after = after if gated and law.reward_calls > judged else 0.0
    drafts = writing(models.draft, law.draft_samples) + scoring(models.base, law.base_scored)
    fallback = rejected * writing(models.base, after)
    return drafts + scoring(models.reward, judged) + fallback + rejected * scoring(models.reward, judged_after)


def value_of(instance: Instance, beta: float, log_prob: Floats) -> float:
    """E r − KL(law‖base)/β in reward units, which the tilted policy maximizes; there it is β⁻¹ log Z."""
    return float(np.exp(log_prob) @ instance.reward) - divergence.kl(log_prob, instance.log_base) / beta
