"""Counts agree with their nouns."""

from __future__ import annotations

import pytest

from gsi_theory.runs.words import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 prompts"), (1, "1 prompt"), (2, "2 prompts"), (2000, "2,000 prompts")]
)
def test_a_noun_follows_its_count(count: int, said: str) -> None:
    assert counted(count, "prompt") == said
