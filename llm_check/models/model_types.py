"""Types that the rooms of the models wing share. No torch here: transformers is imported by the type checker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoded", "Module", "TaskProblem", "Tokenizer"]

Tokenizer: TypeAlias = "PreTrainedTokenizerBase"
# A module of transformers. What a body, a layer or a head is called differs by architecture, and torch's modules answer
# attributes that no checker knows; so does a class such as AutoModelForCausalLM.
Module: TypeAlias = Any
# What an engine keeps of encoded prefixes: a cache, or token ids; only the engine that made it reads it.
Encoded: TypeAlias = Any
# A problem of any task, also a user's own: `problem_id`, `question`, `prompt`, and what its task's grader reads.
TaskProblem: TypeAlias = Any
