"""Calls that load language models: `gsi decode`, `pool` and `check` on the embedded pair or on bent files."""

from __future__ import annotations

import numpy as np

from llm_check.models.tiny import checkpoint_path
from tests.fuzz.case import Case, Files, case_of
from tests.fuzz.checkpoints import checkpoint_files
from tests.fuzz.mutate import pick
from tests.fuzz.options import line, output
from tests.fuzz.tasks import task_file

__all__ = ["check", "decode", "pool"]

Rng = np.random.Generator
_DRAFT = str(checkpoint_path("draft"))
_MODELS = {
    "--n": ("1", "2", "3"), "--beta": ("1", "20", "0", "1e4"), "--threshold": ("0.5", "0", "inf", "-inf", "1e308"),
    "--step": ("answer", "tokens:2", "delimiter:\\n\\n", "!delimiter:+", "!tokens:0", "!words"),
    "--max-tokens": ("4", "2", "1", "!20", "!64"), "--template": ("bare", "!plain", "!chat", "!fancy"),
    "--device": ("cpu", "!cuda:99"), "--dtype": ("float32", "!float64", "!bfloat16", "!int8"),
    "--seed": ("0", "7", "99999999999"), "--batch": ("1", "2"),
}  # fmt: skip
_METHODS = (
    "gsi", "gsi_race", "gsi_score_gate", "draft", "base", "rsd", "rsd_sigmoid", "specs", "pooled", "pooled_race",
    "expgsi", "first_passage", "soft_bon_draft", "best_of_n_base", "drafters", "drafters_race", "!magic",
)  # fmt: skip
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


def _models(rng: Rng, bent: bool, odd: bool) -> tuple[list[str], Files]:
    """Options that name models, reward and task, and their files."""
    words: list[str] = []
    files: Files = {}
    kind = rng.integers(8) if bent else rng.integers(3, 12)
    if kind <= 2:
        role = pick(rng, ("draft", "draft", "base", "prm"))
        files |= {f"model/{name}": content for name, content in checkpoint_files(rng, role).items()}
        words += ["--" + {"prm": "reward"}.get(role, role), pick(rng, ("model", "model", "model", "./model/"))]
    elif kind <= 4:
        task, content = task_file(rng, bent)
        files["task.jsonl"] = content
        words += ["--task", f"{task}:task.jsonl", "--template", "bare", "--step", "answer", "--max-tokens", "20"]
    elif kind == 5:
        files["judge.py"] = pick(rng, list(_JUDGES.values())) if bent else _JUDGES["lists"]
        ends = ("", "?low=0&high=1", "?low=1&high=0", "?low=x", "?low=nan", "?nothing=1", "?low=0&low=0")
        places = ("python:judge.py:judge",) * 6 + ("python:judge.py:none", "python:")
        words += ["--reward", pick(rng, places) + pick(rng, ends) if odd else "python:judge.py:judge?low=0&high=1"]
    elif kind == 6 and odd:
        name = pick(rng, ("--draft", "--base", "--reward", "--task"))
        specs = ("absent", "", "vllm:absent", "gpt:x", "http://127.0.0.1:9", "http://", "transformers:absent?x=1",
                 "jsonl:", "arithmetic:train", "arithmetic:x", "verifiable", "verifiable:x", "python:os:getcwd", ".",
                 "qwen_prm:.", "skywork_prm:absent?step_token=x", "a\udcff", "gsm8k:none.jsonl", "jsonl:.")  # fmt: skip
        words += [name, pick(rng, specs)]
    return words, files


def _but(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in _MODELS.items() if name not in names}


def decode(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi decode` on the embedded pair, or a bent checkpoint, task or reward."""
    words, files = _models(rng, bent, odd)
    options = _MODELS | {
        "*--method": _METHODS, "--n-base": ("1", "2"), "*--drafter": (_DRAFT, "!absent"), "*--drafter-n": ("!1", "!2"),
    }  # fmt: skip
    argv = ["decode", "--problems", "1", *words, *line(rng, odd, options, ("--json",), 0.12)]
    if rng.random() < 0.3:
        out, extra = output(rng, odd, "out.json")
        return case_of([*argv, "--out", out], files | extra, out)
    return case_of(argv, files)


def pool(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi pool`, collecting."""
    words, files = _models(rng, bent, odd)
    options = _MODELS | {
        "--steps": ("1", "2"), "--path": ("reference", "base", "gsi", "rsd", "!magic"), "--base-candidates": ("1", "5"),
    }  # fmt: skip
    out, extra = output(rng, odd, "out.parquet")
    argv = ["pool", out, "--problems", "1", "--candidates", pick(rng, ("1", "6", "6", "0") if odd else ("1", "6"))]
    return case_of([*argv, *words, *line(rng, odd, options, ("--no-text",), 0.12)], files | extra, out)


_CHECKS = {
    "lm_law": ("draws=100", "problems=1", "n=2", "beta=1e308", "threshold=nan", "n=0", "draws=x", "tolerance=-1"),
    "lm_headline": ("problems=1", "beta=0", "epsilon=0", "tolerance=nan", "beta=1e308"),
    "lm_accuracy": ("problems=1", "ns=1,2", "ns=", "ns=0", "beta=-1", "threshold=inf"),
    "lm_speed": ("problems=1", "n=2", "more=2", "batch=2", "batch=1", "repeats=1", "repeats=0", "threads=1"),
    "lm_seconds": ("ns=1,2", "more=2", "repeats=1", "ns=2", "repeats=0", "threads=1", "threads=0"),
    "lm_noise": ("problems=1", "runs=2", "betas=1", "ns=2", "betas=nan", "runs=0"),
    "lm_prediction": ("problems=2", "candidates=16", "runs=2", "ns=1,2", "exact=0", "rules=max", "betas=1e308"),
}  # fmt: skip


def check(rng: Rng, bent: bool, odd: bool) -> Case:
    """`gsi check` with settings that make it short."""
    name = pick(rng, list(_CHECKS))
    quick = [text for text in _CHECKS[name] if text in (
        "draws=100", "problems=1", "ns=1,2", "more=2", "repeats=1", "runs=2", "problems=2", "candidates=16", "exact=0",
    )]  # fmt: skip
    words, files = _models(rng, bent, odd) if rng.random() < 0.5 else ([], {})
    out, extra = output(rng, odd, "out")
    settings = [*quick, *([pick(rng, _CHECKS[name])] if odd and rng.random() < 0.7 else [])]
    if odd and rng.random() < 0.15:
        settings.append(pick(rng, ("nothing=1", "=", "x", "n=1=2", "n=\udcff")))
    argv = ["check", pick(rng, (name,) * 12 + ("lm_nothing",)) if odd else name, "--out", out]
    argv += [word for text in settings for word in ("--set", text)]
    options = _but("--n", "--beta", "--threshold", "--batch") | {
        "--reference-dtype": ("!float32", "!foo"), "--reference-draft": ("!absent",),
    }  # fmt: skip
    return case_of([*argv, *words, *line(rng, odd, options, (), 0.06)], files | extra, out)
