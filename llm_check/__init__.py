"""Language models: what their logs say (`llm_check.logs`, no torch), and running them (`llm_check.models`).

What the commands do, as functions that return records; each is imported when it is first asked for:

    read_log(source)      draws of one model or two, from files, tables in memory, and the formats of `gsi import`
    read_pool(path)       a pool of candidates that two models drew and scored
    doctor(pool)          what is wrong with its numbers, and how well the drafts cover the base
    curve(log)            mean reward and accuracy against n of one model's draws, for every selector
    predict(pool)         expected reward and acceptance of every rule, n, β
    plan(log)             what to do with two models or one for a goal (rule or selector, n, β, threshold), if it tells
    decode(...)           solve problems with a chosen method

`pool` is a `Pool` or the path of its file. Numbers are attributes; `record()` is what the command answers with --json.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gsi_theory import moved

if TYPE_CHECKING:
    from llm_check.logs.curves.log_curves import curve
    from llm_check.logs.formats.log_import import read_log
    from llm_check.logs.mean_prediction import predict
    from llm_check.logs.planner.plan_log import plan
    from llm_check.logs.pools.diagnosis import doctor
    from llm_check.logs.pools.pool import read_pool
    from llm_check.models.decoding.decoded_task import decode

__all__ = ["curve", "decode", "doctor", "moved", "plan", "predict", "read_log", "read_pool"]

# name -> (module, name there)
_FACES = {
    "curve": ("llm_check.logs.curves.log_curves", "curve"),
    "decode": ("llm_check.models.decoding.decoded_task", "decode"),
    "doctor": ("llm_check.logs.pools.diagnosis", "doctor"),
    "plan": ("llm_check.logs.planner.plan_log", "plan"),
    "predict": ("llm_check.logs.mean_prediction", "predict"),
    "read_log": ("llm_check.logs.formats.log_import", "read_log"),
    "read_pool": ("llm_check.logs.pools.pool", "read_pool"),
}


def __getattr__(name: str) -> object:
    if name not in _FACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, function = _FACES[name]
    return getattr(importlib.import_module(module), function)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACES})
