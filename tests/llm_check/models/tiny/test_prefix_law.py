"""Prefixes of a pool of the embedded pair (M44) against the enumerated law of the shorter step, to the last digits."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.prefixes import length_rows, pool_at_length
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.tiny.enumeration import enumerate_steps, score_trie
from llm_check.models.world import load_world, transformers_pair
from tests.plants.engine_faults import engine_columns
from tests.plants.pool_faults import Sampling


def test_prefixes_have_the_enumerated_law_of_their_length() -> None:
    world = load_world()
    draft, base = transformers_pair(world)
    columns, places = engine_columns(world, 5, 4, 400, Sampling(), Sampling())
    pool = pool_from_columns(columns)
    rule = world.rule
    for length in (1, 2, 3):
        kls, variance = [], 0.0
        short = StepRule(rule.step_end_ids, rule.eos_ids, length)
        prefix = pool_at_length(pool, length)
        for place in places:
            trie = enumerate_steps(draft, list(place.prefix), short)
            ratio = score_trie(base, list(place.prefix), trie) - trie.logp
            rows = prefix.rows(place.prompt_id, place.step, "draft")
            ids = prefix.table["token_ids"].take(rows).to_pylist()
            tokens = np.array([row + [-1] * (length - len(row)) for row in ids], dtype=np.int32)
            leaves = trie.locate(tokens)
            assert (leaves >= 0).all()
            logged = prefix.draft_candidates(place.prompt_id, place.step).log_ratio
            np.testing.assert_allclose(logged, ratio[leaves], rtol=0, atol=1e-4)
            mass = np.exp(trie.logp)
            kls.append(float(-mass @ ratio))
            variance += float(mass @ (ratio + kls[-1]) ** 2) / rows.size
        (row,) = length_rows(pool, [5.0], [length])
        assert row["kl"] == pytest.approx(np.mean(kls), abs=4.5 * np.sqrt(variance) / len(places))
