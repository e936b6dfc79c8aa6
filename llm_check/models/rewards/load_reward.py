"""Load a reward model by name: a checkpoint folder, whose config.json says which kind it is, or a kind by its name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gsi_theory.errors import InputError, nearest
from gsi_theory.types import Json, Record
from llm_check.models.engines.hub_snapshot import placed
from llm_check.models.grading.answers import known_reading
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.reward_model import RewardModel
from llm_check.models.spec import Spec, parse_spec, read_options

__all__ = ["KINDS", "Kind", "load_reward"]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("give a number") from None
    if math.isnan(value):
        raise ValueError("give a number, not NaN")
    return value


def _step_token(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.step_token import load_step_token_reward

    return load_step_token_reward(Path(place), tokenizer, device, dtype, **settings)


def _sequence_classifier(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.sequence_classifier import load_sequence_classifier

    return load_sequence_classifier(Path(place), tokenizer, device, dtype, **settings)


def _token_classifier(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.checkpoints import require_vocabulary
    from llm_check.models.rewards.token_classifier import ProcessRewardModel

    if dtype != "float32":
        raise InputError(f"dtype {dtype!r} for the token classifier {place}: it runs in float32")
    model = ProcessRewardModel.from_pretrained(place, device)
    require_vocabulary(model.tokenizer, tokenizer, f"the token classifier {place}")
    return model


def _verifiable(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.verifiable import VerifiableReward

    if place:
        raise InputError(f"reward verifiable:{place}: write verifiable alone; the task has the answers")
    return VerifiableReward(tokenizer, reading=settings.get("answer"))


def _graded(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.graded import GradedReward

    if place:
        raise InputError(f"reward graded:{place}: write graded alone; the task has the answers")
    return GradedReward(tokenizer)


def _state_head(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.state_head import load_state_head

    return load_state_head(Path(place), tokenizer, device, dtype, base=settings.get("base"))


def _learned(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.state_head import SHIPPED, load_state_head

    if place:
        raise InputError(f"reward learned:{place}: write learned alone, or head:FOLDER for a head of your own")
    return load_state_head(SHIPPED, tokenizer, device, dtype, name="learned")


def _callable(place: str, tokenizer: Tokenizer, device: str, dtype: str, settings: Record) -> RewardModel:
    from llm_check.models.rewards.python_callable import load_callable

    return load_callable(place, tokenizer, low=settings.get("low", -math.inf), high=settings.get("high", math.inf))


@dataclass(frozen=True)
class Kind:
    """How one kind of reward model is loaded, the readers of its settings, and the architectures (by their ending) in
    a folder's config.json that mean it."""

    load: Callable[[str, Tokenizer, str, str, Record], RewardModel]
    settings: Mapping[str, Callable[[str], Json]]
    architectures: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "qwen_prm": Kind(_step_token, {}, ("Qwen2ForProcessRewardModel",)),
    "skywork_prm": Kind(_step_token, {"step_token": str}, ("Qwen2ForPrmModel",)),
    "sequence_classifier": Kind(_sequence_classifier, {"activation": str}, ("ForSequenceClassification",)),
    "token_classifier": Kind(_token_classifier, {}, ("ForTokenClassification",)),
    "head": Kind(_state_head, {"base": str}),
    "learned": Kind(_learned, {}),
    "verifiable": Kind(_verifiable, {"answer": known_reading}),
    "graded": Kind(_graded, {}),
    "python": Kind(_callable, {"low": _number, "high": _number}),
}


def load_reward(
    spec: str | Callable[[str, str], float], tokenizer: Tokenizer, *, device: str = "cpu", dtype: str = "float32"
) -> RewardModel:
    """The reward model named by `spec`: a FOLDER, whose config.json tells its kind, or KIND:PLACE?setting=value.

        qwen_prm:FOLDER   skywork_prm:FOLDER?step_token=\\n\\n   sequence_classifier:FOLDER?activation=raw
        token_classifier:FOLDER   learned   head:FOLDER?base=MODEL   verifiable?answer=last_number   graded
        python:module:function?low=0&high=1

    or hub:OWNER/NAME, or a function of (prefix text, step text). `tokenizer` is the policies'. Checkpoints are read
    from safetensors, and no code in them is run. Raises InputError for an unknown kind, architecture or setting, or a
    folder that will not do.
    """
    if not isinstance(spec, str):
        from llm_check.models.rewards.python_callable import from_function

        return from_function(spec, tokenizer)
    parsed = parse_spec(placed(spec), KINDS)
    name = parsed.kind or _kind_of_folder(parsed)
    kind = KINDS[name]
    if kind.architectures and parsed.kind:
        _require_architecture(parsed, kind)
    return kind.load(parsed.place, tokenizer, device, dtype, read_options(parsed, kind.settings))


def _architecture(spec: Spec) -> str:
    from llm_check.models.engines.checkpoint import read_config
    from llm_check.models.rewards.checkpoints import architecture_of

    folder = Path(spec.place)
    return architecture_of(folder, read_config(folder))


def _kind_of_folder(spec: Spec) -> str:
    head = spec.place.partition(":")[0]
    if not os.path.exists(spec.place) and head != spec.place and head not in KINDS:
        cure = f"use one of {', '.join(KINDS)}"
        raise InputError(f"reward {spec.text!r}: {head!r} is no kind of reward model{nearest(head, KINDS)}; {cure}")
    architecture = _architecture(spec)
    for name, kind in KINDS.items():
        if architecture.endswith(kind.architectures) and kind.architectures:
            return name
    known = ", ".join(ending for kind in KINDS.values() for ending in kind.architectures)
    raise InputError(f"{spec.place} holds {architecture}, no reward model known here (...{known}): give one of these")


def _require_architecture(spec: Spec, kind: Kind) -> None:
    architecture = _architecture(spec)
    if not architecture.endswith(kind.architectures):
        raise InputError(
            f"{spec.place} holds {architecture}, but {spec.kind} needs ...{' or '.join(kind.architectures)}: give its "
            "folder alone, and config.json tells the kind"
        )
