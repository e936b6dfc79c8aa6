"""From rows to one estimate a prompt, curve and n: the map of `gsi curve`, and the sum of its parts (M47).

`prompt_curves` takes any batch of whole prompts; `joined` puts batches together. What a prompt's numbers are depends on
its rows, the choices and its name alone: the result is the same, byte by byte, however prompts are cut into batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError
from gsi_theory.samples.stopping_pool import stopped_best
from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.curves.selectors import SELECTORS, DrawArrays
from llm_check.logs.log import draw_counts

__all__ = [
    "DRAWS",
    "STOPPING",
    "CurveKey",
    "CurvePlan",
    "PromptCurves",
    "joined",
    "prompt_curves",
    "prompt_sizes",
    "tilted_draws",
]

STOPPING, DRAWS = "stopping", "draws"  # stopping at a threshold, and the number of its draws as a value
_TILTED_WORK = 1 << 24


@dataclass(frozen=True, order=True)
class CurveKey:
    """Which curve: selector, β (None: it has none), and what the winner is worth. Of "stopping" the threshold on the
    reward; n is then the most draws, and value "draws" their mean number."""

    selector: str
    beta: float | None
    value: str
    threshold: float | None = None


@dataclass(frozen=True)
class CurvePlan:
    """What is computed at every prompt: curves, ns ascending, the seed of subsets that are drawn; tilted: draws of a
    prompt, picked at random where it has more, that the curves with a β are of (`tilted_draws`); errors: also the
    variances of soft best-of-n and race, which take longer than their values. Picklable."""

    keys: tuple[CurveKey, ...]
    ns: tuple[int, ...]
    seed: int = 0
    tilted: int = 1024
    errors: bool = True


def tilted_draws(prompts: int) -> int:
    """Draws of each of so many prompts that curves with a β are computed from in about half a minute: they take time by
    the square of the draws. From 128 to 1,024."""
    return int(np.clip(np.sqrt(_TILTED_WORK / prompts), 128, 1024))


@dataclass(frozen=True)
class PromptCurves:
    """What is kept of P prompts, in the order of their names: draws (P,), of the step with fewest; tokens (P,), mean of
    a draw, NaN where some draw's are unknown; value, variance, simulation (P, C, M), NaN where a prompt does not speak
    (fewer than n draws, draws not graded, or beyond what is computed exactly)."""

    plan: CurvePlan
    prompts: tuple[str, ...]
    draws: Ints
    tokens: Floats
    value: Floats
    variance: Floats
    simulation: Floats


def prompt_sizes(table: pa.Table) -> Ints:
    """Draws of every (prompt, step), in no order: what default ns are chosen by."""
    sized = pa.table([table["prompt_id"], table["step"], pa.array(draw_counts(table))], names=["prompt", "step", "k"])
    grouped = sized.group_by(["prompt", "step"]).aggregate([("k", "sum")])
    return np.asarray(grouped["k_sum"].to_numpy(), dtype=np.int64)


def prompt_curves(table: pa.Table, plan: CurvePlan) -> PromptCurves:
    """Every curve of the plan at every prompt of a batch: rows of one model, whole prompts, in any order.

    A prompt of several steps is worth their mean.
    """
    order = pc.sort_indices(
        table.select(["prompt_id", "step", "candidate"]),
        sort_keys=[(name, "ascending") for name in ("prompt_id", "step", "candidate")],
    )
    table = table.take(order)
    names = np.asarray(table["prompt_id"].to_numpy(zero_copy_only=False), dtype=object)
    steps = np.asarray(table["step"].to_numpy(), dtype=np.int64)
    new = np.concatenate([np.ones(1, dtype=np.bool_), (names[1:] != names[:-1]) | (steps[1:] != steps[:-1])])
    starts = np.append(np.flatnonzero(new), len(names)) if len(names) else np.zeros(1, dtype=np.int64)
    columns = _columns(table)
    counts = draw_counts(table)
    answer = _answers(table)
    shape = starts.size - 1, len(plan.keys), len(plan.ns)
    value, variance, simulation = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    draws, tokens = np.zeros(shape[0], dtype=np.int64), np.full(shape[0], np.nan)
    for at, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        rows = slice(start, end)
        part = {name: column[rows] for name, column in columns.items()}
        arrays = DrawArrays(part.get("reward"), None if answer is None else answer[rows], counts[rows], plan.errors)
        draws[at] = counts[rows].sum()
        if "n_tokens" in part:
            tokens[at] = np.sum(part["n_tokens"] * counts[rows]) / draws[at]
        _position(arrays, part, plan, f"{names[start]}\n{steps[start]}", value[at], variance[at], simulation[at])
    ids = names[starts[:-1]]
    first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if ids.size else np.zeros(0, dtype=np.int64)
    return _over_steps(plan, tuple(ids[first].tolist()), first, draws, tokens, value, variance, simulation)


def _columns(table: pa.Table) -> dict[str, Floats]:
    """Columns of numbers; null: NaN. A batch whose rows are all null is like any other."""
    out = {}
    for name in ("reward", "gold_reward", "correct", "n_tokens"):
        if name in table.column_names:
            out[name] = np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
    return out


def _answers(table: pa.Table) -> Ints | None:
    """Codes of equal answers, −1 for none."""
    if "answer" not in table.column_names:
        return None
    codes = table["answer"].combine_chunks().dictionary_encode().indices.fill_null(-1)
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _position(
    draws: DrawArrays,
    columns: dict[str, Floats],
    plan: CurvePlan,
    name: str,
    value: Floats,
    variance: Floats,
    simulation: Floats,
) -> None:
    """Fill in value, variance, simulation (C, M) of one position."""
    ns = np.asarray(plan.ns, dtype=np.int64)
    inside = ns <= draws.counts.sum()
    whole = {key: bool(np.isfinite(column).all()) for key, column in columns.items()}
    together: dict[tuple[str, float | None], list[int]] = {}
    if inside.any():
        _stopped(draws, columns, plan, ns, inside, whole, value)
    for c, key in enumerate(plan.keys):
        if key.selector == STOPPING:
            continue
        needs = {key.value, *SELECTORS[key.selector].needs} - {"answer"}
        if inside.any() and all(whole.get(name, False) for name in needs):
            together.setdefault((key.selector, key.beta), []).append(c)
    words = np.frombuffer(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest(), dtype=np.uint32).tolist()
    local = draws
    if draws.answer is not None:
        voting = draws.answer >= 0
        code = np.full(draws.answer.size, -1, dtype=np.int64)
        # codes in the order in which answers appear at this prompt, whatever batch it is in
        _, first, dense = np.unique(draws.answer[voting], return_index=True, return_inverse=True)
        code[voting] = np.argsort(np.argsort(first))[dense]
        local = DrawArrays(draws.reward, code, draws.counts, draws.errors)
    for (selector, beta), members in together.items():
        entry = SELECTORS[selector]
        worth = np.array([columns[plan.keys[c].value] for c in members])
        rng = np.random.default_rng([plan.seed, list(SELECTORS).index(selector), *words])
        used, asked = local, inside
        if entry.tilts and draws.counts.sum() > plan.tilted:
            used, asked = _some_draws(local, plan.tilted, words), ns <= plan.tilted
        curve = entry.curve(used, worth, ns[asked], 0.0 if beta is None else beta, rng)
        for row, c in enumerate(members):
            value[c, asked], variance[c, asked] = curve.value[row], curve.variance[row]
            simulation[c, asked] = curve.simulation[row]


def _stopped(
    draws: DrawArrays,
    columns: dict[str, Floats],
    plan: CurvePlan,
    ns: Ints,
    inside: Flags,
    whole: dict[str, bool],
    value: Floats,
) -> None:
    """Fill in value (C, M) of the curves that stop at a threshold."""
    members = [c for c, key in enumerate(plan.keys) if key.selector == STOPPING]
    worth = sorted({plan.keys[c].value for c in members} - {DRAWS})
    if draws.reward is None or not worth or not all(whole.get(name, False) for name in ("reward", *worth)):
        return
    cuts = sorted({float(plan.keys[c].threshold or 0.0) for c in members})
    values = np.array([columns[name] for name in worth])
    means, numbers = stopped_best(draws.reward, values, draws.counts, ns[inside], np.array(cuts))
    for c in members:
        key = plan.keys[c]
        at = cuts.index(float(key.threshold or 0.0))
        value[c, inside] = numbers[at] if key.value == DRAWS else means[worth.index(key.value), at]


def _some_draws(draws: DrawArrays, size: int, words: Sequence[int]) -> DrawArrays:
    """So many of the draws, each set of that size as likely: what is unbiased of them is unbiased of all."""
    rng = np.random.default_rng([size, *words])
    counts = rng.multivariate_hypergeometric(draws.counts, size, method="marginals")
    return DrawArrays(draws.reward, draws.answer, counts)


def _over_steps(
    plan: CurvePlan,
    prompts: tuple[str, ...],
    first: Ints,
    draws: Ints,
    tokens: Floats,
    value: Floats,
    variance: Floats,
    simulation: Floats,
) -> PromptCurves:
    """A prompt's mean over its steps, which are drawn one after the other: errors of different steps do not covary."""
    if first.size == draws.size:
        return PromptCurves(plan, prompts, draws, tokens, value, variance, simulation)
    steps = np.diff(np.append(first, draws.size))[:, None, None]
    mean = np.add.reduceat(value, first) / steps
    spread = np.add.reduceat(variance, first) / steps**2
    drawn = np.sqrt(np.add.reduceat(simulation**2, first)) / steps
    fewest = np.minimum.reduceat(draws, first)
    return PromptCurves(plan, prompts, fewest, np.add.reduceat(tokens, first), mean, spread, drawn)


def joined(parts: Sequence[PromptCurves]) -> PromptCurves:
    """Batches put together, prompts in the order of their names: the same bytes however they were cut.

    Raises InputError where two batches hold rows of one prompt, or there are none.
    """
    if not parts or not sum(len(part.prompts) for part in parts):
        raise InputError("no prompt: give a log with draws")
    names = np.array([name for part in parts for name in part.prompts], dtype=object)
    order = np.argsort(names, kind="stable")
    twice = np.flatnonzero(names[order][1:] == names[order][:-1])
    if twice.size:
        raise InputError(f"prompt {names[order][twice[0]]!r} is in two batches: its rows must come together")

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    arrays = {name: column(name) for name in ("draws", "tokens", "value", "variance", "simulation")}
    return PromptCurves(parts[0].plan, tuple(names[order].tolist()), **arrays)
