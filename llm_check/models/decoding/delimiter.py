"""A delimiter followed over token ids: the bytes each token stands for, and an automaton over tokens.

State s = the longest prefix of the delimiter, s bytes long, that the step so far ends with (Knuth, Morris and Pratt
1977): from it, the bytes of any token lead to one other state or complete the delimiter. A table (S, V) of that walk
finds a delimiter inside a token and across tokens, in one lookup per token, without decoding.

The bytes of a token are read off the tokenizer's own decoder: byte-level BPE (GPT-2, Llama 3, Qwen), byte fallback
(Llama 2, Mistral: "▁" is a space, "<0x0A>" a byte), and vocabularies whose tokens are plain text. What was read is
compared with `decode` on random ids, so a decoder that does more than join tokens is refused, not misread.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import read_json, shown
from llm_check.models.model_types import Tokenizer

__all__ = ["delimiter_table", "end_of_sequence_ids", "token_bytes"]

_COMPARED = 64  # random texts compared with `decode`, of 1 to 4 tokens each


def end_of_sequence_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that end a solution: the tokenizer's eos, and all that generation_config.json in its folder lists.

    Raises InputError when there is none, or that file holds no JSON object or other ids.
    """
    ends = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
    path = Path(str(getattr(tokenizer, "name_or_path", "") or "")) / "generation_config.json"
    if path.is_file():
        config = read_json(path, "a JSON object, as its checkpoint has it")
        if not isinstance(config, dict):
            raise InputError(f"{path} holds {shown(config)}, no JSON object: download it again")
        listed = config.get("eos_token_id")
        ids = [] if listed is None else listed if isinstance(listed, list) else [listed]
        if any(type(token) is not int for token in ids):
            raise InputError(f"{path}: eos_token_id = {shown(listed)}: give the id of a token, or a list of them")
        ends |= set(ids)
    if not ends:
        raise InputError("the tokenizer has no eos token: set eos_token in its tokenizer_config.json")
    return frozenset(ends)


def _byte_letters() -> dict[str, int]:
    """The byte that each letter of byte-level BPE stands for (GPT-2): printable bytes are themselves, the others are
    numbered from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def _decoder_kinds(tokenizer: Tokenizer) -> set[str]:
    """Names of the steps of a fast tokenizer's decoder; empty when it has none or the tokenizer is no fast one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str()).get("decoder") if backend is not None else None
    if decoder is None:
        return set()
    return {part["type"] for part in decoder.get("decoders", [decoder])}


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes each id stands for inside a text, b"" for ids that no token has.

    Raises InputError when joining them does not give what the tokenizer decodes.
    """
    kinds = _decoder_kinds(tokenizer)
    letters = _byte_letters()
    added = {int(i): str(token) for i, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    vocabulary = {int(i): token for token, i in tokenizer.get_vocab().items()}
    pieces = [b""] * (max(vocabulary) + 1)
    for i, token in vocabulary.items():
        fallback = re.fullmatch(r"<0x([0-9A-F]{2})>", token) if "ByteFallback" in kinds else None
        if i in added:
            pieces[i] = added[i].encode()
        elif "ByteLevel" in kinds and all(letter in letters for letter in token):
            pieces[i] = bytes(letters[letter] for letter in token)
        elif fallback is not None:
            pieces[i] = bytes([int(fallback[1], 16)])
        else:
            pieces[i] = (token.replace("▁", " ") if kinds & {"ByteFallback", "Metaspace"} else token).encode()
    _compare_with_decode(tokenizer, pieces, sorted(set(vocabulary) - set(added)))
    return pieces


def _compare_with_decode(tokenizer: Tokenizer, pieces: list[bytes], ids: list[int]) -> None:
    rng = np.random.default_rng(0)
    for length in np.resize([1, 2, 3, 4], _COMPARED):
        # Some decoders drop a leading space, and broken characters are replaced in more than one way.
        some = rng.choice(ids, size=int(length)).tolist()
        decoded = str(tokenizer.decode(some, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        joined = b"".join(pieces[i] for i in some).decode(errors="replace")
        if "\ufffd" not in joined and decoded.lstrip(" ") != joined.lstrip(" "):
            raise InputError(
                f"this tokenizer decodes ids {some} to {decoded!r}, and its tokens joined give {joined!r}: a delimiter "
                "cannot be followed on its token ids, use step tokens:N or answer"
            )


def _byte_automaton(delimiter: bytes) -> NDArray[np.int16]:
    """The state (S + 1, 256) after a byte; state S = len(delimiter) is absorbing: the delimiter is complete."""
    size = len(delimiter)
    table = np.zeros((size + 1, 256), dtype=np.int16)
    table[size] = size
    table[0, delimiter[0]] = 1
    border = 0
    for state in range(1, size):
        table[state] = table[border]
        table[state, delimiter[state]] = state + 1
        border = int(table[border, delimiter[state]])
    return table


def delimiter_table(tokenizer: Tokenizer, delimiter: str) -> NDArray[np.int16]:
    """The state (S, V) after a token in a state, -1 where the delimiter is complete, over the states that can occur.

    State 0 is the start of a step. Raises InputError for an empty delimiter, one that no sequence of tokens
    completes, and as `token_bytes`.
    """
    if not delimiter:
        raise InputError("the delimiter of a step is empty: give its text, such as delimiter:\\n\\n")
    wanted = delimiter.encode()
    pieces = token_bytes(tokenizer)
    step = _byte_automaton(wanted)
    size = len(wanted)
    after = np.repeat(np.arange(size, dtype=np.int16)[:, None], len(pieces), axis=1)
    lengths = np.array([len(piece) for piece in pieces])
    for at in range(int(lengths.max())):  # byte number `at` of every token that has one, in all states at once
        columns = np.flatnonzero(lengths > at)
        letters = np.frombuffer(bytes(pieces[i][at] for i in columns.tolist()), dtype=np.uint8)
        after[:, columns] = step[after[:, columns], letters]
    reached, new = np.array([0]), np.array([0])
    while len(new):
        new = np.setdiff1d(np.unique(after[new]), np.append(reached, size))
        reached = np.union1d(reached, new)
    table = after[reached]
    if not (table == size).any():
        raise InputError(f"no tokens of this vocabulary spell the delimiter {delimiter!r}: give one that they spell")
    renamed = np.full(size + 1, -1, dtype=np.int16)
    renamed[reached] = np.arange(len(reached))
    return renamed[table]
