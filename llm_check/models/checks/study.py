"""What draft-guided sampling earns on a pair of language models: artifact `lm_study`.

Drafts from weak to strong × step lengths × methods × β × n. For every draft a pool is collected at the problems of the
task (`NAME.parquet` in the artifact's folder `lm_study`, ordinary pools for `gsi doctor` and `gsi plan`; a run that is
interrupted goes on with them). One part of it predicts, the other is fresh draws on which every method is played
(`study_cells`). A shorter step is the first tokens of the whole one (M44), judged by the reward model as it is.

    lengths     effective drafts, k̂, KL at every length
    supports    may the weights be used at each β and n (`doctor`'s)
    cells       reward, accuracy and acceptance of every method, predicted and measured, standard errors over problems
    scores      of single problems: their variance is 1 where errors are right
    gains       of GSI over its rivals at equal n, paired over problems
    overuse     accuracy and reward of best-of-n on the base by the reward model, n far beyond what is decoded
    seconds     of drawing, scoring and judging n, by source
    equal_cost  the best scheme of every method within the seconds of soft best-of-n on the base at each n: chosen by
                predicted reward, judged by fresh draws; as measured, and as if drafting cost nothing
    plans       what `plan` recommends from the first half of the problems, played on the second

Times are not reproducible; all else depends on seed and settings alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.estimate import subset_mean
from gsi_theory.methods import METHODS
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Floats, Json, Record
from llm_check.logs.planner.recommendation import plan
from llm_check.logs.pools.pool import Pool, pool_from_columns, read_pool
from llm_check.logs.pools.prefixes import length_rows, pool_at_length
from llm_check.logs.pools.supports import support_cells
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.significance import calibration, holm
from llm_check.models.checks.study_cells import Results, StudyProblem, problems_of, results, studied_schemes
from llm_check.models.collecting.collect import step_rewards
from llm_check.models.collecting.collected_task import collect_world
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import draw_purpose
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.world import World

__all__ = ["DEFAULTS", "run"]

DEFAULTS = CHECKS["lm_study"].defaults
LEVEL = 0.01
NAMES = {
    "soft_bon_draft": "above_soft_best_of_n_on_the_draft",
    "rsd": "above_rsd",
    "base": "above_base",
    "soft_bon_base": "above_soft_best_of_n_on_the_base",
}
OWN = "."  # as a draft: the one that --draft names
RIVALS = ("soft_bon_draft", "rsd", "base", "soft_bon_base")
TOGETHER = 4  # problems in one part of a pool
TIMED = 4  # problems whose steps are timed, after one that warms up
Progress = Callable[[int, int], None]
Table = dict[str, list[Json]]


def _columns(rows: Iterable[Mapping[str, Json]]) -> Table:
    """Rows with equal keys as columns."""
    listed = list(rows)
    return {key: [row[key] for row in listed] for key in (listed[0] if listed else ())}


def _rescored(world: World, pool: Pool, tokens: int) -> Pool:
    """The pool of the first `tokens` tokens, judged by the reward model; what is true of the whole is left out."""
    prefix = pool_at_length(pool, tokens)
    places = {prompt.prompt_id: Position(prompt) for prompt in world.prompts()}
    table = prefix.table
    names, steps = table["prompt_id"].to_pylist(), table["token_ids"].to_pylist()
    reward = world.reward_model.score([places[name] for name in names], steps)
    kept = [name for name in table.column_names if name not in ("correct", "gold_reward", "text")]
    columns = {name: table[name].combine_chunks() for name in kept} | {"reward": np.asarray(reward)}
    return replace(pool_from_columns(columns), metadata=prefix.metadata)


def _names(specs: Sequence[str], own: str) -> list[str]:
    """A short name of every draft, for tables and files. InputError for two alike."""
    names = [(own if spec == OWN else spec).rpartition(":")[2].rstrip("/").rpartition("/")[2] for spec in specs]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InputError(f"drafts {', '.join(specs)}: two of them are called {name}; leave one out, or rename it")
    return names


def run(world: World, seed: int, out: Path, settings: dict[str, str], progress: Progress, command: str) -> Path:
    """Write the artifact; settings drafts (models of the base's vocabulary), lengths (tokens of shorter steps),
    betas, ns, threshold, problems, candidates (of each source that predict), fresh (of each source that are played on).

    Raises InputError, before anything is drawn, for fewer candidates of either kind than the largest n, fewer than 4
    problems, β = 0, steps that are no whole answers, and problems without an answer to grade by.
    """
    chosen = read_settings(settings, DEFAULTS)
    most, total = max(chosen["ns"]), chosen["candidates"] + chosen["fresh"]
    problems = world.task.problems[: chosen["problems"]]
    if chosen["fresh"] < most or chosen["candidates"] < most or len(problems) < 4:
        raise InputError(
            f"candidates = {chosen['candidates']}, fresh = {chosen['fresh']}, problems = {len(problems)}: give at "
            f"least {most} of either for n = {most}, and 4 problems"
        )
    if min(chosen["betas"]) <= 0.0:
        raise InputError("betas = 0: the gate compares r + ℓ/β; give β above 0")
    if world.max_steps != 1:
        raise InputError(f"--step {world.step}: the study grades every step as an answer; give --step answer")
    if ungraded := next((p.problem_id for p in problems if not str(p.answer)), None):
        raise InputError(f"problem {ungraded} has no answer to grade by: give a task whose problems have one")
    world = replace(world, task=replace(world.task, problems=problems))
    names = _names(chosen["drafts"], world.draft.contract.model)
    shares = len(names)
    names_of = ("lengths", "supports", "cells", "scores", "gains", "plans")
    tables: dict[str, list[Record]] = {name: [] for name in names_of}
    seconds: list[Record] = []
    bases: list[StudyProblem] = []
    for at, spec in enumerate(chosen["drafts"]):
        name = names[at]
        pair = (
            world
            if spec in (OWN, world.draft.contract.model)
            else replace(world, draft=load_engine(spec, dtype=world.base.contract.dtype))
        )
        file = out.parent / out.stem / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)

        def told(done: int, of: int, at: int = at) -> None:
            progress(at * 1000 + done * 900 // of, shares * 1000)

        models = {
            "draft": world.draft.contract.model if spec == OWN else spec,
            "base": world.base.contract.model,
            "prm": None,
        }
        collect_world(pair, file, models, (total, total), seed=seed + at, batch=TOGETHER, progress=told)
        if not seconds:
            seconds = _seconds(pair, sorted({1, *chosen["ns"]}), seed)
        pool = read_pool(file)
        tables["lengths"] += [{"pool": name} | row for row in length_rows(pool, chosen["betas"])]
        for tokens in (None, *chosen["lengths"]):
            part = pool if tokens is None else _rescored(pair, pool, tokens)
            found = _length(part, name, tokens, chosen, seed + at)
            for table, rows in found.items():
                tables[table] += rows
        bases += problems_of(pool, ["correct"])
        tables["plans"] += _planned(pool, name, chosen, seed + at)
        progress((at + 1) * 1000, shares * 1000)
        del pair  # its weights go before the next draft's come
    cost = _equal_cost(tables["cells"], seconds)
    overuse = _overuse(bases)
    kept = {table: _columns(rows) for table, rows in tables.items()}
    kept |= {"seconds": _columns(seconds), "equal_cost": _columns(cost), "overuse": _columns(overuse)}
    summary = _summary(tables, overuse, chosen | {"problems": len(problems)}, world)
    return write_artifact(out, "lm_study", provenance(command, seed), summary, kept)


def _length(pool: Pool, draft: str, tokens: int | None, chosen: Record, seed: int) -> dict[str, list[Record]]:
    """Rows of supports, cells and scores of one draft at one step length (None: whole answers)."""
    names = ["reward"] + (["correct"] if "correct" in pool.table.column_names else [])
    problems = problems_of(pool, names)
    played = studied_schemes(chosen["ns"], chosen["betas"], chosen["threshold"])
    first = _predicting(pool, chosen["candidates"])
    supports = {(c.beta, c.n): c for c in support_cells(first, chosen["betas"], chosen["ns"])}
    borne = {key for key, cell in supports.items() if not cell.fault}
    found = results(problems, played, chosen["candidates"], seed)
    where: Record = {"draft": draft, "tokens": tokens}
    usable = [
        # beyond half of the candidates errors are upper bounds (M31), of which no score has variance one
        (scheme.n == 1 or 2 * max(scheme.n, scheme.base_draws) <= chosen["candidates"])
        and (method.weight != "ratio" or (scheme.beta, scheme.n) in borne)
        for method, scheme in found.played
    ]
    at = {(method.id, scheme.beta, scheme.n): fine for (method, scheme), fine in zip(found.played, usable, strict=True)}
    rows = []
    for row in found.rows(names):
        beta = row["beta"] if row["beta"] is not None else chosen["betas"][0]
        rows.append(where | row | {"usable": at[row["method"], beta, row["n"]]})
    return {
        "supports": [
            where | {"beta": c.beta, "n": c.n, "usable": not c.fault, "reason": c.fault} for c in supports.values()
        ],
        "cells": rows,
        "scores": _scores(found, problems, names, where, usable),
        "gains": _gains(found, names, where, max(chosen["ns"])) if "correct" in names else [],
    }


def _gains(found: Results, names: Sequence[str], where: Record, n: int) -> list[Record]:
    """GSI less each rival in accuracy and reward, as measured, paired over problems; each at the β of its largest
    predicted reward."""
    chosen: dict[str, tuple[float, int]] = {}
    for c, (method, scheme) in enumerate(found.played):
        value = float(found.predicted[:, c, 0].mean())
        if scheme.n == n and value > chosen.get(method.id, (-np.inf, 0))[0]:
            chosen[method.id] = (value, c)
    alone = {method.id: c for c, (method, scheme) in enumerate(found.played) if method.n == 1}
    rows = []
    for rival in RIVALS:
        other = alone[rival] if rival in alone else chosen[rival][1]
        gap = found.measured[:, chosen["gsi"][1]] - found.measured[:, other]
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
        for v, name in enumerate(names):
            gain = {
                "rival": rival,
                "n": n,
                "quantity": name,
                "gain": float(gap[:, v].mean()),
                "gain_se": float(error[v]),
            }
            rows.append(where | gain)
    return rows


def _predicting(pool: Pool, candidates: int) -> Pool:
    """The first candidates of each source: what predicts."""
    table = pool.table
    kept = table.filter(np.asarray(table["candidate"]) < candidates)
    return replace(pool_from_columns({n: kept[n].combine_chunks() for n in kept.column_names}), metadata=pool.metadata)


def _scores(
    found: Results, problems: Sequence[StudyProblem], names: Sequence[str], where: Record, usable: Sequence[bool]
) -> list[Record]:
    """Scores of single problems, of every cell that has one."""
    rows = []
    for v, name in enumerate(names):
        z = found.z(v)
        for p, c in np.argwhere(np.isfinite(z)).tolist():
            method, scheme = found.played[c]
            rows.append(
                where
                | {"problem": problems[p].name, "method": method.id, "beta": scheme.beta, "n": scheme.n}
                | {"quantity": name, "z": float(z[p, c]), "usable": usable[c]}
            )
    return rows


def _seconds(world: World, ns: Sequence[int], seed: int) -> list[Record]:
    """Median seconds of drawing n, of scoring them by the other model and of judging them, one problem at a time."""
    rows = []
    places = [Position(prompt) for prompt in world.prompts()[: TIMED + 1]]
    for source, other in (("draft", "base"), ("base", "draft")):
        for n in ns:
            times = []
            for place in places:
                caches = [world.models.engine(name).prefill([place.prefix]) for name in (source, other)]
                world.reward_model.forget()
                clock = [time.perf_counter()]
                stream = [place.stream(seed + 1, draw_purpose(source))]
                steps = world.models.engine(source).sample(caches[0], n, stream, world.rule)
                clock.append(time.perf_counter())
                world.models.engine(other).score(caches[1], steps.tokens)
                clock.append(time.perf_counter())
                step_rewards(world.reward_model, [place], steps.tokens)
                times.append(np.diff([*clock, time.perf_counter()]))
            drawing, scoring, judging = np.median(times[1:], axis=0).tolist()
            rows.append(
                {"source": source, "n": n, "times": len(times) - 1}
                | {"drawing": drawing, "scoring": scoring, "judging": judging}
            )
    return rows


def _planned(pool: Pool, draft: str, chosen: Record, seed: int) -> list[Record]:
    """What `plan` recommends from the problems of even number, played on all candidates of the others."""
    names = list(dict.fromkeys(pool.table["prompt_id"].to_pylist()))
    table = pool.table
    even = table.filter(np.isin(np.asarray(table["prompt_id"]), names[::2]))
    first = replace(pool_from_columns({n: even[n].combine_chunks() for n in even.column_names}), metadata=pool.metadata)
    made = plan(first, betas=chosen["betas"], ns=chosen["ns"], seed=seed).record()
    advice = made["recommendation"]
    row: Record = {"draft": draft, "reason": made["reason"]}
    shown = ("method", "n", "n_base", "beta", "threshold", "value", "value_se", "low", "high", "cost")
    row |= {key: None if advice is None else advice[key] for key in shown}
    if advice is None:
        return [row | {"played": None, "played_se": None, "played_accuracy": None}]
    method = METHODS[advice["method"]]
    scheme = method.scheme(advice["beta"] or 0.0, advice["n"], advice["threshold"], advice["n_base"])
    others = [problem for problem in problems_of(pool, ["reward", "correct"]) if problem.name not in set(names[::2])]
    found = results(others, [(method, scheme)], chosen["candidates"], seed)
    value = found.measured[:, 0]
    error = value.std(axis=0, ddof=1) / np.sqrt(len(value))
    return [
        row
        | {"played": float(value[:, 0].mean()), "played_se": float(error[0])}
        | {"played_accuracy": float(value[:, 1].mean())}
    ]


def _overuse(bases: Sequence[StudyProblem]) -> list[Record]:
    """Best-of-n on the base by the reward model: reward and accuracy at every n (M31), over problems.

    The base's draws at a problem, beside every draft, are one pool.
    """
    pools: dict[str, tuple[list[Floats], list[Floats]]] = {}
    for problem in bases:
        reward, correct = pools.setdefault(problem.name, ([], []))
        reward.append(problem.base.reward)
        correct.append(problem.values[1][0])
    size = min(sum(r.size for r in rewards) for rewards, _ in pools.values())
    ns = [1 << k for k in range(size.bit_length())]
    curves = []
    for rewards, corrects in pools.values():
        paid, right = np.concatenate(rewards)[:size], np.concatenate(corrects)[:size]
        curves.append(subset_mean(np.stack([paid, right]), paid, ns, "max").value)
    means = np.array(curves)
    errors = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    # against the n of largest accuracy: paired over problems
    best = int(means[:, 1].mean(axis=0).argmax())
    gap = means[:, 1] - means[:, 1, best : best + 1]
    return [
        {"n": n, "reward": float(means[:, 0, k].mean()), "reward_se": float(errors[0, k])}
        | {"accuracy": float(means[:, 1, k].mean()), "accuracy_se": float(errors[1, k])}
        | {"from_best": float(gap[:, k].mean()), "from_best_se": float(gap[:, k].std(ddof=1) / np.sqrt(len(gap)))}
        for k, n in enumerate(ns)
    ]


def _equal_cost(cells: Sequence[Record], seconds: Sequence[Record]) -> list[Record]:
    """For every draft, method and budget the scheme of largest predicted reward within it; whole answers."""
    time_of = {(row["source"], row["n"]): row for row in seconds}
    grouped: dict[tuple[Json, ...], dict[str, Record]] = {}
    for row in cells:
        if row["tokens"] is None:
            key = (row["draft"], row["method"], row["beta"], row["n"], row["threshold"])
            grouped.setdefault(key, {})[row["quantity"]] = row
    out = []
    for free in (False, True):
        for draft in dict.fromkeys(key[0] for key in grouped):
            for n_budget in sorted({row["n"] for row in seconds}):
                budget = time_of["base", n_budget]["drawing"] + time_of["base", n_budget]["judging"]
                best: dict[str, Record] = {}
                for (of, method, beta, n, threshold), found in grouped.items():
                    if of != draft:
                        continue
                    cost = _cost(method, n, found, time_of, free)
                    if cost > budget * (1.0 + 1e-9):
                        continue
                    if method not in best or found["reward"]["predicted"] > best[method]["predicted"]:
                        best[method] = {"n": n, "beta": beta, "threshold": threshold, "seconds": cost} | {
                            key: found["reward"][key] for key in ("predicted", "measured", "measured_se")
                        }
                        if "correct" in found:
                            best[method] |= {
                                "accuracy": found["correct"]["measured"],
                                "accuracy_se": found["correct"]["measured_se"],
                            }
                out += [
                    {"drafting_free": free, "draft": draft, "budget_n": n_budget, "budget": budget, "method": method}
                    | {"accuracy": None, "accuracy_se": None}
                    | row
                    for method, row in best.items()
                ]
    return out


def _cost(
    method: str, n: int, found: Mapping[str, Record], time_of: Mapping[tuple[str, int], Record], free: bool
) -> float:
    """Seconds of a step: n drawn, scored where the method reads their ratio, judged where it reads their reward; when
    refused n from the base, judged where they are selected. free: drafting costs nothing."""
    record = METHODS[method]
    source = "base" if record.proposal == "base" else "draft"
    times, falling = time_of[source, n], time_of["base", record.n_base or n]
    reads = record.reads(record.scheme(1.0, n, 0.0))
    seconds = 0.0 if free and source == "draft" else times["drawing"]
    seconds += times["scoring"] * reads.ratio + times["judging"] * reads.reward
    refused = 1.0 - found["p_accept"]["measured"] if "p_accept" in found else 0.0
    return float(seconds + refused * (falling["drawing"] + falling["judging"] * (record.fallback == "select")))


def _summary(tables: Mapping[str, list[Record]], overuse: Sequence[Record], chosen: Record, world: World) -> Record:
    scores = [row for row in tables["scores"] if row["usable"]]
    names = {name: i for i, name in enumerate(dict.fromkeys(row["problem"] for row in scores))}
    z = np.array([row["z"] for row in scores])
    judged = [row for row in tables["cells"] if row["usable"]]
    p = holm(np.array([row["p_value"] for row in judged]))
    found = calibration(z, np.array([names[row["problem"]] for row in scores]))
    peak = max(overuse, key=lambda row: row["accuracy"])
    counts = {key: chosen[key] for key in ("problems", "candidates", "fresh")}
    return {
        "models": world.names,
        **counts,
        "threshold": chosen["threshold"],
        "drafts": list(dict.fromkeys(row["draft"] for row in tables["cells"])),
        "ns": list(chosen["ns"]),
        "betas": list(chosen["betas"]),
        "z_variance": found.variance,
        "z_variance_se": found.variance_se,
        "z_cells": found.cells,
        "comparisons": len(judged),
        "worst_p_holm": float(p.min()),
        "nominal_alarms": float(np.mean([row["p_value"] <= 0.05 for row in judged])),
        "level": LEVEL,
        "passed": bool(p.min() > LEVEL),
        "findings": _findings(tables, overuse, peak) | {"drawn": {"holds": True} | counts},
    }


def _findings(tables: Mapping[str, list[Record]], overuse: Sequence[Record], peak: Record) -> Record:
    """The sentences of the captions: each with whether it holds, beyond two standard errors of paired differences."""
    found: Record = {}
    for rival in RIVALS:
        rows = [r for r in tables["gains"] if (r["rival"], r["quantity"], r["tokens"]) == (rival, "correct", None)]
        clear = [r["draft"] for r in rows if r["gain"] > 2.0 * r["gain_se"]]
        found[NAMES[rival]] = {
            "holds": bool(rows) and len(clear) == len(rows),
            "gains": {r["draft"]: r["gain"] for r in rows},
            "errors": {r["draft"]: r["gain_se"] for r in rows},
            "exceptions": [r["draft"] for r in rows if r["draft"] not in clear],
            "n": rows[0]["n"] if rows else None,
        }
    last = overuse[-1]
    found["overused"] = {
        "holds": bool(last["from_best"] < -2.0 * last["from_best_se"]),
        "peak_n": peak["n"],
        "peak": peak["accuracy"],
        "last_n": last["n"],
        "last": last["accuracy"],
        "fall": -last["from_best"],
        "fall_se": last["from_best_se"],
    }
    return found
