"""`lm_study` and what it rests on, on the real pair, marked `real`: a small run holds its bars, first tokens follow the
law, and prefixes of long steps are short steps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gsi_theory.runs.artifact import read_artifact
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.significance import holm
from llm_check.models.command_check import check
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.world import World, load_world
from tests.benches.prefix_lengths import BAR, LENGTHS, compared

pytestmark = pytest.mark.real


PROBLEMS = 10


@lru_cache(maxsize=1)
def world() -> World:
    return load_world(**CHECKS["lm_study"].options | {"limit": PROBLEMS})


def test_a_small_study_holds_its_bars(tmp_path: Path) -> None:
    settings = {"drafts": "smollm2:weak,smollm2:strong", "problems": str(PROBLEMS), "ns": "1,2,4,8"}
    settings |= {"candidates": "16", "fresh": "16"}
    artifact = read_artifact(check("lm_study", world(), 0, tmp_path, settings))
    summary = artifact.summary
    assert summary["passed"], "predictions and fresh draws have one mean, after Holm's correction"
    assert abs(summary["z_variance"] - 1.0) <= 3.0 * summary["z_variance_se"], summary
    supports = artifact.tables["supports"]
    # Ten problems do not say on every processor whether the weak draft's weights may be used: its median of effective
    # drafts lies at the bar. What it may be used for, the strong draft may; and a refusal has its reason.
    usable: dict[str, set[object]] = {"weak": set(), "strong": set()}
    rows = zip(*(supports[name] for name in ("draft", "tokens", "beta", "n", "usable", "reason")), strict=True)
    for draft, tokens, beta, n, is_usable, reason in rows:
        assert is_usable == (reason == "")
        usable[draft] |= {(tokens, beta, n)} if is_usable else set()
    assert usable["weak"] <= usable["strong"] and usable["strong"]
    lengths = artifact.tables["lengths"]
    kl = {
        (pool, tokens): value
        for pool, tokens, value in zip(lengths["pool"], lengths["tokens"], lengths["kl"], strict=True)
    }
    assert kl["weak", 8] > 3.0 * kl["strong", 8] > 0.0


def test_first_tokens_follow_the_law(draws: int = 5000) -> None:
    base = world().base
    rule = parse_step_rule("tokens:1", base.tokenizer, 1)
    p = []
    for prompt in world().prompts()[:4]:
        cache = base.prefill([prompt.ids])
        law = np.exp(base.log_probs(cache)[0])
        stream = [PositionStream(7, prompt.prompt_id, 0, 1)]
        tokens = base.sample(cache, draws, stream, rule).tokens[0, :, 0]
        counts = np.bincount(tokens, minlength=law.size)
        alone = law * draws >= 5.0  # the likely ones; the others together
        seen, expected = np.append(counts[alone], counts[~alone].sum()), np.append(law[alone], law[~alone].sum())
        p.append(stats.chisquare(seen, expected / expected.sum() * draws).pvalue)
    assert holm(np.array(p)).min() > 0.001, p


def test_prefixes_of_long_steps_are_short_steps(tmp_path: Path) -> None:
    rows = list(compared("medium", PROBLEMS, 32, tmp_path))
    assert {(row.tokens, row.name) for row in rows} >= {(t, name) for t in LENGTHS for name in ("kl", "median")}
    assert holm(np.array([row.p for row in rows])).min() > BAR, rows
