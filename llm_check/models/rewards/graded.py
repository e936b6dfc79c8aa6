"""The reward `graded`: how near a step comes to a short right answer (`tasks.short_answers`). No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce
from llm_check.models.tasks.short_answers import graded_reward

__all__ = ["GradedReward"]


@dataclass(frozen=True)
class GradedReward(ScoredOnce):
    """Rewards in [0, 1]: right is the problem's answer, and at step i what the reference solution comes to there."""

    policy_tokenizer: Tokenizer
    name: str = "graded"
    low: float = 0.0
    high: float = 1.0
    settings: Mapping[str, Json] = field(default_factory=dict)
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def compute(self, pairs: list[Pair]) -> list[float]:
        return [graded_reward(plain_text(self.policy_tokenizer, step), _right(place)) for place, step in pairs]


def _right(place: Position) -> list[str]:
    """What may stand at the end of a step that is right. InputError for a problem without one short answer."""
    problem = place.problem
    answer = str(getattr(problem, "answer", ""))
    if not answer:
        raise InputError(f"prompt {place.prompt_id} has no reference answer, which the graded reward compares with")
    return [answer, *map(str, getattr(problem, "values", ())[place.step : place.step + 1])]
