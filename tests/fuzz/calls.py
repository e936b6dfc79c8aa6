"""What is called: one builder a command, and `make_case`, which chooses among them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.figures.sample_artifacts import write_samples
from tests.fuzz.calls_models import check, decode, pool
from tests.fuzz.case import Case, Files, case_of
from tests.fuzz.instances import instance_file
from tests.fuzz.logs import log_file
from tests.fuzz.mutate import bend, bend_bytes, dumps, pick
from tests.fuzz.options import line, output
from tests.fuzz.pools import pool_file, pool_lines

__all__ = ["BUILDERS", "make_case"]

Rng = np.random.Generator

_THRESHOLDS = ("0", "0.5", "0.3", "1", "-1", "1e308", "inf", "-inf")


def law(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi law` on an instance file."""
    options = {
        "--beta": ("1", "0", "5", "20", "0.3", "1e6"), "--n": ("1", "2", "4", "16", "1000", "1000000000"),
        "--threshold": _THRESHOLDS, "--rule": ("softmax", "race", "max", "race", "max", "softmax", "race", "!maxx"),
        "--n-base": ("1", "3", "100"), "--gate": ("tilted_reward", "score", "score", "!none"),
    }  # fmt: skip
    flags = ("--json", "--certify") if rng.random() < 0.4 else ("--json",)
    files: Files = {"in.json": instance_file(rng, bent)}
    place = pick(rng, ("in.json",) * 15 + ("absent.json", ".", "")) if bent else "in.json"
    words = line(rng, odd, options, flags)
    if not odd and {"--gate", "--n-base"} & {word.partition("=")[0] for word in words}:
        words += ["--threshold", pick(rng, _THRESHOLDS), "--rule", "race"]
    return case_of(["law", place, *words], files)


def _pool(rng: Rng, bent: bool) -> tuple[str, Files]:
    name, content = pool_file(rng, bent)
    return pick(rng, (name,) * 15 + ("absent.parquet", ".", "")) if bent else name, {name: content}


def doctor(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi doctor`."""
    place, files = _pool(rng, bent)
    return case_of(["doctor", place, *line(rng, odd, {"--beta": ("1", "5", "!0", "100")}, ("--json",))], files)


def curve(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi curve` on rows of one model, or on a pool."""
    options = {
        "--beta": ("1", "0", "1e6", "!-1"), "--n": ("1", "1,2,4", "64", "!0"), "--tokens": ("10", "!0"),
        "--select": ("best_of_n", "majority,pass_at_k", "weighted_majority", "!best"), "--seed": ("1", "!-1"),
    }  # fmt: skip
    flags = ("--json", "--strict") if bent else ("--json",)
    if rng.random() < 0.4:
        place, files = _pool(rng, bent)
        source = ["--source", pick(rng, ("draft", "base"))] if rng.random() < 0.9 else []
        return case_of(["curve", place, *source, *line(rng, odd, options, flags)], files)
    missing = pick(rng, (("answer",), ("reward",), ("correct",), (), (), ()))
    rows: list[Any] = []
    for prompt in range(int(rng.integers(1, 5))):
        for candidate in range(int(rng.integers(1, 7))):
            row = {"prompt_id": f"p{prompt}", "candidate": candidate, "reward": round(float(rng.random()), 1)}
            row |= {"correct": bool(rng.random() < 0.5), "answer": pick(rng, ("1", "2", "é", None))}
            row |= {"n_tokens": int(rng.integers(9))} if rng.random() < 0.9 else {}
            rows.append({key: value for key, value in row.items() if key not in missing})
    if bent:
        at = int(rng.integers(len(rows)))
        rows[at] = bend(rng, rows[at])
    content = "".join(dumps(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
    if bent and rng.random() < 0.3:
        content = bend_bytes(rng, content)
    against = ["--against", "log.jsonl"] if rng.random() < 0.3 else []
    return case_of(["curve", "log.jsonl", *against, *line(rng, odd, options, flags)], {"log.jsonl": content})


def predict(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi predict`."""
    place, files = _pool(rng, bent)
    options = {
        "--beta": ("1", "1,5", "0", "0,20", "1,1", "1e4"), "--n": ("1", "2", "1,2,4", "1,2,4,8", "2,1"),
        "--rule": ("softmax", "race", "softmax,race", "max", "max,max"), "--threshold": _THRESHOLDS,
    }  # fmt: skip
    flags = ("--json", "--strict") if bent else ("--json",)
    return case_of(["predict", place, *line(rng, odd, options, flags, 0.7)], files)


def plan(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi plan`, on grids small enough to be quick."""
    place, files = _pool(rng, bent)
    options = {
        "--max-cost": ("1e10", "1e12", "1", "inf"), "--min-gain": ("0.1", "0", "!-1", "10"), "--within": ("0.1", "0"),
        "--baseline-n": ("1", "2", "16"), "--max-kl": ("0.5", "3"), "--value": ("reward", "gold_reward", "correct"),
        "--tolerance": ("0.01", "0.2", "!0", "!1"), "--rule": ("softmax", "race", "softmax,race", "race,race"),
        "--threshold": ("0.5", "0.2,0.6", "0.5,0.5"), "--cost": ("flops", "tokens", "!seconds"),
        "--models": ("1e8,1e9,1e9", "1e7,1e9,1e8", "!1e8,1e9", "!nobody"),
        "--device": ("h200", "a100", "!abacus"),
        "--timings": ("1,0.1,0.2\t--device\th200", "!1,0.1"), "--context": ("500\t--device\th200", "!0"),
        "--step-tokens": ("100", "1"),
    }  # fmt: skip
    grid = line(rng, odd, {"--beta": ("1", "1,5", "0.5,2", "5,5"), "--n": ("1", "1,2", "1,2,4", "1,1")}, (), 1.0)
    argv = ["plan", place, *grid, *line(rng, odd, options, ("--json", "--strict") if bent else ("--json",), 0.12)]
    if rng.random() < 0.04:
        page, extra = output(rng, odd, "page")
        return case_of([*argv, "--page", page], files | extra, page)
    return case_of(argv, files)


def import_log(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi import LOG --out OUT`: a pool by maps, or a log of any format."""
    maps = (
        "prompt_id=prompt_id", "step=@0", "candidate=@count", "source=@draft", "logp_draft=logp_base:log10",
        "logp_base=logp_draft:negative", "reward=reward:log2", "!reward=logp_base:prob",
        "!logp_draft=token_logp_draft:sum", "!logp_base=logp_base:mean", "!source=source:draft=base,base=draft",
        "!reward=@NaN", "!step=@1e400", "!reward=@", "!candidate=@[[", "!prompt_id=a.b.c", "!nothing=x", "!reward",
        "!=", "!reward=reward:what", "text=@x", "!step=@-1", "!prompt_id=@line", "!reward=scores.0.-1", "!count=@3",
        "!reward=scores.*:min", "!correct=is_corrects.@i", "!candidate=@null", "!count=@0", "!count=@9e18",
    )  # fmt: skip
    options = {
        "--reward-range": ("0\t1", "-1e308\t1e308", "!1\t0", "!nan\t1", "!-inf\tinf", "!0\tx"),
        "--missing": ("drop-row", "worst", "drop-prompt", "!best"), "--aggregate": ("min", "product", "!mean"),
        "--pick": ("match", "strict-match", "!", "!nobody"), "!--explode": ("samples,is_corrects", "resps", ",", "x.0"),
        "*--fact": ("temperature=0.7", "iid=true", "logprobs=raw", "!iid=maybe", "!x=1", "!engine="),
        "!--counts": ("n,c", "n", ",", "c,n"), "!--from": ("monkeys", "vllm", "inspect", "table", "none"),
    }  # fmt: skip
    usable = {name.removeprefix("!"): values for name, values in options.items() if odd or not name.startswith("!")}
    flags = ("--skip-bad", "--not-iid", "--no-text", "--json")
    out, files = output(rng, odd, pick(rng, ("out.parquet",) * 8 + ("out.jsonl", "out")) if odd else "out.parquet")
    if rng.random() < 0.3:
        name, content, argv = (
            "log.jsonl",
            pool_lines(rng, bent),
            line(rng, odd, {"*--map": maps, **usable}, flags, 0.35),
        )
    else:
        sample, name, content = log_file(rng, bent)
        argv = ["--from", sample.form, *sample.options]
        argv += line(rng, odd, {"*--map": maps, **usable} if odd else {}, flags, 0.15)
    place = pick(rng, (name,) * 10 + ("absent.jsonl", ".")) if bent else name
    return case_of(["import", place, "--out", out, *argv], files | {name: content}, out)


def refute(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi refute`, cut short."""
    claims = ("M7-kl-forward", "M13-cv", "M20-fixed", "M11-chi2", "M16-win")
    claim = pick(rng, (*claims, "M99", "", "m11-chi2") if odd else claims)
    argv = ["refute", *([claim] if rng.random() < 0.9 else []), "--seconds", "0.1"]
    argv += line(rng, odd, {"--seed": ("0", "1", "12345678901234567890")}, ("--json",))
    files: Files = {}
    outputs = []
    for name, file in (("--out", "card.txt"), ("--latex", "card.tex")):
        if rng.random() < 0.3:
            path, extra = output(rng, odd, file)
            argv, files, outputs = [*argv, name, path], files | extra, [*outputs, path]
    if rng.random() < 0.03 and claim:
        argv.append("--mutants")
    return case_of(argv, files, *outputs)


def simulate(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi simulate`: described, measured, or run with few draws."""
    names = ("exact_vs_mc", "exact_vs_mc", "exact_vs_mc", "tournaments", "uniform_race", "nothing")
    name = pick(rng, names) if odd else "exact_vs_mc"
    how = pick(rng, ("--describe", "--dry-run", "run", "run"))
    settings = {
        "exact_vs_mc": ("draws=100", "families=zipf"), "tournaments": ("draws=100",),
        "uniform_race": ("trials=1000", "candidates=8", "largest_n=4", "pools=pool of width 1"),
    }.get(name, ())  # fmt: skip
    argv = ["simulate", *([name] if rng.random() < 0.95 else [])]
    argv += [word for text in settings for word in ("--set", text)]
    if odd and rng.random() < 0.6:
        argv += ["--set", pick(rng, ("draws=0", "draws=1e3", "draws=nan", "draws=" + "9" * 5001, "families=", "x=1",
                                     "=", "families=zipf,zipf", "draws= 100", "draws=１００"))]  # fmt: skip
    out, files = output(rng, odd, "out")
    argv += ["--out", out, "--workers", "1"]
    if how != "run":
        argv.append(how)
    if odd:
        more = {"--seed": ("0", "3"), "--profile": ("quick", "slow"), "--cluster": ("x", "tcp://:1")}
        argv += line(rng, odd, more, (), 0.1)
    return case_of(argv, files, *([out] if how == "run" and argv[1] == name else []))


def audit(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi audit`, refused before it starts: a run takes many seconds."""
    bad = ("instances=1", "instances=nan", "families=nothing", "rewards=1", "claims=M99", "claims=", "workers=2", "x=1",
           "rejudged=-1", "blocks=9" + "9" * 5000, "seed=1")  # fmt: skip
    options = {"--seed": ("0", "5"), "*--set": ("instances=2", "families=few", "claims=M10"), "--workers": ("1", "0")}
    argv = ["audit", *line(rng, odd, options, ("--json", "--quick"))]
    out, files = output(rng, odd, "out")
    return case_of([*argv, "--out", out, "--set", pick(rng, bad)], files, out)


@cache
def _artifacts() -> dict[str, dict[str, Any]]:
    """The sample artifacts of the figures' tests, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(write_samples(Path(folder), {}).glob("*.json"))
        return {file.name: json.loads(file.read_text()) for file in files}


def figures(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi figures` on a folder with one artifact, mostly bent; the others are missing."""
    name = pick(rng, sorted(_artifacts()))
    body: Any = dict(_artifacts()[name])
    part = pick(rng, ("tables", "tables", "summary", "whole")) if bent else "none"
    if part == "whole":
        body = bend(rng, body)
    elif part == "summary":
        body["summary"] = bend(rng, body["summary"])
    elif part == "tables" and body["tables"]:
        table = pick(rng, sorted(body["tables"]))
        body["tables"] = body["tables"] | {table: bend(rng, body["tables"][table])}
    content = dumps(body).encode()
    if bent and rng.random() < 0.2:
        content = bend_bytes(rng, content)
    out, files = output(rng, odd, "out")
    argv = ["figures", "--artifacts", pick(rng, ("art",) * 12 + ("absent",)), "--out", out]
    return case_of(argv, files | {f"art/{name}": content}, out)


def usage(rng: Rng, bent: bool, odd: bool) -> Case:
    """The command's own name wrong or missing, and help."""
    commands = ("law", "doctor", "import", "curve", "predict", "plan", "pool", "decode", "check", "refute", "simulate",
                "audit", "figures", "report", "")  # fmt: skip
    first = pick(rng, ("--help", "-h", "--version", "nothing", "lawx", "", "\udcff", "--nope", "a\nb"))
    if rng.random() < 0.5:
        return case_of([pick(rng, commands[:-2]), pick(rng, ("--help", "--nope", "-h", "--help=1", "--hel"))], {})
    return case_of([first, *(["x"] if rng.random() < 0.3 else [])] if rng.random() < 0.95 else [], {})


# How many calls of a hundred.
BUILDERS: dict[Callable[[Rng, bool, bool], Case], float] = {
    law: 24, doctor: 12, curve: 8, predict: 14, plan: 9, import_log: 15, decode: 7, pool: 4, check: 2.5, refute: 2.5,
    simulate: 3, audit: 1.5, figures: 1.5, usage: 3,
}  # fmt: skip


def make_case(seed: int, call: int) -> Case:
    """The case of a call, the same for the same two integers: of seven calls two have bent input, two odd options, two
    neither, one both."""
    rng = np.random.default_rng([seed, call])
    weights = np.array(list(BUILDERS.values()))
    build = list(BUILDERS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    bent, odd = pick(rng, (*((True, False), (False, True), (False, False)) * 2, (True, True)))
    return build(rng, bent, odd)
