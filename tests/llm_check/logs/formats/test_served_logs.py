"""What a server answered, imported: draws of the draft joined by token ids with the base's scorings of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_check
from llm_check.logs.formats.field_maps import parse_maps
from llm_check.logs.formats.log_import import ImportChoices, import_log
from llm_check.models.engines.token_engine import SampleRequest, ScoreRequest
from llm_check.models.engines.vllm_answers import sample_body, score_body
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.engines.fake_vllm import FakeVllm


def test_draws_and_their_scorings_are_a_pool(tmp_path: Path) -> None:
    draft, base = (FakeVllm(checkpoint_path(name), name) for name in ("draft", "base"))
    drawn, scored = [], []
    for seed, prompt in enumerate(((3, 4, 5), (6, 7), (3, 4))):
        request = SampleRequest(prompt, 8, 100 * seed, 5, (2,), "test")
        answer = json.loads(draft("POST", "/v1/completions", sample_body("draft", request))[1])
        drawn.append(answer | {"id": f"q{seed}", "scores": [k / 8 for k in range(8)]})
        scorings = [ScoreRequest(prompt, tuple(choice["token_ids"]), "test") for choice in answer["choices"]]
        scored.append(json.loads(base("POST", "/v1/completions", score_body("base", scorings))[1]) | {"id": f"s{seed}"})
    files = [tmp_path / "draft.jsonl", tmp_path / "base.jsonl"]
    for path, answers in zip(files, (drawn, scored), strict=True):
        path.write_text("".join(json.dumps(answer) + "\n" for answer in answers))

    choices = ImportChoices("vllm", tuple(parse_maps(["reward=scores.@i"])), facts={"temperature": 1.0})
    log = import_log(files[::-1], tmp_path / "pool.parquet", choices)  # in any order
    assert (log.models, log.prompts, log.draws) == (2, 3, 24)
    assert (log.facts["model"], log.facts["base_model"]) == (["base", "draft"], "base")
    pool = llm_check.read_pool(tmp_path / "pool.parquet")
    for answer, scores in zip(drawn, scored, strict=True):
        rows = [
            pool.column(answer["id"], 0, "draft", name) for name in ("logp_draft", "logp_base", "reward", "token_ids")
        ]
        for k, (own, other, reward, ids) in enumerate(zip(*rows, strict=True)):
            assert ids == answer["choices"][k]["token_ids"] and reward == k / 8
            assert own == pytest.approx(sum(answer["choices"][k]["logprobs"]["token_logprobs"]), abs=1e-12)
            entries = scores["choices"][k]["prompt_logprobs"][-len(ids) :]
            assert other == pytest.approx(sum(entry[str(t)]["logprob"] for t, entry in zip(ids, entries, strict=True)))
    record = llm_check.doctor(pool).record()
    assert record["valid"] and abs(record["ratio_mean"] - 1) < 5 * record["ratio_mean_se"]
