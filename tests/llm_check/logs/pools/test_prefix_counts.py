"""Draws at shared prefixes, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.prefix_counts import step_draws, token_draws

# position, source, tokens, and their log-probabilities under the draft
ROWS = (
    ("a", "draft", [5, 7], [-0.5, -1.0]),
    ("a", "draft", [5, 8], [-0.7, -2.0]),
    ("a", "draft", [9], [-1.5]),
    ("a", "draft", [5, 7, 6], [-0.6, -1.0, -0.1]),
    ("a", "base", [9], [-1.5]),
    ("b", "draft", [5, 7], [-0.5, -1.0]),
    ("b", "base", [5, 7], [-0.5, -1.0]),
)


def pool():
    ids, sources, tokens, logp = (list(column) for column in zip(*ROWS, strict=True))
    count = len(ROWS)
    whole = [float(sum(values)) for values in logp]
    return pool_from_columns(
        {
            "prompt_id": ids,
            "step": [0] * count,
            "source": sources,
            "candidate": [0, 1, 2, 3, 0, 0, 0],
            "logp_draft": whole,
            "logp_base": [2.0 * value for value in whole],
            "reward": [0.5] * count,
            "token_ids": tokens,
            "token_logp_draft": logp,
            "token_logp_base": [[2.0 * value for value in values] for values in logp],
        }
    )


def test_tokens_are_counted_at_prefixes_that_several_share() -> None:
    """At the start of "a" 5 5 9 5, after 5 there 7 8 7; after 5 7 one went on, and "b" has one draft."""
    draws = token_draws(pool().arrays, "draft", "draft")
    assert draws is not None and draws.level == "token"
    assert [np.flatnonzero(draws.node == node).tolist() for node in np.unique(draws.node)] == [[0, 1, 2, 3], [4, 5, 6]]
    same = draws.kind[:, None] == draws.kind
    assert same.sum(axis=1).tolist() == [3, 3, 1, 3, 2, 1, 2] and same[0, 3] and same[4, 6] and not same[0, 4]
    assert draws.earlier.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert draws.seen_before.tolist() == [0, 1, 0, 2, 0, 0, 1]
    assert draws.first.tolist() == [True, False, True, False, True, True, False]
    assert draws.logp == pytest.approx([-0.6, -0.6, -1.5, -0.6, -1.0, -2.0, -1.0], abs=1e-12)
    assert draws.repeats == 3 and draws.spread == pytest.approx(np.sqrt(0.02 / 3))  # ±0.1 of three, of two none
    other = token_draws(pool().arrays, "draft", "base")
    assert other is not None and other.logp == pytest.approx(2.0 * draws.logp)
    assert token_draws(pool().arrays, "base", "draft") is None  # each position has one


def test_whole_nodes_are_chosen() -> None:
    draws = token_draws(pool().arrays, "draft", "draft")
    assert draws is not None
    later = draws.at(draws.node == draws.node[-1])
    assert later is not None and later.kind.tolist() == [0, 1, 0] and later.repeats == 1
    assert later.logp.tolist() == [-1.0, -2.0, -1.0] and later.earlier.tolist() == [0, 1, 2]
    assert draws.at(np.zeros(draws.node.size, dtype=bool)) is None


def test_steps_are_counted_at_their_position() -> None:
    draws = step_draws(pool().arrays, "draft", "draft")
    assert draws.level == "step" and draws.node.size == 4 and draws.repeats == 0 and draws.spread == 0.0
    assert draws.earlier.tolist() == [0, 1, 2, 3] and draws.first.all()


def test_a_position_of_two_draws_is_counted() -> None:
    """At the position, and after their first token."""
    columns = {
        "prompt_id": ["a"] * 2, "step": [0] * 2, "source": ["draft"] * 2, "candidate": [0, 1], "reward": [0.5] * 2,
        "logp_draft": [-1.5, -1.7], "logp_base": [-1.5, -1.7], "token_ids": [[5, 7], [5, 7]],
        "token_logp_draft": [[-0.5, -1.0], [-0.7, -1.0]], "token_logp_base": [[-0.5, -1.0], [-0.7, -1.0]],
    }  # fmt: skip
    arrays = pool_from_columns(columns).arrays
    steps, tokens = step_draws(arrays, "draft", "draft"), token_draws(arrays, "draft", "draft")
    assert steps.node.size == 2 and steps.repeats == 1 and steps.spread == pytest.approx(np.sqrt(0.02))
    assert tokens is not None and tokens.node.size == 4 and tokens.repeats == 2
