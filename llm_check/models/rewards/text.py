"""What a reward model with a tokenizer of its own reads: question and steps as text. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.model_types import Tokenizer

__all__ = ["encode_literally", "question_text", "solution_text", "step_texts"]


def question_text(place: Position) -> str:
    """The question of the position's problem.

    Raises InputError when the problem has none: a chat prompt decoded back to text is no question.
    """
    question = getattr(place.problem, "question", None)
    if not isinstance(question, str) or not question.strip():
        raise InputError(
            f"prompt {place.prompt_id} has no question text, which this reward model reads: give prompts whose problem "
            "has a question (load_task makes them)"
        )
    return question


def step_texts(place: Position, step: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """The texts of the steps so far, the judged one last, decoded by the policies' tokenizer.

    Without end markers and surrounding blank space, and without steps that are then empty: a reward read after an
    empty last step would judge nothing. Where all are empty there is one empty step.
    """
    texts = [plain_text(tokenizer, ids).strip() for ids in (*place.path, tuple(step))]
    return [text for text in texts if text] or [""]


def solution_text(place: Position, step: Sequence[int], tokenizer: Tokenizer) -> str:
    """The whole solution so far as one text, as the policies wrote it."""
    return plain_text(tokenizer, [*place.solution, *step])


def encode_literally(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The ids of text a model wrote: what looks like a special token in it is encoded as the characters it is made of,
    so no solution can write the reward model's own step token or end its turn."""
    return tuple(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
