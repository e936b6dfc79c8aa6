"""A Python function as the reward model: "python:module:function" or "python:file.py:function". No torch here.

The function is called as ``function(questions, solutions)``: M question texts and M lists of step texts, the last of
each the one judged; it returns M numbers. Its range is [low, high], stated where it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from llm_check.positions import Position
from llm_check.rewards.memory import Pair, RewardMemory, score_once
from llm_check.rewards.text import question_text, step_texts

__all__ = ["CallableReward", "load_callable"]

Judge = Callable[[list[str], list[list[str]]], Sequence[float]]


@dataclass(frozen=True)
class CallableReward:
    """`function` as a reward model with rewards in [low, high]."""

    name: str
    function: Judge
    policy_tokenizer: Any
    low: float
    high: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The reward (M,) of M steps (token ids of the policies), step i at position i.

        Raises InputError for lists of unequal lengths, an empty step, a problem without a question, or a value that is
        no number in [low, high]. What the function itself raises comes through.
        """
        return score_once(self.memory, self.name, (self.low, self.high), places, steps, self._compute)

    def _compute(self, pairs: list[Pair]) -> Sequence[float]:
        questions = [question_text(place) for place, _ in pairs]
        return self.function(questions, [step_texts(place, step, self.policy_tokenizer) for place, step in pairs])


def load_callable(place: str, policy_tokenizer: Any, *, low: float, high: float) -> CallableReward:
    """The function named "module:function" or "file.py:function".

    Raises InputError when the module or the function is missing, it is not callable, or low is not below high.
    """
    module_name, _, function_name = place.rpartition(":")
    if not module_name or not function_name:
        raise InputError(f"reward python:{place}: write python:module:function or python:file.py:function")
    if not low < high:
        raise InputError(f"reward python:{place} has the range [{low:g}, {high:g}]: give low below high")
    module = _module(module_name, place)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"reward python:{place}: {module_name} has no function {function_name}: name one it defines")
    return CallableReward(f"python:{place}", function, policy_tokenizer, low, high, {"low": low, "high": high})


def _module(name: str, place: str) -> Any:
    if not name.endswith(".py"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"reward python:{place}: no module {error.name} can be imported: install it, or name its file, as in "
                "python:file.py:function"
            ) from error
    path = Path(name)
    if not path.is_file():
        raise InputError(f"reward python:{place}: there is no file {path}: name an existing one")
    known = f"_gsi_reward_{path.stem}"
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    spec.loader.exec_module(module)
    return module
