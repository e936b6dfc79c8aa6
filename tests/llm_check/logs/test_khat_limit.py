"""One limit of the Pareto shape for doctor, planner and reach: that of as many weights as the shape was fitted to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gsi_theory.samples.pool_limits import khat_limit, tail_seen
from llm_check.logs.planner.goal import unseen_effect
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.tail import Tail, tail_of, tail_shown
from llm_check.logs.pools.evidence import RatioTail, examine
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.pools.position_arrays import blocks

FITTED = (100, 200, 640, 2000, 2154, 2155, 10**5)
PLAIN = Tail(2.0, 0.0, (40.0, 900.0), 50.0, 0.01, (64.0, 64.0), 1.0, 64, 64)


def log_pool(prompts: int, n: int) -> Pool:
    """Normal log-ratios, n drafts and n base candidates a prompt."""
    rng = np.random.default_rng(5)
    columns: dict[str, list[Any]] = {"prompt_id": [], "source": [], "candidate": []}
    for p in range(prompts):
        for source in ("draft", "base"):
            columns["prompt_id"] += [f"p{p}"] * n
            columns["source"] += [source] * n
            columns["candidate"] += range(n)
    rows = len(columns["candidate"])
    draft = -10.0 + rng.normal(size=rows)
    columns |= {"step": [0] * rows, "logp_draft": draft.tolist(), "logp_base": (draft + rng.normal(size=rows)).tolist()}
    return pool_from_columns(columns | {"reward": rng.random(rows).tolist(), "n_tokens": [5] * rows})


@pytest.mark.parametrize("fitted", FITTED)
def test_the_limit_is_that_of_vehtari_for_as_many_weights(fitted: int) -> None:
    """10^{1/(1−k)} weights are needed at shape k, and none are enough beyond 0.7."""
    limit = khat_limit(fitted)
    assert limit == 0.7 if fitted >= 2155 else 10.0 ** (1.0 / (1.0 - limit)) == pytest.approx(fitted)
    (rule,) = [r for r in FINDINGS if r.id == "heavy_tail"]
    for khat, heavy in ((limit + 1e-9, True), (limit - 1e-9, False)):
        tail = replace(PLAIN, khat=khat, fitted=fitted)
        assert tail.heavy == heavy and tail_shown(tail) != heavy
        options = [Option("softmax", "none", n, n, 2.0, None) for n in (4, 8)]
        table = SimpleNamespace(options=options, tails={2.0: tail}, drafts=640)
        effect, _ = unseen_effect(table, np.full(2, 0.5), np.array([0]), 1, (0.0, 1.0))  # type: ignore[arg-type]
        assert (effect[0] > 0.0) == heavy
        ratios = RatioTail(khat, fitted, top=0.5, ess=float(fitted), beyond=None)
        evidence = rule.evidence(SimpleNamespace(tail=ratios))  # type: ignore[arg-type]
        assert (evidence is not None) == heavy and (not heavy or evidence["limit"] == limit)  # type: ignore[index]
        seen = tail_seen(np.zeros(fitted), khat, 1.0)
        assert seen.speaks != heavy and f"limit {limit:.2g} for {fitted} drafts" in seen.evidence


def test_what_is_said_of_all_positions_counts_their_weights_together() -> None:
    pool = log_pool(12, 25)
    arrays = pool.arrays
    assert tail_of(arrays, blocks(arrays), 2.0).fitted == 12 * 25
    tail = examine(pool).tail
    assert tail is not None and tail.drafts == 12 * 25
