"""sequential-speculative-decoding: standard and hierarchical speculative decoding (Zeng, Massoud)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from gsi_theory.types import Floats
from tests.benches.peers.enumerate_law import Choose, exact_law
from tests.benches.peers.hierarchical_program import capped_hierarchical
from tests.benches.peers.peer_record import Case, Law, Peer, point

__all__ = ["PEER"]

Model = tuple[list[float], list[list[float]]]  # law of the first token, laws of the next after each

_DRAFT: Model = ([0.7, 0.3], [[0.4, 0.6], [0.2, 0.8]])
_TARGET: Model = ([0.4, 0.6], [[0.7, 0.3], [0.5, 0.5]])
_ENDING: Model = ([0.4, 0.4, 0.2], [[0.5, 0.2, 0.3], [0.3, 0.5, 0.2], [1.0, 0.0, 0.0]])
_ENDING_DRAFT: Model = ([0.3, 0.3, 0.4], [[0.2, 0.5, 0.3], [0.4, 0.5, 0.1], [1.0, 0.0, 0.0]])
_LOSSLESS = "speculative decoding for accelerating LLM inference without changing the output distribution"
_README = "README, first sentence"
_SHORT = (
    "`compute_capped_prefix_ratio` and `compute_capped_branch_divergences` count tokens (`ratios[t-1]`, `range(t)`), "
    "while `capped_hsd_step` passes them the index of the last one: `gamma - 1`, `tau`, `tau`. With `gamma`, "
    "`tau + 1`, `tau + 1` its law is the target's exactly (enumerated: `tests/benches/peers/hierarchical_program.py`). "
    "At gamma = 1 nothing shows; the default is 5."
)


def _cooled(law: Sequence[float], temperature: float) -> Floats:
    """p^{1/T}, normalized; at 0 the largest."""
    if temperature == 0.0:
        return np.asarray(np.arange(len(law)) == int(np.argmax(law)), dtype=np.float64)
    power = np.asarray(law) ** (1.0 / temperature)
    return np.asarray(power / power.sum())


def _next(model: Model, prefix: str, temperature: float = 1.0) -> Floats:
    first, after = model
    return _cooled(after[int(prefix[-1])] if prefix else first, temperature)


def _strings(tokens: int) -> tuple[str, ...]:
    return tuple("".join(word) for word in product("01", repeat=tokens))


def _law(model: Model, tokens: int, temperature: float = 1.0) -> Law:
    """Of the first `tokens` tokens."""
    words = _strings(tokens)
    return lambda: np.array(
        [np.prod([_next(model, word[:t], temperature)[int(word[t])] for t in range(tokens)]) for word in words]
    )


def _speculative(choose: Choose, gamma: int, tokens: int, residual: str = "positive", scan: str = "first") -> str:
    """Standard speculative decoding with one part changed: residual "missing": replaced from p; scan "none": nothing is
    rejected."""
    text = ""
    while len(text) < tokens:
        text = _round(choose, text, gamma, residual, scan)
    return text[:tokens]


def _round(choose: Choose, text: str, gamma: int, residual: str = "positive", scan: str = "first") -> str:
    draft = text
    for _ in range(gamma):
        draft += str(choose(_next(_DRAFT, draft)))
    for t in range(len(text), len(draft)):
        p, q, y = _next(_TARGET, draft[:t]), _next(_DRAFT, draft[:t]), int(draft[t])
        accept = min(1.0, p[y] / q[y]) if scan == "first" else 1.0
        if choose([1.0 - accept, accept]) == 0:
            rest = np.maximum(p - q, 0.0) if residual == "positive" else p
            return draft[:t] + str(choose(rest / rest.sum()))
    return draft + str(choose(_next(_TARGET, draft)))


def _changed(gamma: int, tokens: int, **changes: str) -> Law:
    words = _strings(tokens)
    return lambda: exact_law(lambda choose: words.index(_speculative(choose, gamma, tokens, **changes)), len(words))


def _hierarchical(gamma: int, tokens: int, index: int) -> Law:
    """The package's capped method, exactly: as it stands (index 0), and with one token more in three calls (1)."""
    words = _strings(tokens)
    draft, target = (lambda text: _next(_DRAFT, text)), (lambda text: _next(_TARGET, text))
    return lambda: exact_law(
        lambda choose: words.index(capped_hierarchical(choose, draft, target, gamma, tokens, index)), len(words)
    )


def _case(method: str, gamma: int, tokens: int = 3, **changes: Any) -> Case:
    settings = {"draft": _DRAFT, "target": _TARGET, "outcomes": _strings(tokens), "method": method, "tokens": tokens}
    options = {"gamma": gamma, "draft_temperature": 1.0, "target_temperature": 1.0}
    return Case(
        f"{method}_{gamma}",
        "generate",
        settings | options,
        _LOSSLESS,
        _README,
        _strings(tokens),
        _law(_TARGET, tokens),
        {
            "all_accepted": ("everything drafted is accepted", _changed(gamma, tokens, scan="none")),
            "residual_missing": (
                "a rejected draft is replaced from p, not from (p − q)₊",
                _changed(gamma, tokens, residual="missing"),
            ),
            "draft_alone": ("the draft's law", _law(_DRAFT, tokens)),
        }
        | (
            {"index_short": ("ratios and branches of one token fewer", _hierarchical(gamma, tokens, 0))}
            if method == "capped_hsd" and gamma > 1
            else {}
        ),
        **changes,
    )


def _tempered(id: str, method: str, draft: float, target: float, **options: object) -> Case:
    tokens = 3
    settings = {"draft": _DRAFT, "target": _TARGET, "outcomes": _strings(tokens), "method": method, "tokens": tokens}
    chosen = {"draft_temperature": draft, "target_temperature": target}
    if method == "baseline":
        chosen = {"target_temperature": target}
    return Case(
        id,
        "generate",
        settings | chosen | options,
        "target_temperature: Temperature for target model",
        "docstring of speculative_generate",
        _strings(tokens),
        _law(_TARGET, tokens, target),
        {"temperature_one": ("the target at temperature 1", _law(_TARGET, tokens))} if target != 1.0 else {},
    )


def _overshot() -> Floats:
    """How many tokens stand at the end of the round that reaches two, at gamma = 4."""

    def program(choose: Choose) -> int:
        text = ""
        while len(text) < 2:
            text = _round(choose, text, 4)
        return len(text) - 1

    return exact_law(program, 7)


_ENDED = ("", *(w for n in (1, 2) for w in _strings(n)))
_CASES = (
    _tempered("baseline", "baseline", 1.0, 1.0),
    *(_case("standard", gamma) for gamma in (1, 2, 3)),
    *(_case("naive_hsd", gamma) for gamma in (1, 2, 3)),
    _case("capped_hsd", 1),
    _case("capped_hsd", 2, remark=_SHORT, script="seqspecdecod_capped_hsd.py"),
    _case("capped_hsd", 3, remark=_SHORT, script="seqspecdecod_capped_hsd.py"),
    _tempered("standard_cold", "standard", 1.0, 0.6, gamma=2),
    _tempered("standard_cold_draft", "standard", 0.6, 1.0, gamma=2),
    _tempered("standard_greedy", "standard", 1.0, 0.0, gamma=2),
    _tempered("standard_greedy_draft", "standard", 0.0, 1.0, gamma=2),
    Case(
        "standard_end",
        "generate",
        {"draft": _ENDING_DRAFT, "target": _ENDING, "outcomes": _ENDED, "method": "standard", "tokens": 2, "eos": 2}
        | {"gamma": 3, "draft_temperature": 1.0, "target_temperature": 1.0},
        _LOSSLESS,
        _README + "; the third token ends the text",
        _ENDED,
        lambda: np.array(
            [
                np.prod([_next(_ENDING, w[:t])[int(w[t])] for t in range(len(w))])
                * (1.0 if len(w) == 2 else _next(_ENDING, w)[2])
                for w in _ENDED
            ]
        ),
        {},
    ),
    Case(
        "max_new_tokens",
        "generate",
        {"draft": _DRAFT, "target": _TARGET, "outcomes": tuple("1234567"), "method": "standard", "tokens": 2}
        | {"gamma": 4, "counted": True, "draft_temperature": 1.0, "target_temperature": 1.0},
        "max_new_tokens: Maximum number of tokens to generate",
        "docstring of speculative_generate (set to 2, with gamma = 4)",
        tuple("1234567"),
        point(1, 7),
        {"rounds_whole": ("the last round is kept whole", _overshot)},
        draws=500,
        remark="A round adds up to gamma + 1 tokens and the text is not cut afterwards.",
        script="seqspecdecod_max_new_tokens.py",
    ),
)

PEER = Peer(
    "seqspecdecod",
    "sequential-speculative-decoding",
    "0.1.1",
    "https://github.com/Yijin-Zeng/Sequential-Speculative-Decoding",
    _CASES,
    "Two models that are tables, after a prompt of one token.",
)
