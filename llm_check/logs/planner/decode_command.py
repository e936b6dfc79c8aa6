"""The `gsi decode` command that plays an option, with the models, task, reward and step rule that a pool names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from gsi_theory.methods import GATES
from gsi_theory.types import Json
from llm_check.logs.planner.scheme_grid import Option

__all__ = ["decode_command"]

# What the embedded world's pools name; `gsi decode` takes it by default.
EMBEDDED = {"draft": "checkpoints/draft", "base": "checkpoints/base", "reward": "prm"}


def _exact(number: float) -> str:
    """As few digits as give the same number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def _named(metadata: Mapping[str, Json], model: str, key: str) -> str:
    record = metadata.get(model)
    name = record.get(key) if isinstance(record, Mapping) else None
    return name if isinstance(name, str) and name else model.upper()


def _text(metadata: Mapping[str, Json], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else key.upper()


def decode_command(option: Option, metadata: Mapping[str, Json]) -> str:
    """One line for a shell; metadata: a pool's provenance. What it does not name stands in capitals, to be filled in;
    a task of the user's own rows is named without its file."""
    method = option.record
    words = ["--method", option.method]
    words += ["--n", str(option.n)] if method.n is None else []
    falls_back = method.gate is not None and option.threshold is not None and method.n_base is None
    words += ["--n-base", str(option.n_base)] if falls_back and option.n_base != option.n else []
    words += ["--beta", _exact(option.beta)] if option.has_beta else []
    if option.threshold is not None and method.gate is not None and GATES[method.gate].threshold:
        words += ["--threshold", _exact(option.threshold)]
    names = {"draft": _named(metadata, "draft", "model"), "base": _named(metadata, "base", "model"),
             "reward": _named(metadata, "reward", "name")}  # fmt: skip
    if names != EMBEDDED:
        for model, name in names.items():
            words += [f"--{model}", name]
    task = _text(metadata, "task")
    words += ["--task", f"{task}:FILE" if task == "jsonl" else task, "--step", _text(metadata, "step")]
    length, template = metadata.get("max_tokens"), metadata.get("template")
    counted = _text(metadata, "step").startswith("tokens:")  # the rule itself says how long a step is
    words += ["--max-tokens", str(length)] if isinstance(length, int) and not counted else []
    words += ["--template", template] if isinstance(template, str) and template else []
    return shlex.join(["gsi", "decode", *words])
