"""Where a step ends: on token ids, against the plain bytes of the text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from gsi_theory.errors import InputError
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, finish_reasons, parse_step_rule, step_rule
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID, build_tokenizer

RULE = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 4)
TEXT = "Step 1: add.\n\nThen é 三 take\n\n\nit away\n \nand so\non\n\n" * 3


@cache
def byte_level() -> Any:
    """A byte-level BPE over 400 tokens, among them '\\n', '\\n\\n', '.\\n\\n' and pieces of é and 三."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<eos>", "<turn>"], show_progress=False
    )
    core.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", additional_special_tokens=["<turn>"])


def byte_fallback() -> Any:
    """A vocabulary in the manner of Llama 2: '▁' for a space and '<0x0A>' for the newline byte."""
    words = ["<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁a", "▁b", "c", "▁"]
    core = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], byte_fallback=True))
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")


def plain_end(tokenizer: Any, ids: list[int], delimiter: str, eos: set[int], cap: int) -> tuple[int, str]:
    """Oracle: the length and finish of the first step, by looking for the delimiter in the bytes of ever longer
    prefixes; bytes of a byte-level token are read off the tokenizers library's own byte alphabet."""
    letters = {letter: byte for byte, letter in _byte_of_letter().items()}
    joined = b""
    for count, token in enumerate(ids, 1):
        name = tokenizer.convert_ids_to_tokens(token)
        joined += name.encode() if name.startswith("<") and len(name) > 1 else bytes(letters[c] for c in name)
        if token in eos:
            return count, "eos"
        if delimiter.encode() in joined:
            return count, "stop"
        if count == cap:
            return count, "length"
    return len(ids), "length"


@cache
def _byte_of_letter() -> dict[int, str]:
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found = {b: pre.pre_tokenize_str(chr(b))[0][0] for b in range(128)}
    for lead in range(0xC2, 0xF5):
        tail = {0xE0: "A080", 0xED: "8080", 0xF0: "908080", 0xF4: "808080"}
        width = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        text = bytes([lead]) + bytes.fromhex(tail.get(lead, "80" * width))
        for byte, letter in zip(text, pre.pre_tokenize_str(text.decode())[0][0], strict=True):
            found[byte] = letter
    for byte in range(0x80, 0xC0):
        found[byte] = pre.pre_tokenize_str(bytes([0xC2, byte]).decode())[0][0][1]
    return found


@pytest.mark.parametrize("delimiter", ["\n\n", "\n", ".\n\n", "\n \n", "三", "\n\n\n", "<turn>", "aa"])
def test_steps_end_where_the_bytes_hold_the_delimiter(delimiter: str) -> None:
    tokenizer = byte_level()
    rule = step_rule(tokenizer, delimiter, max_tokens=12)
    rng = np.random.default_rng(7)
    frequent = tokenizer(TEXT + "aa<turn>" + " aa")["input_ids"]
    ends = set()
    for _ in range(400):
        ids = rng.choice(frequent, size=15).tolist()
        kept, finish = rule.cut(ids)
        assert (len(kept), finish) == plain_end(tokenizer, ids, delimiter, {0}, 12), ids
        ends.add(finish)
        whole = np.full((1, 12), PAD)
        whole[0, : len(kept)] = kept
        assert finish_reasons(whole, rule).tolist() == [finish]
    assert "stop" in ends


@pytest.mark.parametrize("delimiter", ["aab", "abab", "\n\na", "abaabaaa"])
def test_delimiters_that_overlap_themselves(delimiter: str) -> None:
    tokenizer = byte_level()
    rule = step_rule(tokenizer, delimiter, max_tokens=60)
    few = tokenizer.convert_tokens_to_ids(["a", "b", "Ċ", "ĊĊ"] if "\n" in delimiter else ["a", "b"])
    rng = np.random.default_rng(9)
    for _ in range(200):
        ids = rng.choice(few, size=50).tolist()
        kept, finish = rule.cut(ids)
        assert (len(kept), finish) == plain_end(tokenizer, ids, delimiter, {0}, 60), ids


def test_a_delimiter_across_tokens_is_seen_and_single_tokens_take_the_short_way() -> None:
    tokenizer = byte_level()
    newline = tokenizer.convert_tokens_to_ids("Ċ")
    rule = step_rule(tokenizer, "\n\n", max_tokens=9)
    assert rule.transitions is not None
    assert rule.cut([newline, newline, newline]) == ((newline, newline), "stop")
    letter = tokenizer.convert_tokens_to_ids("a")
    assert rule.cut([newline, letter, newline]) == ((newline, letter, newline), "length")
    states, closed = rule.advance(np.zeros(2, dtype=int), np.array([newline, letter]))
    assert states.tolist() == [1, 0] and not closed.any()
    assert step_rule(tokenizer, "\n", max_tokens=9).transitions is None
    tiny = step_rule(build_tokenizer(), max_tokens=4)
    assert tiny == RULE and tiny.transitions is None


def test_byte_fallback_vocabularies() -> None:
    tokenizer = byte_fallback()
    newline, a = tokenizer.convert_tokens_to_ids("<0x0A>"), tokenizer.convert_tokens_to_ids("▁a")
    assert step_rule(tokenizer, "\n\n", 9).cut([a, newline, newline, a]) == ((a, newline, newline), "stop")
    assert step_rule(tokenizer, " a", 9).cut([newline, a, newline]) == ((newline, a), "stop")


def test_specs_and_several_eos_ids(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    assert parse_step_rule("delimiter:\\n\\n", tokenizer, 4) == RULE
    assert parse_step_rule("delimiter", tokenizer, 4) == RULE
    three = parse_step_rule("tokens:3", tokenizer, 4)
    assert three.cut([1, 2, 3, 4]) == ((1, 2, 3), "stop")
    assert three.cut([1, BLANK_ID]) == ((1, BLANK_ID), "length")
    assert three.cut([1, EOS_ID, 3]) == ((1, EOS_ID), "eos")
    answer = parse_step_rule("answer", tokenizer, 4, eos_ids=[EOS_ID, 7])
    assert answer.cut([1, BLANK_ID, 7, 2]) == ((1, BLANK_ID, 7), "eos")
    assert answer.cut([1, BLANK_ID, 2, 2, 2]) == ((1, BLANK_ID, 2, 2), "length")
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert parse_step_rule("answer", loaded).eos_ids == {EOS_ID, 7, 9}


def test_ids_that_the_model_pads_its_vocabulary_with_close_nothing() -> None:
    assert step_rule(byte_level(), "\n\n", 3).cut([5000, 5000, 5000, 5000]) == ((5000, 5000, 5000), "length")
    assert RULE.cut([99, EOS_ID])[1] == "eos"
    assert parse_step_rule("answer", build_tokenizer(), 9, eos_ids=[40]).cut([40, 1]) == ((40,), "eos")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("words:3", "step 'words:3'"), ("tokens:0", "give 1 to 4 tokens"), ("tokens:5", "give 1 to 4 tokens"),
        ("delimiter:", "delimiter of a step is empty"), ("delimiter:###", "spell the delimiter '###'"),
        ("answer:x", "step 'answer:x'"),
    ],
)  # fmt: skip
def test_bad_specs_are_refused_with_the_value(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_step_rule(spec, build_tokenizer(), 4)


def test_tokenizers_that_cannot_be_followed_are_refused() -> None:
    spaced = Tokenizer(models.WordLevel({"a": 0, "b": 1, "\n": 2}, unk_token="a"))
    with pytest.raises(InputError, match="cannot be followed"):
        step_rule(PreTrainedTokenizerFast(tokenizer_object=spaced, eos_token="b"), "\n")
    with pytest.raises(InputError, match="no eos token"):
        parse_step_rule("answer", PreTrainedTokenizerFast(tokenizer_object=spaced))


def test_finish_reasons() -> None:
    tokens = np.array([[4, 13, PAD, PAD], [14, 15, PAD, PAD], [1, 2, 3, 4], [1, 2, 3, 13]])
    assert finish_reasons(tokens, RULE).tolist() == ["stop", "eos", "length", "stop"]
    with pytest.raises(InputError, match="no closing token"):
        finish_reasons(np.array([[4, 5, PAD, PAD]]), RULE)
    with pytest.raises(InputError, match="ended after 1"):
        finish_reasons(np.array([[13, 5, 4, 13]]), RULE)
    with pytest.raises(InputError, match="no token ids"):
        RULE.cut([])
    with pytest.raises(InputError, match=r"max_tokens is 0"):
        StepRule(frozenset({1}), frozenset({2}), 0)
