"""Seconds of a step, predicted from two settings and measured at others: artifact `lm_seconds`, for `gsi plan --costs`.

At two settings of (candidates n, tokens of a step, tokens before it) every call of a step is timed by itself: drawing
and scoring by draft and base, judging by the reward model; and whole steps, for what is left around the calls. From
these come the overheads of the three models in their engines (M33, `gsi_theory.runs.costs.Overhead`), and from the
overheads the seconds of whole steps of GSI, all accepted and all rejected, and of soft best-of-n on the base, at
settings that were not looked at. `ratio` is measured over predicted.

Steps have a fixed number of tokens; the step before is new to every model, as in the middle of a solution. The engine
of transformers computes tokens that candidates begin with alike once: it draws at a temperature of 3 at least here, so
that hardly any are, and candidates of a task that begin alike cost less than predicted. A time is
the least of the rounds, each of which times every setting once, so that a machine that grows slower does so for all: of
the processor's time where everything runs in one thread of this process, so that other work on the machine does not
count, else of the clock. Times are not reproducible: this artifact's bytes differ from run to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.costs import MEASURED, Overheads, Shape, Trio, gsi_seconds, soft_bon_seconds
from gsi_theory.types import Ints, Json, Record
from llm_check.logs.planner.calibration import Timing, fitted_overhead
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.decoding.method_step import run_step
from llm_check.models.decoding.method_table import policies_used
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import StepRule, require_candidates
from llm_check.models.decoding.solution import context_of
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.model_types import Encoded
from llm_check.models.world import World, world_record

__all__ = ["DEFAULTS", "run"]

DEFAULTS = CHECKS["lm_seconds"].defaults

# The longest text that is timed; of a model whose context is shorter, that.
_LONGEST = 256
_APART = 3.0  # the temperature at which candidates are drawn
BETA = 20.0


@dataclass(frozen=True)
class _At:
    """n candidates of `tokens` tokens after `before` tokens, at least; the step before is as long."""

    n: int
    tokens: int
    before: int


def _calibrated(ns: Sequence[int], size: int) -> list[_At]:
    """The first n after a short text, the last after a long one, with steps of two lengths."""
    long = max(6, size // 16)
    return [_At(ns[0], max(2, long // 4), size // 8), _At(ns[-1], long, size // 2)]


def _others(more: Sequence[int], size: int) -> list[_At]:
    """Every n of `more` at lengths between and beyond those calibrated, after texts of other lengths."""
    long = max(6, size // 16)
    places = ((max(3, long // 2), size // 4), (max(4, long * 3 // 4), 3 * size // 8), (long + long // 2, size // 8))
    return [_At(n, tokens, before) for n, (tokens, before) in product(more, places)]


class _Clock:
    """Seconds of a call: of the processor's time (`own`), or of the clock."""

    def __init__(self, own: bool, device: torch.device) -> None:
        self.device = device
        self.name = "processor time" if own else "clock"
        self._now = time.process_time if own else time.perf_counter

    def seconds(self, call: Callable[[], object]) -> float:
        """What the call takes."""
        self._wait()
        began = self._now()
        call()
        self._wait()
        return self._now() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class _Bench:
    """A world at one setting: `place`, before the step that is timed; `prompt`, before the step before it."""

    world: World
    at: _At
    prompt: Position
    place: Position
    rule: StepRule
    seed: int

    @property
    def before(self) -> int:
        """Tokens before the step."""
        return len(self.place.prefix)

    def cache(self, engine: Engine) -> Encoded:
        """The text as the step before leaves it: its tokens are new, those before them encoded."""
        text = engine.prefill([self.prompt.prefix])
        engine.sample(text, 1, [self.prompt.stream(self.seed, Purpose.DRAFT)], _exactly(1, self.world))
        return engine.extend(text, [self.place.path[-1]])

    def known(self) -> None:
        """The reward model as the step before leaves it."""
        self.world.reward_model.forget()
        self.world.reward_model.score([self.prompt], [self.place.path[-1]])

    def drawn(self, engine: Engine, cache: Encoded) -> Ints:
        """The candidates' tokens (n, T)."""
        stream = self.place.stream(self.seed, Purpose.DRAFT)
        return engine.sample(cache, self.at.n, [stream], self.rule).tokens[0].astype(np.int64)


def _exactly(tokens: int, world: World) -> StepRule:
    """Steps of so many tokens, whatever they are."""
    return StepRule(frozenset(), frozenset({max(world.draft.vocabulary, world.base.vocabulary)}), tokens, counts=True)


def _apart(engine: Engine) -> Engine:
    """The engine, drawing candidates that hardly begin alike."""
    if not isinstance(engine, TransformersEngine):
        return engine
    temperature = max(_APART, engine.contract.sampling_temperature)
    return replace(engine, contract=replace(engine.contract, sampling_temperature=temperature))


def _bench(world: World, at: _At, seed: int) -> _Bench:
    """The first problem's prompt, and what the draft writes after it, until the text is long enough."""
    first = Position(world.prompts()[0])
    place = first
    for tokens in (max(1, at.before - at.tokens - len(first.prefix)), at.tokens):
        cache = world.draft.prefill([place.prefix])
        steps = world.draft.sample(cache, 1, [place.stream(seed, Purpose.DRAFT)], _exactly(tokens, world))
        place = place.after(tuple(steps.tokens[0, 0].tolist()))
    prompt = Position(first.prompt, place.path[:-1])
    return _Bench(world, at, prompt, place, _exactly(at.tokens, world), seed)


def _timings(bench: _Bench, clock: _Clock) -> list[tuple[str, Timing]]:
    """Each call of a step by itself, with its model."""
    world, at, sizes = bench.world, bench.at, (bench.at.tokens, bench.before, bench.at.tokens)
    tokens = bench.drawn(world.draft, bench.cache(world.draft))

    def drawing(engine: Engine) -> float:
        return clock.seconds(partial(bench.drawn, engine, bench.cache(engine)))

    def scoring(engine: Engine, n: int) -> float:
        return clock.seconds(partial(engine.score, bench.cache(engine), tokens[None, :n]))

    def judging(n: int) -> float:
        bench.known()
        return clock.seconds(partial(world.reward_model.score, [bench.place] * n, tokens[:n].tolist()))

    # one candidate alone shows what is read again with every candidate
    counts = (at.n, 1)
    found = [("reward", Timing(False, n, *sizes, judging(n))) for n in counts]
    for name, engine in (("draft", world.draft), ("base", world.base)):
        found.append((name, Timing(True, at.n, *sizes, drawing(engine))))
        found += [(name, Timing(False, n, *sizes, scoring(engine, n))) for n in counts]
    return found


@dataclass(frozen=True)
class _Step:
    """A whole step of a method, GSI's with every one accepted or none."""

    method: str
    threshold: float | None
    accepted: float | None

    def seconds(self, bench: _Bench, clock: _Clock) -> float:
        """What it takes."""
        method, models = METHODS[self.method], bench.world.models
        scheme = method.scheme(BETA, bench.at.n, self.threshold)
        caches = {policy: bench.cache(models.engine(policy)) for policy in policies_used(method)}
        bench.known()
        return clock.seconds(lambda: run_step(method, scheme, models, caches, [bench.place], bench.rule, bench.seed))


_ACCEPTED = _Step("gsi", -np.inf, 1.0)
_STEPS = (_ACCEPTED, _Step("gsi", np.inf, 0.0), _Step("soft_bon_base", None, None))


def _selection(whole: Sequence[tuple[_Bench, float]], trio: Trio, overheads: Overheads) -> float:
    """What accepted steps of GSI take beyond their calls, 0 or more: the least of the settings, for what is left of a
    long step is mostly what its calls were fitted short by."""
    return max(0.0, min(seconds - _predicted(bench, trio, overheads, 1.0) for bench, seconds in whole))


def _predicted(bench: _Bench, trio: Trio, overheads: Overheads, accepted: float | None) -> float:
    """Seconds of a step of GSI; of soft best-of-n on the base for None."""
    at, before = bench.at, float(bench.before)
    if accepted is None:
        return float(soft_bon_seconds(trio, MEASURED, at.n, at.tokens, before, overheads=overheads))
    rejected, lengths = 1.0 - accepted, (at.tokens, at.tokens)
    return float(gsi_seconds(trio, MEASURED, at.n, at.n, rejected, *lengths, before, overheads=overheads))


def _row(bench: _Bench, step: _Step, measured: float, trio: Trio, overheads: Overheads) -> Record:
    """A whole step, measured and predicted."""
    at, predicted = bench.at, _predicted(bench, trio, overheads, step.accepted)
    row = {"method": step.method, "n": at.n, "tokens": at.tokens, "context": bench.before, "accepted": step.accepted}
    return row | {"measured": measured, "predicted": predicted, "ratio": measured / predicted}


def _shape(model: object) -> Shape:
    """Parameters and attention of a model of transformers; of one elsewhere nothing is known: no attention."""
    config = getattr(model, "config", None)
    if config is None:
        return Shape(1.0)
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = 4.0 * layers * (getattr(config, "num_key_value_heads", None) or heads) * width
    return Shape(float(model.num_parameters()), kept, 4.0 * layers * heads * width)  # type: ignore[attr-defined]


def _trio(world: World) -> Trio:
    encoder = getattr(world.reward_model, "encoder", None)
    reward = None if encoder is None else encoder.forward.module
    draft, base = (_shape(getattr(engine, "model", None)) for engine in (world.draft, world.base))
    return Trio(draft, base, _shape(reward))


def _device(world: World) -> tuple[torch.device, bool]:
    """Where the policies run, and whether all of it is this process's own work."""
    engines = [e for e in (world.draft, world.base) if isinstance(e, TransformersEngine)]
    device = engines[0].device if engines else torch.device("cpu")
    return device, len(engines) == 2 and device.type == "cpu"


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings ns (the first and the last are calibrated on), more (n of the other settings),
    repeats, threads. Tables: `models`, shape and overheads of each; `timings`, of the calibration; `steps`.

    Raises InputError for one n to calibrate on, and a context that holds too few tokens.
    """
    chosen, described = read_settings(settings, DEFAULTS), world_record(world)
    world = replace(world, draft=_apart(world.draft), base=_apart(world.base))
    if len(chosen["ns"]) < 2:
        raise InputError(f"ns = {chosen['ns']}: give two numbers of candidates to calibrate on")
    context = context_of(world.models, ("draft", "base"))
    size = min(context or _LONGEST, _LONGEST)
    if size < 64:
        raise InputError(f"the context of the models holds {size} tokens: steps are timed in at least 64")
    calibrated, others = _calibrated(chosen["ns"], size), _others(chosen["more"], size)
    most = max(at.n for at in (*calibrated, *others))
    require_candidates(most, 1, _exactly(size, world), f"n = {most}")
    device, own = _device(world)
    clock = _Clock(own and chosen["threads"] == 1, device)
    threads = torch.get_num_threads()
    torch.set_num_threads(chosen["threads"])
    calls: list[list[tuple[str, Timing]]] = []
    whole: list[list[float]] = []
    try:
        benches = [_bench(world, at, seed) for at in (*calibrated, *others)]
        known, unknown = benches[: len(calibrated)], benches[len(calibrated) :]
        asked = [(bench, _ACCEPTED) for bench in known] + list(product(unknown, _STEPS))
        # a process takes its first memory and kernels slowly, which would be calibrated on
        _STEPS[1].seconds(known[-1], clock)
        for done in range(chosen["repeats"]):
            calls.append([timing for bench in known for timing in _timings(bench, clock)])
            whole.append([])
            for at, (bench, step) in enumerate(asked, 1):
                whole[-1].append(step.seconds(bench, clock))
                progress(done * len(asked) + at, chosen["repeats"] * len(asked))
    finally:
        torch.set_num_threads(threads)
    trio, roles = _trio(world), ("draft", "base", "reward")
    least = [min(rounds, key=lambda item: item[1].seconds) for rounds in zip(*calls, strict=True)]
    timings = {role: [timing for name, timing in least if name == role] for role in roles}
    fitted = {role: fitted_overhead(getattr(trio, role), timings[role]) for role in roles}
    overheads = Overheads(fitted["draft"], fitted["base"], fitted["reward"])
    measured = [(bench, step, min(rounds)) for (bench, step), *rounds in zip(asked, *whole, strict=True)]
    selection = _selection([(bench, seconds) for bench, _, seconds in measured[: len(known)]], trio, overheads)
    overheads = replace(overheads, selection=selection)
    steps = [_row(*item, trio, overheads) for item in measured[len(known) :]]
    ratios = np.array([row["ratio"] for row in steps])
    off = np.abs(np.log(ratios))
    summary: Record = {
        "steps": len(steps),
        "settings": len(others),
        "within_20_percent": int((off <= np.log(1.2)).sum()),
        "largest": float(ratios[off.argmax()]),
        "median": float(np.exp(np.median(off)) - 1.0),
        "selection": overheads.selection,
        "clock": clock.name,
        "device": str(device),
        "dtype": world.draft.contract.dtype,
        "repeats": chosen["repeats"],
        "threads": chosen["threads"],
        "temperature": world.base.contract.sampling_temperature,
        "world": described,
    }
    models = [{"role": role} | asdict(getattr(trio, role)) | asdict(getattr(overheads, role)) for role in roles]
    timed = [{"role": role} | asdict(timing) for role in roles for timing in timings[role]]
    tables = {"models": _columns(models), "timings": _columns(timed), "steps": _columns(steps)}
    return write_artifact(out, "lm_seconds", provenance(command, seed), summary, tables)


def _columns(rows: list[Record]) -> dict[str, list[Json]]:
    return {key: [row[key] for row in rows] for key in rows[0]}
