"""Prompts: the tokenizer's own chat template, the same ids for both policies, and where a solution ends."""

from __future__ import annotations

import hashlib

import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.prompting import (
    closing_ids,
    end_ids,
    plain_text,
    prompt_ids,
    require_room,
    require_same_prompts,
    template_record,
)
from llm_check.models.tiny.tokenizer import build_tokenizer as tiny_tokenizer
from tests.llm_check.models.rewards.small_checkpoints import CHAT_TEMPLATE, build_tokenizer

CHAT = build_tokenizer()


def text(ids: tuple[int, ...]) -> str:
    return str(CHAT.decode(list(ids)))


def test_templates_write_what_they_say() -> None:
    assert text(prompt_ids(CHAT, "1+1?", "Be brief.", "chat")) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text(prompt_ids(CHAT, "1+1?", "Be brief.", "chat-user")) == (
        "<|im_start|>user\n1+1?\n\nBe brief.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text(prompt_ids(CHAT, "1+1?", "", "chat")) == "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    assert text(prompt_ids(CHAT, "1+1?", "Be brief.", "plain")) == "1+1?\n\nBe brief.\n\n"
    assert text(prompt_ids(CHAT, "1+1?", "Be brief.", "bare")) == "1+1?\n\n"
    special = CHAT.convert_tokens_to_ids("<|im_start|>")
    assert prompt_ids(CHAT, "1+1?", "", "chat")[0] == special  # one id, not the characters of the token


def test_what_cannot_be_prompted_is_refused() -> None:
    with pytest.raises(InputError, match=r"template 'chatty'.*: use one of chat, chat-user, plain, bare"):
        prompt_ids(CHAT, "q", "", "chatty")
    with pytest.raises(InputError, match="no chat template: use the template plain"):
        prompt_ids(build_tokenizer(chat=False), "q", "", "chat")
    strict = build_tokenizer()
    strict.chat_template = "{{ raise_exception('no system turn') if messages[0]['role'] == 'system' else '' }}"
    with pytest.raises(InputError, match=r"refuses the roles system, user \(no system turn\): use chat-user"):
        prompt_ids(strict, "q", "i", "chat")
    with pytest.raises(InputError, match="prompt of no tokens"):
        prompt_ids(strict, "q", "", "chat-user")


def test_policies_must_read_the_same_ids() -> None:
    other = build_tokenizer()
    other.chat_template = CHAT_TEMPLATE.replace("assistant", "helper")
    sides = [[Prompt("p7", prompt_ids(t, "1+1?", "", "chat"))] for t in (CHAT, other)]
    require_same_prompts(sides[0], sides[0], CHAT)
    with pytest.raises(InputError, match=r"differ for prompt p7 at token \d+: 'assistan.*' against 'helper"):
        require_same_prompts(sides[0], sides[1], CHAT)
    longer = [Prompt("p7", (*sides[0][0].ids, 5))]
    with pytest.raises(InputError, match=f"prompt p7 at token {len(sides[0][0].ids)}: '' against"):
        require_same_prompts(sides[0], longer, CHAT)
    with pytest.raises(InputError, match="have 1 and 0 prompts"):
        require_same_prompts(sides[0], [], CHAT)


def test_a_prompt_needs_room_for_its_solution() -> None:
    prompts = [Prompt("short", (1,) * 5), Prompt("long", (1,) * 8)]
    require_room(prompts, 10, 2)
    with pytest.raises(InputError, match=r"prompt long has 8 tokens and its solution needs 3 more, but .* holds 10"):
        require_room(prompts, 10, 3)


def test_ends_come_from_the_template_and_the_tokenizer() -> None:
    im_end, end_of_text = (CHAT.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>"))
    assert text(closing_ids(CHAT)) == "<|im_end|>\n"
    base = build_tokenizer()
    base.eos_token = "<|endoftext|>"  # a base model's tokenizer: its chat template still ends turns with im_end
    assert end_ids(base) == tuple(sorted((im_end, end_of_text)))
    assert end_ids(CHAT) == (im_end,)
    bare = build_tokenizer(chat=False)
    assert closing_ids(bare) == () and end_ids(bare) == (im_end,)
    bare.eos_token = None
    with pytest.raises(InputError, match="no eos token"):
        end_ids.__wrapped__(bare)


def test_end_markers_are_no_text_but_the_closing_brace_is() -> None:
    ids = CHAT("so \\boxed{2}", add_special_tokens=False)["input_ids"]
    assert plain_text(CHAT, [*ids, CHAT.eos_token_id, CHAT.eos_token_id]) == "so \\boxed{2}"
    tiny = tiny_tokenizer()
    assert plain_text(tiny, tiny("\\boxed{40}")["input_ids"]) == "\\boxed{40}"


def test_the_template_is_recorded() -> None:
    record = template_record(CHAT, "Be brief.", "chat")
    assert record == {
        "template": "chat", "instruction": "Be brief.",
        "chat_template_sha256": hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest(),
    }  # fmt: skip
    assert template_record(CHAT, "", "bare")["chat_template_sha256"] == ""
