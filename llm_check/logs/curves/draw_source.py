"""Where the draws of curves and plans come from: a log in memory, or files of any size in groups of whole prompts.

What a log is like (`LogNotes`) is a sum over parts, and curves (M47) are a map over prompts, so a long log is read
twice, each group a job that any process may do; the answer is the same, byte by byte, whoever did it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.credentials import scrubbed
from gsi_theory.runs.journal import Journal
from gsi_theory.runs.json_output import plain
from gsi_theory.runs.workers import Pool as Workers
from gsi_theory.runs.workers import local_pool
from gsi_theory.samples.beyond_pool import by_reward
from gsi_theory.types import Floats, Ints, Json, Record
from llm_check.logs.curves.prompt_curves import CurvePlan, PromptCurves, joined, prompt_curves, prompt_sizes
from llm_check.logs.log import Log, draw_counts, group_log, log_of_file, read_either, read_log_file
from llm_check.logs.pools.checked_rows import NothingLeft
from llm_check.logs.pools.log_files import GROUP_ROWS, LogFiles, LogSource, PromptGroup, small_file
from llm_check.logs.pools.missing_values import lacks_rewards
from llm_check.logs.pools.pool import reward_range
from llm_check.logs.pools.pool_files import left_out_record, said
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.verdict_line import verdict_line

__all__ = ["DrawSource", "LogNotes", "draw_source", "log_notes"]

_BATCH = 1 << 18  # rows computed at a time
_RANKED = 1 << 21  # draws that are sorted by reward
# What curves are made of; texts and tokens are not read.
_COLUMNS = (
    *("prompt_id", "step", "source", "candidate", "count", "n_tokens"),
    *("reward", "gold_reward", "correct", "label_chance", "answer", "logp_draft", "logp_base"),
)
_LABELS = ("gold_reward", "correct", "label_chance")
_ARRAYS = ("draws", "tokens", "value", "variance", "simulation")
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class LogNotes:
    """What is known of a log beside its draws: name, facts, bounds of values, rows left out, draws; whether rewards are
    below zero; the number of prompts with draws that nobody graded where others are; columns that some row has; draws
    of every (prompt, step), in no order; mean tokens of a draw, None where some draw's are unknown; ranges, the least
    and the largest of every value; stated, the range of the reward that the files state; verdict, the doctor's of the
    log (`verdict_line`), of a long one of evenly spread prompts; lacks_rewards: whether rows were left out for
    want of a reward; rewards: how many draws have each reward, rounded to three digits; labels: how many draws have a
    gold_reward, a grade (correct), a label_chance; label_fault: the first row without a right label_chance, in words.
    """

    name: str
    facts: Record
    bounds: Mapping[str, tuple[float, float]]
    left_out: int
    draws: int
    negative: bool
    ungraded: int
    columns: tuple[str, ...]
    sizes: Ints
    tokens: float | None
    ranges: Mapping[str, tuple[float, float]]
    stated: tuple[float, float]
    verdict: Record
    lacks_rewards: bool
    rewards: Mapping[float, int]
    labels: Mapping[str, int]
    label_fault: str | None = None

    def reward_above(self, share: float) -> float | None:
        """The largest of the rounded rewards that at least this share of the draws reach, None without rewards."""
        seen, total = 0, sum(self.rewards.values())
        for reward, count in sorted(self.rewards.items(), reverse=True):
            seen += count
            if seen >= share * total:
                return reward
        return None


class DrawSource(NamedTuple):
    """A log of one model: what is known of it, and its curves by a plan; report(done, total) counts prompts, or groups
    of them; ranked(value): values of each prompt by ascending reward; columns(names): these numbers of each prompt's
    draws, NaN where null, prompts by name; both None of a long log."""

    about: LogNotes
    prompts: int
    mapped: Callable[[CurvePlan, Report | None], PromptCurves]
    ranked: Callable[[str], list[Floats] | None]
    columns: Callable[[Sequence[str]], list[list[Floats]] | None]


@contextmanager
def draw_source(
    log: Log | LogSource,
    source: str | None = None,
    strict: bool = False,
    workers: Workers | None = None,
    missing: str | None = None,
) -> Iterator[DrawSource]:
    """The draws of a log of one model, or of files of one; of a pool of two models those of `source`.

    workers: who reads groups of a long log (default: this process); missing: what is done about rewards that are null.
    Raises InputError as `llm_check.read_log`, and for a source that the log has not.
    """
    if source is not None:
        require_name(source, "--source", SOURCES)
    if isinstance(log, Log):
        yield _at_once(log, source, "the log")
        return
    if (path := small_file(log)) is not None:
        yield _at_once(read_log_file(log, strict, missing), source, path.name)
        return
    with LogFiles(log, strict) as files:
        name, pool = Path(scrubbed(files.names[0])).name, workers or local_pool(1)
        name = name if len(files.names) == 1 else f"{name} and {len(files.names) - 1:,} more"
        if len(files.groups()) == 1:
            content = log_of_file(Path(files.names[0]), files.together(), strict, missing)
            yield _at_once(content, source, name)
            return
        jobs = [_Job(group, source, strict, missing, None) for group in files.groups()]
        scans = Journal(None, {}).run(jobs, _scan_group, pool, None)
        facts = files.metadata.get("facts")
        known = dict(facts) if isinstance(facts, Mapping) else {}
        verdict = verdict_line(read_either(log, strict, GROUP_ROWS, missing))
        about = _notes(name, known, files.metadata, source, scans, verdict, len(files.left_out))

        def mapped(plan: CurvePlan, report: Report | None) -> PromptCurves:
            each = Journal(None, {}).run([job._replace(plan=plan) for job in jobs], _curves_of_group, pool, report)
            return joined([_unpacked(packed, plan) for packed in each if packed is not None])

        yield DrawSource(about, sum(scan["prompts"] for scan in scans), mapped, lambda value: None, lambda names: None)


def log_notes(content: Log, source: str | None = None, name: str = "the log") -> LogNotes:
    """What is known of a log in memory, or of its rows of a source."""
    table = content.table if content.cascade else _rows(content, source, name)
    verdict = verdict_line(content.pool() if content.models == 2 and not content.cascade else content)
    return _notes(name, content.facts, content.metadata, source, [_scanned(content, table)], verdict)


def _at_once(content: Log, source: str | None, name: str) -> DrawSource:
    """A log that is in memory."""
    table, about = _rows(content, source, name), log_notes(content, source, name)
    prompts = int(pc.count_distinct(table["prompt_id"]).as_py())
    return DrawSource(
        replace(about, label_fault=_label_fault(content, name)),
        prompts,
        lambda plan, report: _mapped(table, plan, report),
        lambda value: _ranked(table, value),
        lambda names: _by_prompt(table, names, by_name=True),
    )


def _label_fault(content: Log, name: str) -> str | None:
    """The first row that was left out for its label_chance."""
    fault = next((each for each in content.left_out if each.field == "label_chance"), None)
    if fault is None:
        return None
    place = fault.place if fault.file else f"{'line' if name.endswith('.jsonl') else 'row'} {fault.row}"
    return f"{name}, {place}{said(fault)}"


class _Job(NamedTuple):
    """A group of prompts of a log, and what is computed of them."""

    group: PromptGroup
    source: str | None
    strict: bool
    missing: str | None
    plan: CurvePlan | None

    def log(self) -> Log:
        return group_log(self.group, _COLUMNS, self.strict, self.missing)


def _rows(content: Log, source: str | None, name: str) -> pa.Table:
    """The rows of one model."""
    if content.models == 1:
        if source is not None:
            raise InputError(f"{name} is a log of one model: --source {source} is for pools of two")
        return content.table
    if source is None:
        raise InputError(f"{name} is a pool of two models: give --source draft or --source base")
    table = content.table.filter(pc.equal(content.table["source"], source))
    if table.num_rows == 0:
        raise InputError(f"{name} has no rows of source {source!r}: give the other")
    return table


def _scanned(content: Log, table: pa.Table) -> Record:
    """What `_notes` needs to know of some rows of one model, as JSON."""
    there = [name for name in table.column_names if table[name].null_count < table.num_rows]
    ranges = {}
    for value in (v for v in ("reward", "gold_reward", "correct") if v in there):
        ends = pc.min_max(table[value].cast(pa.float64())).as_py()
        ranges[value] = [ends["min"], ends["max"]]
    ungraded = 0
    if "correct" in there and table["correct"].null_count:
        ungraded = pc.count_distinct(table["prompt_id"].filter(table["correct"].is_null())).as_py()
    counts, tokens = draw_counts(table), None
    if "n_tokens" in there and not table["n_tokens"].null_count:
        tokens = float((table["n_tokens"].to_numpy() * counts).sum())
    return {
        "columns": there,
        "prompts": pc.count_distinct(table["prompt_id"]).as_py(),
        "sizes": prompt_sizes(table).tolist(),
        "draws": int(counts.sum()),
        "left_out": len(content.left_out),
        "lacks": lacks_rewards(left_out_record(content.left_out)),
        "ranges": ranges,
        "ungraded": ungraded,
        "tokens": tokens,
        "two": content.models == 2,
        "rewards": _rounded(table["reward"], counts) if "reward" in there else [],
        "labels": {n: int(counts[table[n].is_valid().to_numpy()].sum()) for n in _LABELS if n in there},
    }


def _rounded(reward: pa.ChunkedArray, counts: Ints) -> list[list[float]]:
    """(reward to three digits, draws), so that parts of a log add up to the same whole however it is cut."""
    values = np.asarray(reward.cast(pa.float64()).to_numpy(), dtype=np.float64)
    some = np.isfinite(values)
    values, at = np.unique(values[some], return_inverse=True)
    number = np.bincount(at, weights=counts[some], minlength=values.size)
    out: dict[float, float] = {}
    for value, count in zip(values.tolist(), number.tolist(), strict=True):
        key = float(f"{value:.3g}")
        out[key] = out.get(key, 0.0) + count
    return [[key, count] for key, count in out.items()]


def _notes(
    name: str,
    facts: Record,
    metadata: Record,
    source: str | None,
    scans: Sequence[Record],
    verdict: Record,
    unread: int = 0,
) -> LogNotes:
    """What is known of a log of so many parts; unread: lines that are no rows."""
    ends: dict[str, list[list[float]]] = {}
    for scan in scans:
        for value, both in scan["ranges"].items():
            ends.setdefault(value, []).append(both)
    ranges = {value: (min(b[0] for b in all_), max(b[1] for b in all_)) for value, all_ in ends.items()}
    least, most = ranges.get("reward", (np.inf, -np.inf))
    bounds = {"correct": (0.0, 1.0)}
    low, high = stated = reward_range(metadata, name)
    if facts.get("reward_is_grade") and least >= 0 and most <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    if np.isfinite(low) and np.isfinite(high):
        bounds["reward"] = (low, high)
    draws = sum(scan["draws"] for scan in scans)
    rewards: dict[float, int] = {}
    for reward, count in (pair for scan in scans for pair in scan["rewards"]):
        rewards[reward] = rewards.get(reward, 0) + int(count)
    tokens = [scan["tokens"] for scan in scans]
    sizes = np.concatenate([np.asarray(scan["sizes"], dtype=np.int64) for scan in scans])
    if not sizes.size:
        raise InputError(f"{name} has no prompt without a bad row: mend them, or give --strict to stop at the first")
    return LogNotes(
        name,
        {**facts, "source": source} if any(scan["two"] for scan in scans) else facts,
        bounds,
        unread + sum(scan["left_out"] for scan in scans),
        draws,
        least < 0,
        sum(scan["ungraded"] for scan in scans),
        tuple(dict.fromkeys(column for scan in scans for column in scan["columns"])),
        sizes,
        None if None in tokens or not draws else sum(tokens) / draws,
        ranges,
        stated,
        verdict,
        any(scan["lacks"] for scan in scans),
        rewards,
        {n: sum(scan["labels"].get(n, 0) for scan in scans) for n in _LABELS},
    )


def _ranked(table: pa.Table, value: str) -> list[Floats] | None:
    """Values of each prompt's draws by ascending reward, of prompts that have all of them; None of very many draws."""
    both = _by_prompt(table, ("reward", value))
    if both is None:
        return None
    return [by_reward(worth, reward) for reward, worth in zip(*both, strict=True) if np.isfinite(worth).all()]


def _by_prompt(table: pa.Table, columns: Sequence[str], by_name: bool = False) -> list[list[Floats]] | None:
    """Of every column the numbers of each prompt's draws, a row's once a draw, prompts in the order of the rows or of
    their names; None of very many draws."""
    counts = draw_counts(table)
    if counts.sum() > _RANKED:
        return None
    encoded = table["prompt_id"].combine_chunks().dictionary_encode()
    names = encoded.indices.to_numpy()
    if by_name:
        names = np.argsort(np.argsort(np.array(encoded.dictionary.to_pylist(), dtype=object)))[names]
    order = np.argsort(names, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
    numbers = [np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64) for name in columns]
    return [[np.repeat(column[rows], counts[rows]) for rows in groups] for column in numbers]


def _scan_group(job: _Job) -> Json:
    try:
        log = job.log()
    except NothingLeft as error:
        lacks = lacks_rewards(left_out_record(error.faults))
        return {
            **{
                "columns": [],
                "prompts": 0,
                "sizes": [],
                "draws": 0,
                "left_out": len(error.faults),
                "ranges": {},
                "ungraded": 0,
            },
            **{"tokens": 0.0, "two": False, "lacks": lacks, "rewards": [], "labels": {}},
        }
    return plain(_scanned(log, _rows(log, job.source, "the log")))


def _curves_of_group(job: _Job) -> Json:
    """The curves of a group, its arrays as base64 of their bytes."""
    assert job.plan is not None
    try:
        curves = prompt_curves(_rows(job.log(), job.source, "the log"), job.plan)
    except NothingLeft:
        return None
    arrays = {name: base64.b64encode(getattr(curves, name).tobytes()).decode() for name in _ARRAYS}
    return {"prompts": list(curves.prompts), **arrays}


def _unpacked(packed: Record, plan: CurvePlan) -> PromptCurves:
    count = len(packed["prompts"])
    shape = count, len(plan.keys), len(plan.ns)

    def array(name: str) -> Floats:
        return np.frombuffer(base64.b64decode(packed[name]), dtype=np.float64).reshape(shape)

    draws = np.frombuffer(base64.b64decode(packed["draws"]), dtype=np.int64)
    tokens = np.frombuffer(base64.b64decode(packed["tokens"]), dtype=np.float64)
    value, variance, simulation = (array(name) for name in ("value", "variance", "simulation"))
    return PromptCurves(plan, tuple(packed["prompts"]), draws, tokens, value, variance, simulation)


def _mapped(table: pa.Table, plan: CurvePlan, report: Report | None) -> PromptCurves:
    """`prompt_curves` over batches of whole prompts."""
    table = table.take(pc.sort_indices(table, sort_keys=[("prompt_id", "ascending")]))
    names = np.asarray(table["prompt_id"].combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)
    ends = np.append(np.flatnonzero(names[1:] != names[:-1]) + 1, len(names))
    parts, start = [], 0
    while start < len(names):
        wanted = int(np.searchsorted(ends, start + min(_BATCH, 1 + len(names) // 64)))
        end = int(ends[min(wanted, ends.size - 1)])
        parts.append(prompt_curves(table.slice(start, end - start), plan))
        start = end
        if report is not None:
            report(end, len(names))
    return joined(parts)
