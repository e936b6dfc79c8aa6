"""Pairs of papers by name: their sizes, what is said where a model is missing, and a whole run on small checkpoints of
the same classes in a hub's cache."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.models.engines.hub_snapshot import hub_folder
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.model_pairs import PAIRS
from tests.llm_check.models.rewards.small_checkpoints import build_tokenizer, save_qwen_prm, small_config

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# config.json of the models: what their parameters are counted from
CONFIGS = {
    "Qwen/Qwen2.5-Math-1.5B-Instruct": Qwen2Config(
        hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
        vocab_size=151_936, tie_word_embeddings=True,
    ),
    "Qwen/Qwen2.5-Math-7B-Instruct": Qwen2Config(
        hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
        vocab_size=152_064, tie_word_embeddings=False,
    ),
    "Qwen/Qwen3-1.7B": Qwen3Config(
        hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
        head_dim=128, vocab_size=151_936, tie_word_embeddings=True,
    ),
    "Qwen/Qwen3-14B": Qwen3Config(
        hidden_size=5120, intermediate_size=17_408, num_hidden_layers=40, num_attention_heads=40, num_key_value_heads=8,
        head_dim=128, vocab_size=151_936, tie_word_embeddings=False,
    ),
}  # fmt: skip
SMALL = {"gsi-qwen2.5": Qwen2ForCausalLM, "gsi-qwen3": Qwen3ForCausalLM}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_parameters_are_those_of_the_architectures(pair) -> None:
    for model in (pair.draft, pair.base):
        config = CONFIGS[model.name]
        with torch.device("meta"):
            counted = AutoModelForCausalLM.from_config(config).num_parameters()
        assert model.sizes.parameters == pytest.approx(counted, rel=5e-3)
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        assert model.sizes.cache_bytes == 4 * config.num_hidden_layers * config.num_key_value_heads * width
    # the 7B decoder without its vocabulary's head, and two layers
    base = CONFIGS["Qwen/Qwen2.5-Math-7B-Instruct"]
    with torch.device("meta"):
        body = AutoModelForCausalLM.from_config(base).base_model.num_parameters()
    assert pair.reward.sizes.parameters == pytest.approx(body + 3584**2 + 3 * 3584 + 2, rel=5e-3)
    assert pair.weight_bytes() == 2 * sum(m.sizes.parameters for m in (pair.draft, pair.base, pair.reward))
    assert pair.weight_bytes("float32") == 2 * pair.weight_bytes()
    assert pair.cache_bytes(4) - pair.cache_bytes(3) == 512 * sum(
        m.sizes.cache_bytes for m in (pair.draft, pair.base, pair.reward)
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def snapshot(hub: Path, name: str) -> Path:
    """Where the cache keeps a model; the caller writes it."""
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots").mkdir()
    return folder / "snapshots" / COMMIT


def small_pair(hub: Path, pair: str) -> None:
    """Random weights of the classes of `pair`; the base with more logits than its tokenizer has tokens, as the 7B."""
    for seed, (model, size) in enumerate(((PAIRS[pair].draft, 267), (PAIRS[pair].base, 272))):
        torch.manual_seed(seed)
        config = small_config(vocab_size=size, tie_word_embeddings=seed == 0, max_position_embeddings=256)
        if SMALL[pair] is Qwen3ForCausalLM:
            config = Qwen3Config(**{k: v for k, v in config.to_dict().items() if k != "model_type"}, head_dim=16)
        place = snapshot(hub, model.name)
        made = SMALL[pair](config)
        with torch.no_grad():  # what no token stands for has no weights, and next to no chance
            made.lm_head.weight[267:] = 0.0
            made.lm_head.weight *= 8.0
        made.save_pretrained(place)
        build_tokenizer().save_pretrained(place)
    place, _ = save_qwen_prm(snapshot(hub, PAIRS[pair].reward.name))
    # random bytes of random policies are more tokens once they are text
    described = json.loads((place / "config.json").read_text()) | {"max_position_embeddings": 1024}
    (place / "config.json").write_text(json.dumps(described))


@pytest.mark.parametrize("pair", PAIRS)
def test_the_experiment_is_one_command(
    pair: str, hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    small_pair(hub, pair)
    rows = [{"problem": f"What is {i} + {i}?", "answer": str(2 * i), "unique_id": f"p{i}"} for i in range(2)]
    task, out = tmp_path / "math.jsonl", tmp_path / "out.json"
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ["decode", "--pair", pair, "--task", f"math500:{task}", "--method", "paper", "--n", "1", "--n", "2,3"]
    with pytest.raises(SystemExit) as ended:
        main([*line, "--max-tokens", "6", "--step", "tokens:6", "--dtype", "float32", "--out", str(out)])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    record = json.loads(out.read_text())
    used = record["settings"]
    assert (used["beta"], used["threshold"], used["temperature"], used["n"]) == (20.0, 0.5, 0.7, [1, 2, 3])
    # given on the command line, they win
    assert (used["max_tokens"], used["step"], used["dtype"], used["batch"]) == (6, "tokens:6", "float32", 1)
    cells = [(row["method"], row["n"]) for row in record["methods"]]
    fixed, growing = ("rsd", "draft", "base"), ("gsi", "soft_bon_draft", "soft_bon_base")
    assert sorted(cells) == sorted([(m, 1) for m in fixed] + [(m, n) for m in growing for n in (1, 2, 3)])
    contracts = record["provenance"]["contracts"]
    assert {c["sampling_temperature"] for c in contracts.values()} == {0.7}
    assert {c["revision"] for c in contracts.values()} == {COMMIT}
    assert record["provenance"]["reward"]["architecture"] == "Qwen2ForProcessRewardModel"
    heads = " ".join(line for line in said.out.splitlines() if line.startswith("method"))
    assert all(name in heads for name in (" n ", "accuracy (95 %)", "accepted", "s/step"))
    lines = re.findall(r"^gsi +(\d) .* ([\d.e-]+) *$", said.out, re.MULTILINE)[3:]  # results, then costs
    assert [int(n) for n, _ in lines] == [1, 2, 3] and all(float(seconds) > 0 for _, seconds in lines)
    assert "seconds" not in json.dumps(record["methods"])  # the record's bytes do not depend on the clock
    assert {pair["n"] for pair in record["differences"]} == {1, 2, 3}


def test_missing_models_are_named_in_one_line(hub: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_qwen_prm(snapshot(hub, "Qwen/Qwen2.5-Math-PRM-7B"))
    pool = tmp_path / "pool.parquet"
    for command in (["decode"], ["pool", str(pool)], ["check", "lm_law"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--pair", "gsi-qwen2.5", "--draft", "/somewhere"])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1
        # what is given or there is not missing
        assert "lacks Qwen/Qwen2.5-Math-7B-Instruct (base): " in said and "--base FOLDER;" in said
        assert "hf download" in said and "32.5 GB for weights in bfloat16" in said
    assert not pool.exists()


def test_names_of_the_hub(hub: Path) -> None:
    for name in ("Qwen", "a/b/c", "a/b@", "../../etc"):
        with pytest.raises(InputError, match="names no model of the hub: write hub:OWNER/NAME"):
            hub_folder(f"hub:{name}")
    with pytest.raises(InputError, match="hf download a/b --revision v1; or give its folder"):
        load_engine("hub:a/b@v1")
    small_pair(hub, "gsi-qwen2.5")
    assert hub_folder("hub:Qwen/Qwen2.5-Math-7B-Instruct").name == COMMIT
    assert load_engine("hub:Qwen/Qwen2.5-Math-7B-Instruct").contract.revision == COMMIT


def test_a_pair_that_no_table_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["decode", "--pair", "gsi-qwen"])
    assert "no pair 'gsi-qwen' (did you mean 'gsi-qwen3'" in capsys.readouterr().err
