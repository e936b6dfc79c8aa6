"""Prompts as token ids: one template, one tokenizer's ids, the same for draft and base. No torch here.

A prompt is built once from the question and the task's instruction, in one of the TEMPLATES, and both policies read
the same ids: an importance weight between two laws of differently prompted models means nothing. The template, the
instruction and the fingerprint of the chat template are recorded (`template_record`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from gsi_theory.errors import InputError, nearest
from gsi_theory.types import Record
from llm_check.models.decoding.positions import Prompt, encode_text
from llm_check.models.model_types import Tokenizer

__all__ = [
    "TEMPLATES",
    "chat_ids",
    "closing_ids",
    "end_ids",
    "plain_text",
    "prompt_ids",
    "require_room",
    "require_same_prompts",
    "template_record",
]

# Questions and their answers.
Turns = Sequence[tuple[str, str]]

_MARKER = re.compile(r"[<\[].*[>\]]", re.DOTALL)
_NO_CHAT_TEMPLATE = "use the template plain, or a model with a chat template (an -Instruct model)"


def _ids(encoded: Any) -> tuple[int, ...]:
    ids = encoded if isinstance(encoded, list) else encoded["input_ids"]
    return tuple(int(i) for i in ids)


def _require_chat(tokenizer: Tokenizer) -> None:
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise InputError(f"the tokenizer of {name} has no chat template: {_NO_CHAT_TEMPLATE}")


def chat_ids(tokenizer: Tokenizer, messages: list[dict[str, str]]) -> tuple[int, ...]:
    """The ids of a conversation up to where the assistant begins to answer.

    Raises InputError when the tokenizer has no chat template or its template refuses the messages.
    """
    from jinja2.exceptions import TemplateError

    _require_chat(tokenizer)
    try:
        return _ids(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True))
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"the chat template of {tokenizer.name_or_path} refuses the roles {roles} ({error}): use chat-user"
        ) from error


def _said(turns: Turns) -> list[dict[str, str]]:
    pairs = ((("user", question), ("assistant", answer)) for question, answer in turns)
    return [{"role": role, "content": content} for pair in pairs for role, content in pair]


def _chat(tokenizer: Tokenizer, question: str, instruction: str, turns: Turns) -> tuple[int, ...]:
    system = [{"role": "system", "content": instruction}] if instruction else []
    return chat_ids(tokenizer, [*system, *_said(turns), {"role": "user", "content": question}])


def _chat_user(tokenizer: Tokenizer, question: str, instruction: str, turns: Turns) -> tuple[int, ...]:
    content = f"{question}\n\n{instruction}" if instruction else question
    return chat_ids(tokenizer, [*_said(turns), {"role": "user", "content": content}])


def _plain(tokenizer: Tokenizer, question: str, instruction: str, turns: Turns) -> tuple[int, ...]:
    answered = "".join(f"{asked}\n\n{answer}\n\n" for asked, answer in turns)
    return encode_text(tokenizer, f"{answered}{question}\n\n" + (f"{instruction}\n\n" if instruction else ""))


def _bare(tokenizer: Tokenizer, question: str, instruction: str, turns: Turns) -> tuple[int, ...]:
    return encode_text(tokenizer, f"{question}\n\n")


# name -> ids of (tokenizer, question, instruction, answered turns before it): chat puts the instruction into the system
# turn, chat-user after the question, plain after the question without any mark-up; bare is the question alone and a
# blank line.
TEMPLATES: dict[str, Callable[[Tokenizer, str, str, Turns], tuple[int, ...]]] = {
    "chat": _chat,
    "chat-user": _chat_user,
    "plain": _plain,
    "bare": _bare,
}


def prompt_ids(
    tokenizer: Tokenizer, question: str, instruction: str, template: str, turns: Turns = ()
) -> tuple[int, ...]:
    """The token ids of one prompt; `turns` are answered questions that stand before it.

    Raises InputError for an unknown template, a question that the tokenizer cannot write, a tokenizer without a chat
    template where one is asked for, or a prompt of no tokens.
    """
    if template not in TEMPLATES:
        raise InputError(f"template {template!r}{nearest(template, TEMPLATES)}: use one of {', '.join(TEMPLATES)}")
    encode_text(tokenizer, question)  # no other template helps a model of another kind of text
    ids = TEMPLATES[template](tokenizer, question, instruction, turns)
    if not ids:
        raise InputError(f"the question {question!r} gives a prompt of no tokens: give a question that is not empty")
    return ids


def require_same_prompts(draft: Sequence[Prompt], base: Sequence[Prompt], tokenizer: Tokenizer) -> None:
    """Raise InputError unless two policies' tokenizers gave the same ids for every prompt, naming the first difference.

    `tokenizer` is the draft's, to show the differing tokens.
    """
    if len(draft) != len(base):
        raise InputError(f"draft and base have {len(draft)} and {len(base)} prompts: build both from the same problems")
    for ours, theirs in zip(draft, base, strict=True):
        if ours.ids == theirs.ids:
            continue
        pairs = zip(ours.ids, theirs.ids, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours.ids), len(theirs.ids)))
        shown = [repr(tokenizer.decode(list(ids[at : at + 8]))) for ids in (ours.ids, theirs.ids)]
        raise InputError(
            f"the templates of draft and base differ for prompt {ours.prompt_id} at token {at}: {shown[0]} against "
            f"{shown[1]}: use template plain, or give both models one chat template"
        )


def require_room(prompts: Iterable[Prompt], context: int, room: int = 1) -> None:
    """Raise InputError naming the first prompt that leaves fewer than `room` of `context` tokens for its solution."""
    for prompt in prompts:
        if len(prompt.ids) + room > context:
            raise InputError(
                f"prompt {prompt.prompt_id} has {len(prompt.ids)} tokens and its solution needs {room} more, but the "
                f"context holds {context}: leave this problem out, shorten it, or use a model with a longer context"
            )


def closing_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What the chat template writes after an answer (<|im_end|> and a line break, for one); empty without a template.

    Read off the template itself: the ids of a conversation with the answer "1", after those up to the answer.
    """
    if not getattr(tokenizer, "chat_template", None):
        return ()
    turn = [{"role": "user", "content": "1"}]
    opened = _ids(tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=True))
    opened += encode_text(tokenizer, "1")
    said = [*turn, {"role": "assistant", "content": "1"}]
    closed = _ids(tokenizer.apply_chat_template(said, add_generation_prompt=False, tokenize=True))
    return closed[len(opened) :] if closed[: len(opened)] == opened else ()


@lru_cache(maxsize=16)
def end_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that end a solution, sorted: eos, and the special token the chat template puts after an answer.

    Raises InputError when the tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no eos token: set eos_token in its tokenizer_config.json")
    closing = closing_ids(tokenizer)[:1]
    return tuple(sorted({int(tokenizer.eos_token_id), *(i for i in closing if i in tokenizer.all_special_ids)}))


@lru_cache(maxsize=16)
def _end_markers(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(i for i in end_ids(tokenizer) if _MARKER.fullmatch(str(tokenizer.convert_ids_to_tokens(i))))


def plain_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a step or solution, for reward models and graders: trailing ends of sequence are no part of it.

    An end token counts as a marker only when it is written like one, <...> or [...]: in the embedded world it is the
    closing brace of the box, and belongs to the text.
    """
    ends = _end_markers(tokenizer)
    kept = [int(i) for i in ids]
    while kept and kept[-1] in ends:
        kept.pop()
    return str(tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def template_record(tokenizer: Tokenizer, instruction: str, template: str, turns: Turns = ()) -> Record:
    """What a run records of its prompts: template, instruction, answered turns where there are any, and the SHA-256 of
    the tokenizer's chat template."""
    chat = getattr(tokenizer, "chat_template", None) if template.startswith("chat") else None
    digest = hashlib.sha256(str(chat).encode()).hexdigest() if chat else ""
    said = {"turns": [list(turn) for turn in turns]} if turns and template != "bare" else {}
    return {"template": template, "instruction": instruction, **said, "chat_template_sha256": digest}
