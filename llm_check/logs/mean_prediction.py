"""`predict`: means over positions of what a pool predicts, from a pool in memory or from a log in files of any size.

Prompts are predicted one by one and only sums are kept, so a long log is read in groups of prompts (`LogFiles`), each
a job that any process may do: the numbers are the same whoever did it. Shapes: S schemes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gsi_theory import Scheme
from gsi_theory.errors import InputError, require_name
from gsi_theory.rules.table import rule_named
from gsi_theory.runs.journal import Journal
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.options import distinct
from gsi_theory.runs.workers import Pool as Workers
from gsi_theory.runs.workers import local_pool
from gsi_theory.types import Floats, Json, Record
from llm_check.logs.log import Log, group_log
from llm_check.logs.pools.checked_rows import NothingLeft
from llm_check.logs.pools.log_files import GROUP_ROWS, LogFiles, LogSource, PromptGroup, small_file
from llm_check.logs.pools.missing_values import MISSING, lacks_rewards, under_each
from llm_check.logs.pools.pool import Pool, read_pool
from llm_check.logs.pools.pool_files import left_out_record
from llm_check.logs.pools.schema import REQUIRED
from llm_check.logs.pools.supports import effective_sizes, typical, unsupported
from llm_check.logs.pools.verdict_line import verdict_line
from llm_check.logs.prediction import NothingToPredict, Prediction, predict_pool

__all__ = ["BETAS", "NS", "PREDICTED", "RULES", "MeanPredictions", "mean_rows", "predict", "scheme_grid"]

RULES, BETAS, NS = ("softmax", "race"), (1.0, 5.0, 20.0), (1, 2, 4, 8, 16)  # compared when none are given
PREDICTED = ("reward", "gold_reward", "correct")  # values of which the mean is predicted
FAULTS = 1000  # bad rows that are listed, of a log in groups
Progress = Callable[[int, int], None]


def scheme_grid(
    betas: Sequence[float], ns: Sequence[int], rules: Sequence[str], threshold: float | None
) -> list[Scheme]:
    """Every rule × β × n, each once: without a gate and, with `threshold`, with the tilted-reward gate; rules that have
    a score gate also with that."""
    grid = []
    for rule in distinct(rules):
        for beta in distinct(betas):
            for n in distinct(ns):
                grid.append(Scheme(beta, n, None, rule))
                if threshold is not None:
                    grid.append(Scheme(beta, n, threshold, rule))
                    if rule_named(rule).score_gate:
                        grid.append(Scheme(beta, n, threshold, rule, gate="score"))
    return grid


class _Sums(NamedTuple):
    """Sums over positions (S,): how many, values, their variances, acceptance, its variances by the jackknife; and the
    most that the floor of an acceptance adds to a variance."""

    positions: Floats
    value: Floats
    variance: Floats
    accept: Floats
    accept_variance: Floats
    added: Floats

    def plus(self, other: _Sums) -> _Sums:
        """Those of both."""
        sums = [a + b for a, b in zip(self, other, strict=True)]
        return _Sums(*sums)._replace(added=np.maximum(self.added, other.added))


def _sums(schemes: Sequence[Scheme], predictions: Iterable[Prediction]) -> _Sums:
    by_scheme: dict[Scheme, list[Prediction]] = {scheme: [] for scheme in schemes}
    for prediction in predictions:
        by_scheme[prediction.scheme].append(prediction)
    columns = []
    for items in by_scheme.values():
        added = [p.p_accept_se**2 - p.p_accept_jackknife**2 for p in items if p.p_accept_se > p.p_accept_jackknife]
        each = [(p.reward, p.reward_se**2, p.p_accept, p.p_accept_jackknife**2) for p in items]
        totals = np.sum(np.array(each).reshape(-1, 4), axis=0)
        columns.append([float(len(items)), *map(float, totals), max(added, default=0.0)])
    return _Sums(*np.array(columns).T)


def _rows(schemes: Sequence[Scheme], sums: _Sums, value: str) -> list[Record]:
    rows = []
    for scheme, (count, total, variance, accept, accept_variance, added) in zip(
        schemes, zip(*map(np.ndarray.tolist, sums), strict=True), strict=True
    ):
        if count:
            rows.append(
                {
                    "rule": scheme.rule,
                    "gate": "none" if scheme.threshold is None else scheme.gate,
                    "threshold": scheme.threshold,
                    "beta": scheme.beta,
                    "n": scheme.n,
                    "positions": int(count),
                    value: total / count,
                    f"{value}_se": float(np.sqrt(variance)) / count,
                    "p_accept": accept / count,
                    "p_accept_se": float(np.sqrt(accept_variance + added)) / count,
                }
            )
    return rows


def mean_rows(predictions: Sequence[Prediction], value: str = "reward") -> list[Record]:
    """Means over positions, each scheme; positions are independent, so errors add in squares.

    What the floor adds to the error of an acceptance is added once, at the position where it adds most: one draft more
    on the other side of the gate, of all drafts.
    """
    schemes = distinct(prediction.scheme for prediction in predictions)
    return _rows(schemes, _sums(schemes, predictions), value)


@dataclass(frozen=True)
class MeanPredictions:
    """rows: of each scheme the mean over the `positions` of its own row of `value` and acceptance, with standard
    errors, the positions held fixed; None (and why, in `reason`) where the pool's weights do not bear them. positions:
    where something is predicted; missing: positions where nothing is, as a source has no candidates there, or one has
    no value; clipped: the n beyond the pool, what they became and why, None where there are none; left_out: rows left
    out; verdict: the doctor's (`verdict_line`); absent: where rewards are missing and no choice was made, the rows
    under each choice of MISSING that leaves any."""

    rows: list[Record]
    value: str
    positions: int
    missing: int
    clipped: Record | None
    left_out: Record
    verdict: Record
    absent: Record | None = None

    def record(self) -> Record:
        """The object of `gsi predict --json`."""
        fields = {
            "value": self.value,
            "predictions": self.rows,
            "n_clipped": self.clipped,
            "positions": self.positions,
            "positions_left_out": self.missing,
            "left_out": self.left_out,
            "doctor": self.verdict,
            "missing": self.absent,
        }
        record: Record = plain(with_schema("predict", fields))
        return record


class _Asked(NamedTuple):
    """What is predicted: `scheme_grid`'s, of a value; strict as `predict`."""

    rules: tuple[str, ...]
    betas: tuple[float, ...]
    ns: tuple[int, ...]
    threshold: float | None
    value: str
    strict: bool
    missing: str | None

    def schemes(self) -> list[Scheme]:
        return scheme_grid(self.betas, self.ns, self.rules, self.threshold)


def _largest(pool: Pool, gated: bool) -> int:
    """The largest n for which half of the positions have candidates of the sources that a prediction draws from."""
    sizes: dict[int, list[int]] = {}
    arrays = pool.arrays
    for position, base, size in zip(arrays.set_position, arrays.set_is_base, np.diff(arrays.starts), strict=True):
        if gated or not base:
            sizes.setdefault(int(position), []).append(int(size))
    needed = 2 if gated else 1
    least = sorted(min(each) for each in sizes.values() if len(each) == needed)
    return least[len(least) // 2] if least else 0


def _clipped(pool: Pool, asked: _Asked) -> tuple[_Asked, Record | None]:
    """n that few positions have so many candidates for become the largest that half of them have."""
    most = _largest(pool, asked.threshold is not None)
    beyond = [n for n in asked.ns if n > most]  # no unbiased estimate exists there (M31)
    if asked.strict or not beyond or not most:
        return asked, None
    ns = distinct(min(n, most) for n in asked.ns)
    return asked._replace(ns=ns), {"n": beyond, "to": most, "place": "candidates at half of the positions"}


def _predicted(pool: Pool, asked: _Asked, progress: Progress | None = None) -> Record:
    """Sums over the positions of a pool, and what else is needed of them."""
    schemes = asked.schemes()
    predictions = predict_pool(pool, schemes, progress, asked.strict, asked.value)
    return {
        "sums": _sums(schemes, predictions),
        "ess": effective_sizes(pool),
        "positions": [len({(p.prompt_id, p.step) for p in predictions}), len(pool.keys())],
        "left_out": pool.left_out_record(),
    }


class _Job(NamedTuple):
    """A group of prompts, and what is predicted of them."""

    group: PromptGroup
    asked: _Asked


def _columns(value: str) -> tuple[str, ...]:
    return (*REQUIRED, *(() if value in REQUIRED else (value,)))


def _group_log(group: PromptGroup, asked: _Asked) -> Log:
    return group_log(group, _columns(asked.value), asked.strict, asked.missing)


def _of_group(job: _Job) -> Json:
    """`_predicted` of a group, as a job of any process."""
    try:
        log = _group_log(job.group, job.asked)
    except NothingLeft as error:
        return {"sums": None, "ess": [], "positions": [0, 0], "left_out": left_out_record(error.faults, FAULTS)}
    try:
        found = _predicted(log.pool(), job.asked)
    except NothingToPredict:
        found = {"sums": None, "ess": [], "positions": [0, len(log.pool().keys())]}
    return plain(found | {"left_out": left_out_record(log.left_out, FAULTS)})


def _means(
    asked: _Asked, clipped: Record | None, found: Sequence[Record], verdict: Record, unread: Record | None = None
) -> MeanPredictions:
    """Means of the sums of every part of a pool; unread: what reading left out beside."""
    schemes, sums = asked.schemes(), None
    for each in found:
        if each["sums"] is not None:
            part = _Sums(*(np.array(column, dtype=np.float64) for column in each["sums"]))
            sums = part if sums is None else sums.plus(part)
    if sums is None:
        raise NothingToPredict("no position has the candidates that a prediction needs: draw some")
    ess = typical([size for each in found for size in each["ess"]])
    rows = [_borne(row, asked.value, unsupported(ess, row["n"])) for row in _rows(schemes, sums, asked.value)]
    predicted, every = (sum(each["positions"][k] for each in found) for k in (0, 1))
    parts = [each["left_out"] for each in found] + ([unread] if unread else [])
    left = {name: sum(part[name] for part in parts) for name in ("rows", "prompts")}
    left["faults"] = [fault for part in parts for fault in part["faults"]]
    return MeanPredictions(rows, asked.value, predicted, every - predicted, clipped, left, verdict)


def _borne(row: Record, value: str, fault: str) -> Record:
    """The row with `reason`, why nothing is predicted; its numbers None where there is one."""
    silent = {name: None for name in (value, f"{value}_se", "p_accept", "p_accept_se")} if fault else {}
    return row | silent | {"reason": fault}


def _require_column(pool: Pool, value: str) -> None:
    """InputError where the pool has no such value."""
    if not pool.arrays.has(value):
        known = [name for name in PREDICTED if pool.arrays.has(name)]
        raise InputError(f"value {value!r}: the pool has {', '.join(known)} alone")


def predict(
    pool: Pool | LogSource,
    rules: Sequence[str] = RULES,
    betas: Sequence[float] = BETAS,
    ns: Sequence[int] = NS,
    threshold: float | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    value: str = "reward",
    workers: Workers | None = None,
    missing: str | None = None,
) -> MeanPredictions:
    """Mean predicted value and acceptance (M31) of every rule × β × n over the positions of a pool, or of its files.

    betas: per unit of reward; threshold: u in reward units, adds gated schemes, which need base candidates; value: what
    is averaged, of PREDICTED. An n beyond the candidates of a position says nothing there; one beyond those of most is
    clipped. strict: raise for a bad row, a position without candidates or an n beyond the pool. Nothing is predicted
    where the pool's weights do not bear it (`unsupported`). progress(done, total) counts positions, of a long log
    groups of prompts; workers: who does these (`gsi_theory.runs.workers`, default: this process); missing: what is done
    about rewards that are null, of MISSING (default: their prompts are left out, and the answer under each choice is
    told). `record()` is what `gsi predict --json` answers.
    Raises InputError for a file that is no pool, no position to predict at, and as `predict_position`.
    """
    require_name(value, "value", PREDICTED)
    if missing is not None:
        require_name(missing, "--missing", MISSING)
    asked = _Asked(tuple(rules), tuple(betas), tuple(ns), threshold, value, strict, missing)
    means = _predict(pool, asked, progress, workers)
    if missing is None and lacks_rewards(means.left_out):
        under = under_each(lambda choice: _predict(pool, asked._replace(missing=choice), None, workers).rows)
        means = replace(means, absent=under)
    return means


def _predict(
    pool: Pool | LogSource, asked: _Asked, progress: Progress | None, workers: Workers | None
) -> MeanPredictions:
    value, strict = asked.value, asked.strict
    if not isinstance(pool, Pool) and small_file(pool) is not None:
        pool = read_pool(pool, strict, missing=asked.missing)
    if isinstance(pool, Pool):
        _require_column(pool, value)
        asked, clipped = _clipped(pool, asked)
        found, unread, verdict = [_predicted(pool, asked, progress)], None, verdict_line(pool)
    else:
        with LogFiles(pool, strict) as files:
            groups = files.groups()
            first = _group_log(groups[0], asked).pool()
            _require_column(first, value)
            asked, clipped = _clipped(first, asked)
            jobs = [_Job(group, asked) for group in groups]
            found = Journal(None, {}).run(jobs, _of_group, workers or local_pool(1), progress)
            unread = left_out_record(files.left_out, FAULTS)
            verdict = verdict_line(read_pool(pool, strict, GROUP_ROWS, asked.missing))
    return _means(asked, clipped, found, verdict, unread)
