"""A Python function as the reward model: "python:module:function" or "python:file.py:function". No torch here.

The function is called as ``function(questions, solutions)``: M question texts and M lists of step texts, the last of
each the one judged; it returns M numbers. Its range is [low, high], stated where it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce
from llm_check.models.rewards.text import question_text, step_texts

__all__ = ["CallableReward", "from_function", "load_callable"]


# Characters of what a function raised that a message shows.
_LONGEST = 200


@dataclass(frozen=True)
class CallableReward(ScoredOnce):
    """`judge` maps M (position, step) pairs to M rewards in [low, high]."""

    name: str
    judge: Callable[[list[Pair]], Sequence[float]]
    low: float
    high: float
    settings: Mapping[str, Json] = field(default_factory=dict)
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def compute(self, pairs: list[Pair]) -> Sequence[float]:
        """What the function returns. InputError where it raises or exits (with file and line), or returns no list."""
        return self.judge(pairs)


def from_function(
    function: Callable[[str, str], float],
    policy_tokenizer: Tokenizer,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> CallableReward:
    """``function(prefix text, step text) -> reward``, one step at a time; the prefix is prompt and earlier steps.

    Raises InputError unless low is below high.
    """
    name = f"python:{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    _require_range(name, low, high)

    def judge(pairs: list[Pair]) -> list[float]:
        texts = [(plain_text(policy_tokenizer, p.prefix), plain_text(policy_tokenizer, step)) for p, step in pairs]
        return [_called(name, function, prefix, step) for prefix, step in texts]

    return CallableReward(name, judge, low, high)


def _require_range(name: str, low: float, high: float) -> None:
    if not low < high:
        raise InputError(f"reward {name} has the range [{low:g}, {high:g}]: give low below high")


def load_callable(place: str, policy_tokenizer: Tokenizer, *, low: float, high: float) -> CallableReward:
    """The function named "module:function" or "file.py:function".

    Raises InputError when the module or the function is missing, it is not callable, or low is not below high.
    """
    module_name, _, function_name = place.rpartition(":")
    if not module_name or not function_name:
        raise InputError(f"reward python:{place}: write python:module:function or python:file.py:function")
    _require_range(f"python:{place}", low, high)
    module = _module(module_name, place)
    function = getattr(module, function_name, None)
    if not callable(function):
        what = f"{function_name} of {module_name} is {type(function).__name__}, no function"
        if function is None:
            what = f"{module_name} has no function {function_name}"
        raise InputError(f"reward python:{place}: {what}: name one it defines")

    def judge(pairs: list[Pair]) -> Sequence[float]:
        questions = [question_text(where) for where, _ in pairs]
        return _listed(name, _called(name, function, questions, [step_texts(p, s, policy_tokenizer) for p, s in pairs]))

    name = f"python:{Path(module_name).name}:{function_name}"  # no path of this machine in records
    return CallableReward(name, judge, low, high)


def _called(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns. InputError with file and line where it raises, or exits."""
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        code = getattr(function, "__code__", None)
        own = (code.co_filename, code.co_firstlineno) if code else None
        raise InputError(f"reward {name} raised {_raised(error, own)}: correct the function") from error


def _raised(error: BaseException, own: tuple[str, int] | None = None) -> str:
    """Kind, text, and the place where it was raised in code that is not of this file (else `own`), in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    theirs = [(f.filename, f.lineno) for f in frames if not f.filename.startswith("<frozen")]
    place = theirs[-1] if theirs else own
    if isinstance(error, SyntaxError):
        place = (error.filename, error.lineno) if error.filename else None
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    where = f" ({place[0]}, line {place[1]})" if place else ""
    return f"{type(error).__name__}{': ' if text else ''}{text[:_LONGEST]}{where}"


def _listed(name: str, rewards: Any) -> list[Any]:
    """What a function returned as a list: any sequence or array of one axis. InputError for anything else."""
    if hasattr(rewards, "detach"):  # a torch tensor, maybe on a GPU or with a gradient
        rewards = rewards.detach().cpu()
    values = rewards.tolist() if hasattr(rewards, "tolist") else rewards
    if not isinstance(values, (list, tuple)):
        raise InputError(
            f"reward {name} returned {type(rewards).__name__} {str(rewards)[:40]!r}: return a list, one number for "
            "each step"
        )
    return list(values)


def _module(name: str, place: str) -> Any:
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"reward python:{place}: no module {error.name} can be imported: install it, or name its file, as in "
                "python:file.py:function"
            ) from error
        except (Exception, SystemExit) as error:
            raise InputError(f"reward python:{place}: importing it raised {_raised(error)}: correct it") from error
    path = Path(name)
    if not os.path.isfile(path):
        raise InputError(f"reward python:{place}: there is no file {path}: name an existing one")
    known = f"_gsi_reward_{path.stem}"
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[known]
        raise InputError(f"reward python:{place}: running the file raised {_raised(error)}: correct it") from error
    return module
