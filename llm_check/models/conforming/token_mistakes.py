"""What engines draw instead of a model's own law, each with its law of the next token.

A record holds a name, words, and `log_law`: a `TokenNode` -> log-probabilities (V,) of the token that would be drawn,
None where there is nothing to go wrong with. M22 is the law of speculative sampling, which `no_residual` misses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.errors import Named
from gsi_theory.types import Floats
from llm_check.models.conforming.token_nodes import TokenNode

__all__ = ["COPIES", "TOKEN_MISTAKES", "TokenMistake"]


@dataclass(frozen=True)
class TokenMistake:
    """id; words: what is done; log_law: as in the module's text."""

    id: str
    words: str
    log_law: Callable[[TokenNode], Floats | None]


def _kept(node: TokenNode, kept: np.ndarray) -> Floats:
    return normalize(np.where(kept, node.log_law, -np.inf))


def _temperature(times: float) -> TokenMistake:
    return TokenMistake(
        f"temperature_{times:g}",
        f"the temperature is {times:g} times the stated one",
        lambda node: normalize(node.log_law / times),
    )


def _top_k(k: int) -> TokenMistake:
    return TokenMistake(
        f"top_k_{k}", f"only the {k} likeliest tokens are drawn", lambda node: _kept(node, node.rank < k)
    )


def _top_p(p: float) -> TokenMistake:
    words = f"only the likeliest tokens up to a mass of {p:g} are drawn"
    return TokenMistake(f"top_p_{p:g}", words, lambda node: _kept(node, node.above < p))


def _min_p(p: float) -> TokenMistake:
    def law(node: TokenNode) -> Floats:
        return _kept(node, node.log_law >= node.log_law.max() + np.log(p))

    return TokenMistake(f"min_p_{p:g}", f"only tokens of {p:g} times the likeliest or more are drawn", law)


def _endless(node: TokenNode) -> Floats | None:
    kept = ~np.isin(np.arange(node.log_law.size), list(node.ends))
    return _kept(node, kept) if kept.any() else None


def _no_residual(node: TokenNode) -> Floats | None:
    if "assistant" not in node.others:
        return None
    both = np.minimum(node.log_law, node.others["assistant"])
    refused = np.log(max(1.0 - float(np.exp(both).sum()), 1e-300))
    return np.logaddexp(both, refused + node.log_law)


def _other(name: str, words: str) -> TokenMistake:
    return TokenMistake(name, words, lambda node: node.others.get(name))


TOKEN_MISTAKES: dict[str, TokenMistake] = Named(
    "mistake",
    {
        each.id: each
        for each in (
            TokenMistake("greedy", "the likeliest token is taken", lambda node: _kept(node, node.rank < 1)),
            *map(_temperature, (0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)),
            *map(_top_k, (5, 20, 40, 50)),
            *map(_top_p, (0.8, 0.9, 0.95)),
            *map(_min_p, (0.05, 0.1)),
            TokenMistake("endless", "the token that ends a completion is never drawn", _endless),
            _other("assistant", "tokens of the assistant are kept as they are"),
            TokenMistake("no_residual", "after a refusal the model's own law is drawn, not the residual", _no_residual),
            _other("prompt_without_first", "the first token of the prompt is missing"),
            _other("prompt_first_twice", "the first token of the prompt stands twice"),
            _other("prompt_without_last", "the last token of the prompt is missing"),
        )
    },
)
# Told by the completions and not by the law of a token: half of them copies of an earlier one.
COPIES = {
    "copies_neighbor": "completions repeat the one before them",
    "copies_call": "a call repeats the call before it on that prompt (its seed does not change)",
}
