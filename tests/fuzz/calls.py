"""What is called: one builder a command, and `make_case`, which chooses among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.fuzz.case import Case
from tests.fuzz.checkpoints import checkpoint_files
from tests.fuzz.instances import instance_file
from tests.fuzz.mutate import bend, bend_bytes, dumps, pick, says_nan
from tests.fuzz.options import line, output
from tests.fuzz.pools import pool_file, pool_lines
from tests.fuzz.tasks import task_file

__all__ = ["BUILDERS", "make_case"]

Rng = np.random.Generator
Files = dict[str, bytes | str]

_THRESHOLDS = ("0", "0.5", "0.3", "1", "-1", "1e308", "inf", "-inf")


def _nan(argv: list[str], files: Files) -> bool:
    texts = [content for content in files.values() if isinstance(content, bytes)]
    return any(map(says_nan, texts)) or any("nan" in word.lower() for word in argv)


def _case(argv: list[str], files: Files, *outputs: str) -> Case:
    return Case(tuple(argv), files, outputs, _nan(argv, files))


def law(rng: Rng) -> Case:
    """`gsi law` on an instance file."""
    options = {
        "--beta": ("1", "0", "5", "20", "0.3", "1e6"), "--n": ("1", "2", "4", "16", "1000", "1000000000"),
        "--threshold": _THRESHOLDS, "--rule": ("softmax", "race", "max", "race", "max", "softmax", "race", "maxx"),
        "--n-base": ("1", "3", "100"), "--gate": ("tilted_reward", "score", "score", "none"),
    }  # fmt: skip
    flags = ("--json", "--certify") if rng.random() < 0.4 else ("--json",)
    files: Files = {"in.json": instance_file(rng)}
    place = pick(rng, ("in.json",) * 30 + ("absent.json", ".", ""))
    return _case(["law", place, *line(rng, options, flags, wild=0.12)], files)


def _pool(rng: Rng) -> tuple[str, Files]:
    name, content = pool_file(rng)
    return pick(rng, (name,) * 30 + ("absent.parquet", ".", "")), {name: content}


def doctor(rng: Rng) -> Case:
    """`gsi doctor`."""
    place, files = _pool(rng)
    return _case(["doctor", place, *line(rng, {"--beta": ("1", "5", "0", "100")}, ("--json", "--strict"))], files)


def predict(rng: Rng) -> Case:
    """`gsi predict`."""
    place, files = _pool(rng)
    options = {
        "--beta": ("1", "1,5", "0", "0,20", "1,1", "1e4"), "--n": ("1", "2", "1,2,4", "1,2,4,8", "2,1"),
        "--rule": ("softmax", "race", "softmax,race", "max", "max,max"), "--threshold": _THRESHOLDS,
    }  # fmt: skip
    return _case(["predict", place, *line(rng, options, ("--json", "--strict"), 0.7)], files)


def plan(rng: Rng) -> Case:
    """`gsi plan`, on grids small enough to be quick."""
    place, files = _pool(rng)
    options = {
        "--max-cost": ("1e10", "1e12", "1", "inf"), "--min-gain": ("0.1", "0", "-1", "10"), "--within": ("0.1", "0"),
        "--baseline-n": ("1", "2", "16"), "--max-kl": ("0.5", "3"), "--value": ("reward", "gold_reward", "correct"),
        "--tolerance": ("0.01", "0", "1"), "--rule": ("softmax", "race", "softmax,race", "race,race"),
        "--threshold": ("0.5", "0.2,0.6", "0.5,0.5"), "--cost": ("flops", "tokens", "seconds"),
        "--models": ("1e8,1e9,1e9", "1e7,1e9,1e8", "1e8,1e9", "nobody"), "--device": ("h200", "a100", "abacus"),
        "--timings": ("1,0.1,0.2\t--device\th200", "1,0.1"), "--context": ("500", "0"), "--step-tokens": ("100", "1"),
    }  # fmt: skip
    grid = line(rng, {"--beta": ("1", "1,5", "0.5,2", "5,5"), "--n": ("1", "1,2", "1,2", "1,2,4", "1,1")}, (), 1.0, 0.12)
    argv = ["plan", place, *grid, *line(rng, options, ("--json", "--strict"), 0.12)]
    if rng.random() < 0.04:
        page, extra = output(rng, "page")
        return _case([*argv, "--page", page], files | extra, page)
    return _case(argv, files)


def pool_import(rng: Rng) -> Case:
    """`gsi pool OUT --import LOG`."""
    log = pool_lines(rng)
    maps = (
        "prompt_id=prompt_id", "step=@0", "candidate=@count", "source=@draft", "logp_draft=logp_base:log10",
        "logp_base=logp_draft:negative", "reward=reward:log2", "reward=logp_base:prob", "logp_draft=token_logp_draft:sum",
        "logp_base=logp_base:mean", "source=source:draft=base,base=draft", "reward=@NaN", "step=@1e400", "reward=@",
        "candidate=@[[", "prompt_id=a.b.c", "nothing=x", "reward", "=", "reward=reward:what", "text=@x", "step=@-1",
    )  # fmt: skip
    ranges = ("0\t1", "-1e308\t1e308", "1\t0", "nan\t1", "-inf\tinf", "0\tx")
    out, files = output(rng, pick(rng, ("out.parquet",) * 8 + ("out.jsonl", "out")))
    argv = ["pool", out, "--import", pick(rng, ("log.jsonl",) * 20 + ("absent.jsonl", "."))]
    argv += line(rng, {"*--map": maps, "--reward-range": ranges}, (), 0.35, 0.1)
    return _case(argv, files | {"log.jsonl": log}, out)


_MODELS = {
    "--n": ("1", "2", "3"), "--beta": ("1", "20", "0", "1e4"), "--threshold": ("0.5", "0", "inf", "-inf", "1e308"),
    "--step": ("answer", "tokens:2", "delimiter:\\n\\n", "tokens:0", "tokens:x", "words"),
    "--max-tokens": ("4", "2", "1", "20", "64"), "--template": ("bare", "plain", "chat", "chat-user", "fancy"),
    "--device": ("cpu", "cuda:99", "abacus"), "--dtype": ("float32", "float64", "bfloat16", "float16", "int8", "foo"),
    "--seed": ("0", "7", "99999999999"), "--batch": ("1", "2"),
}  # fmt: skip
_METHODS = ("gsi", "gsi_race", "draft", "base", "rsd", "specs", "pooled", "expgsi", "soft_bon_draft", "drafters", "magic")
_JUDGES = {
    "lists": b"def judge(questions, solutions):\n    return [0.5] * len(questions)\n",
    "nan": b"def judge(questions, solutions):\n    return [float('nan')] * len(questions)\n",
    "short": b"def judge(questions, solutions):\n    return [0.5]\n",
    "float": b"def judge(questions, solutions):\n    return 0.5\n",
    "raises": b"def judge(questions, solutions):\n    raise RuntimeError('no judge\\ntoday')\n",
    "texts": b"def judge(questions, solutions):\n    return ['a'] * len(questions)\n",
    "none": b"def judge(questions, solutions):\n    return None\n",
    "exits": b"import sys\ndef judge(questions, solutions):\n    sys.exit(7)\n",
    "syntax": b"def judge(questions, solutions:\n",
    "imports": b"import no_such_module_at_all\n",
    "arguments": b"def judge():\n    return []\n",
    "huge": b"def judge(questions, solutions):\n    return [1e308] * len(questions)\n",
}  # fmt: skip


def _models(rng: Rng) -> tuple[list[str], Files]:
    """Options that name models, reward and task, and their files."""
    words: list[str] = []
    files: Files = {}
    kind = rng.integers(8)
    if kind <= 2:
        role = pick(rng, ("draft", "draft", "base", "prm"))
        files |= {f"model/{name}": content for name, content in checkpoint_files(rng, role).items()}
        words += ["--" + {"prm": "reward"}.get(role, role), pick(rng, ("model", "model", "model", "./model/"))]
    elif kind <= 4:
        task, content = task_file(rng)
        files["task.jsonl"] = content
        words += ["--task", f"{task}:task.jsonl", "--template", "bare", "--step", "answer", "--max-tokens", "20"]
    elif kind == 5:
        files["judge.py"] = pick(rng, list(_JUDGES.values()))
        end = pick(rng, ("", "?low=0&high=1", "?low=1&high=0", "?low=x", "?low=nan", "?nothing=1", "?low=0&low=0"))
        words += ["--reward", pick(rng, ("python:judge.py:judge",) * 6 + ("python:judge.py:none", "python:")) + end]
    elif kind == 6:
        name = pick(rng, ("--draft", "--base", "--reward", "--task"))
        specs = ("absent", "", "vllm:absent", "gpt:x", "http://127.0.0.1:9", "http://", "transformers:absent?x=1", "jsonl:",
                 "arithmetic:train", "arithmetic:x", "verifiable", "verifiable:x", "python:os:getcwd", ".", "qwen_prm:.",
                 "skywork_prm:absent?step_token=x", "a\udcff", "gsm8k:absent.jsonl", "jsonl:.")  # fmt: skip
        words += [name, pick(rng, specs)]
    return words, files


def _but(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in _MODELS.items() if name not in names}


def decode(rng: Rng) -> Case:
    """`gsi decode` on the embedded pair, or a bent checkpoint, task or reward."""
    words, files = _models(rng)
    options = _MODELS | {
        "*--method": _METHODS, "--n-base": ("1", "2"), "*--drafter": ("absent",), "*--drafter-n": ("1", "0"),
    }  # fmt: skip
    argv = ["decode", "--problems", "1", *words, *line(rng, options, ("--json",), 0.12, 0.25)]
    if rng.random() < 0.3:
        out, extra = output(rng, "out.json")
        return _case([*argv, "--out", out], files | extra, out)
    return _case(argv, files)


def pool(rng: Rng) -> Case:
    """`gsi pool`, collecting."""
    words, files = _models(rng)
    options = _MODELS | {
        "--steps": ("1", "2"), "--path": ("reference", "base", "draft", "gsi", "magic"), "--base-candidates": ("1", "5"),
    }  # fmt: skip
    out, extra = output(rng, "out.parquet")
    argv = ["pool", out, "--problems", "1", "--candidates", pick(rng, ("1", "6", "6", "0"))]
    return _case([*argv, *words, *line(rng, options, ("--no-text",), 0.12, 0.25)], files | extra, out)


_CHECKS = {
    "lm_law": ("draws=100", "problems=1", "n=2", "beta=1e308", "threshold=nan", "n=0", "draws=x", "tolerance=-1"),
    "lm_headline": ("problems=1", "beta=0", "epsilon=0", "tolerance=nan", "beta=1e308"),
    "lm_accuracy": ("problems=1", "ns=1,2", "ns=", "ns=0", "beta=-1", "threshold=inf"),
    "lm_speed": ("problems=1", "n=2", "more=2", "repeats=1", "repeats=0", "threads=1", "threads=0"),
    "lm_noise": ("problems=1", "runs=2", "betas=1", "ns=2", "betas=nan", "runs=0"),
    "lm_prediction": ("problems=2", "candidates=16", "runs=2", "ns=1,2", "exact=0", "rules=max", "betas=1e308"),
}  # fmt: skip


def check(rng: Rng) -> Case:
    """`gsi check` with settings that make it short."""
    name = pick(rng, list(_CHECKS))
    quick = [text for text in _CHECKS[name] if text in (
        "draws=100", "problems=1", "ns=1,2", "more=2", "repeats=1", "runs=2", "problems=2", "candidates=16", "exact=0",
    )]  # fmt: skip
    words, files = _models(rng) if rng.random() < 0.5 else ([], {})
    out, extra = output(rng, "out")
    settings = [*quick, *([pick(rng, _CHECKS[name])] if rng.random() < 0.5 else [])]
    if rng.random() < 0.1:
        settings.append(pick(rng, ("nothing=1", "=", "x", "n=1=2", "n=\udcff")))
    argv = ["check", pick(rng, (name,) * 12 + ("lm_nothing",)), "--out", out]
    argv += [word for text in settings for word in ("--set", text)]
    options = _but("--n", "--beta", "--threshold", "--batch") | {
        "--reference-dtype": ("float32", "foo"), "--reference-draft": ("absent",),
    }  # fmt: skip
    return _case([*argv, *words, *line(rng, options, (), 0.06, 0.2)], files | extra, out)


def refute(rng: Rng) -> Case:
    """`gsi refute`, cut short."""
    claim = pick(rng, ("M7-kl-forward", "M13-cv", "M20-fixed", "M11-chi2", "M16-win", "M99", "", "m11-chi2"))
    argv = ["refute", *([claim] if rng.random() < 0.9 else []), "--seconds", "0.1"]
    argv += line(rng, {"--seed": ("0", "1", "12345678901234567890")}, ("--json",), 0.3, 0.3)
    files: Files = {}
    outputs = []
    for name, file in (("--out", "card.txt"), ("--latex", "card.tex")):
        if rng.random() < 0.3:
            path, extra = output(rng, file)
            argv, files, outputs = [*argv, name, path], files | extra, [*outputs, path]
    if rng.random() < 0.03 and claim:
        argv.append("--mutants")
    return _case(argv, files, *outputs)


def simulate(rng: Rng) -> Case:
    """`gsi simulate`: described, measured, or run with few draws."""
    name = pick(rng, ("exact_vs_mc", "exact_vs_mc", "exact_vs_mc", "tournaments", "uniform_race", "nothing"))
    how = pick(rng, ("--describe", "--dry-run", "run", "run"))
    settings = {
        "exact_vs_mc": ("draws=100", "families=zipf"), "tournaments": ("draws=100",),
        "uniform_race": ("trials=1000", "candidates=8", "largest_n=4", "pools=pool of width 1"),
    }.get(name, ())  # fmt: skip
    argv = ["simulate", *([name] if rng.random() < 0.95 else [])]
    argv += [word for text in settings for word in ("--set", text)]
    if rng.random() < 0.4:
        argv += ["--set", pick(rng, ("draws=0", "draws=1e3", "draws=nan", "draws=" + "9" * 5001, "families=", "x=1", "=",
                                     "families=zipf,zipf", "draws= 100", "draws=１００", "candidates=-1"))]  # fmt: skip
    out, files = output(rng, "out")
    argv += ["--out", out, "--workers", "1"]
    if how != "run":
        argv.append(how)
    argv += line(rng, {"--seed": ("0", "3"), "--profile": ("quick", "slow"), "--cluster": ("x", "tcp://:1")}, (), 0.08)
    return _case(argv, files, *([out] if how == "run" and argv[1] == name else []))


def audit(rng: Rng) -> Case:
    """`gsi audit`, refused before it starts: a run takes many seconds."""
    bad = ("instances=1", "instances=nan", "families=nothing", "rewards=1", "claims=M99", "claims=", "workers=2", "x=1",
           "rejudged=-1", "blocks=9" + "9" * 5000, "seed=1")  # fmt: skip
    options = {"--seed": ("0", "5"), "*--set": ("instances=2", "families=few", "claims=M10"), "--workers": ("1", "0")}
    argv = ["audit", "--set", pick(rng, bad), *line(rng, options, ("--json", "--quick"), 0.3, 0.1)]
    out, files = output(rng, "out")
    return _case([*argv, "--out", out], files, out)


def figures(rng: Rng) -> Case:
    """`gsi figures` on a folder with one artifact, whole or bent; the others are missing."""
    body = {
        "format": pick(rng, (1, 1, 2, 3)), "name": "bounds_vs_n", "provenance": {"command": "x", "seed": 0},
        "summary": {}, "tables": {"curves": {"n": [1, 2]}},
    }  # fmt: skip
    content = dumps(bend(rng, body) if rng.random() < 0.7 else body).encode()
    if rng.random() < 0.3:
        content = bend_bytes(rng, content)
    out, files = output(rng, "out")
    name = pick(rng, ("bounds_vs_n", "exact_vs_mc", "audit", "lm_law"))
    argv = ["figures", "--artifacts", pick(rng, ("art", "art", "art", "absent")), "--out", out]
    return _case(argv, files | {f"art/{name}.json": content}, out)


def usage(rng: Rng) -> Case:
    """The command's own name wrong or missing, and help."""
    commands = ("law", "doctor", "predict", "plan", "pool", "decode", "check", "refute", "simulate", "audit", "figures",
                "report", "")  # fmt: skip
    first = pick(rng, ("--help", "-h", "--version", "nothing", "lawx", "", "\udcff", "--nope", "a\nb"))
    if rng.random() < 0.5:
        return _case([pick(rng, commands[:-2]), pick(rng, ("--help", "--nope", "-h", "--help=1", "--hel"))], {})
    return _case([first, *(["x"] if rng.random() < 0.3 else [])] if rng.random() < 0.95 else [], {})


# How many calls of a hundred.
BUILDERS: dict[Callable[[Rng], Case], float] = {
    law: 26, doctor: 13, predict: 16, plan: 9, pool_import: 11, decode: 7, pool: 4, check: 2.5, refute: 2.5, simulate: 3,
    audit: 1.5, figures: 1.5, usage: 3,
}  # fmt: skip


def make_case(seed: int, call: int) -> Case:
    """The case of a call: the same for the same two integers."""
    rng = np.random.default_rng([seed, call])
    weights = np.array(list(BUILDERS.values()))
    return list(BUILDERS)[int(rng.choice(len(weights), p=weights / weights.sum()))](rng)


