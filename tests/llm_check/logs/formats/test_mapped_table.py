"""Logs by maps: names, units, places, lists and counts; what is missing, and bad lines named."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.logs.formats.field_maps import parse_maps
from llm_check.logs.formats.log_import import ImportChoices, import_log
from llm_check.logs.log import Log
from llm_check.logs.pools.pool import read_pool

MAPS = [
    "prompt_id=problem.id",
    "step=@0",
    "source=model:small=draft,large=base",
    "n_tokens=len",
    "logp_draft=small.mean_nll:negative,mean",
    "logp_base=large:log10",
    "reward=score",
    "sampling_temperature=@1.0",
    "text=out",
]
LIMITS = (0.0, 1.0)


def log(path: Path, changes: dict[int, dict[str, Any]] | None = None) -> Path:
    rows = []
    for i in range(8):
        row = {
            "problem": {"id": f"q{i // 4}"}, "model": "small" if i % 4 < 2 else "large", "len": i + 1,
            "small": {"mean_nll": 0.5}, "large": -1.0 - i, "score": 0.125 * i, "out": f"answer {i}", "extra": [1],
        }  # fmt: skip
        rows.append(row | (changes or {}).get(i, {}))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def by_maps(path: Path, out: Path, maps: list[str], **choices: Any) -> Log:
    return import_log(path, out, ImportChoices(maps=tuple(parse_maps(maps)), **choices))


def objects(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_names_units_and_values_are_mapped(tmp_path: Path) -> None:
    by_maps(log(tmp_path / "log.jsonl"), tmp_path / "p.parquet", MAPS, reward_range=LIMITS)
    pool = read_pool(tmp_path / "p.parquet")
    assert pool.keys() == [("q0", 0), ("q1", 0)]
    assert pool.table["source"].to_pylist() == ["draft", "draft", "base", "base"] * 2
    assert pool.table["candidate"].to_pylist() == [0, 1] * 4
    np.testing.assert_allclose(pool.table["logp_draft"].to_numpy(), [-0.5 * (i + 1) for i in range(8)], rtol=1e-15)
    np.testing.assert_allclose(pool.table["logp_base"].to_numpy(), [(-1.0 - i) * math.log(10) for i in range(8)])
    assert pool.table["text"].to_pylist() == [f"answer {i}" for i in range(8)]
    assert set(pool.table["sampling_temperature"].to_pylist()) == {1.0}
    assert pool.metadata["reward"] == {"low": 0.0, "high": 1.0}
    assert "--map logp_draft=small.mean_nll:negative,mean" in pool.metadata["command"]
    assert str(tmp_path) not in json.dumps(pool.metadata)


def test_conversions(tmp_path: Path) -> None:
    changes: dict[int, dict[str, Any]] = {i: {"tokens": [-0.25, -0.5], "p": 0.25, "bits": -3.0} for i in range(8)}
    changes[0] |= {"p": 0, "tokens": [None, -0.5]}  # the base cannot draw it; the first token has no context
    path = log(tmp_path / "log.jsonl", changes)
    maps = [m for m in MAPS if not m.startswith("logp_")]
    made = by_maps(path, tmp_path / "p.parquet", [*maps, "logp_draft=tokens:sum", "logp_base=p:prob"])
    assert made.table["logp_draft"].to_pylist() == [-0.5] + [-0.75] * 7
    assert made.table["logp_base"].to_pylist() == [-math.inf] + [math.log(0.25)] * 7
    made = by_maps(path, tmp_path / "q.parquet", [*maps, "logp_draft=bits:log2", "logp_base=bits:log2"])
    np.testing.assert_allclose(made.table["logp_base"].to_numpy(), -3 * math.log(2))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "not a number": ({"large": "low"}, r'line 4, logp_base = "low": log10 does not take it'),
    "absent": ({"problem": {}}, r"line 4: no field 'problem\.id', correct the map of prompt_id"),
    "unknown model": ({"model": "medium"}, r'line 4, source = "medium": use one of draft, base'),
    "not finite": (
        {"score": math.nan},
        r"line 4, reward = null: 1 of 8 rows lack it; choose --missing drop-row, worst",
    ),
    "outside its range": ({"score": 2.0}, r"line 4, reward = 2\.0: outside the stated range \[0, 1\]"),
    "probability as log-probability": ({"large": 0.5}, r"line 4, logp_base = 1\.15.*at most 0"),
    "no number": ({"score": "good"}, r'line 4, reward = "good": write it as double'),
    "a sentinel": ({"large": -9999.0 / math.log(10.0)}, "line 4, logp_base = -9999.0: stands for -inf, but the model"),
    "no count": ({"len": 2.5}, r"line 4, n_tokens = 2.5: write it as int32"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_lines_are_named_or_left_out_with_their_prompt(tmp_path: Path, name: str) -> None:
    changes, message = BAD[name]
    path, out = log(tmp_path / "log.jsonl", {3: changes}), tmp_path / "p.parquet"
    with pytest.raises(InputError, match=message):
        by_maps(path, out, MAPS, reward_range=LIMITS)
    assert not out.exists()
    if name != "not finite":
        made = by_maps(path, out, MAPS, reward_range=LIMITS, skip_bad=True)
        # a line that does not say its prompt leaves out itself alone
        assert made.table["prompt_id"].to_pylist() == ["q0"] * 3 * (name == "absent") + ["q1"] * 4
        assert len(made.left_out) == 1 and made.metadata["left_out"]["rows"] == 1


def test_of_several_bad_lines_the_first_is_named(tmp_path: Path) -> None:
    path = log(tmp_path / "log.jsonl", {2: {"score": "good"}, 3: {"len": 2.5}, 5: {"large": "low"}})
    with pytest.raises(InputError, match=f'^{re.escape(str(path))}, line 3, reward = "good": write it as double'):
        by_maps(path, tmp_path / "p.parquet", MAPS, reward_range=LIMITS)


def test_bad_maps_are_refused() -> None:
    for text, message in (
        ("logp_small=x", "write FIELD=THEIRS"),
        ("reward", "write FIELD=THEIRS"),
        ("logp_base=x:ln", "conversion 'ln'"),
    ):
        with pytest.raises(InputError, match=message):
            parse_maps([text])
    with pytest.raises(InputError, match="reward is mapped twice"):
        parse_maps(["reward=a", "reward=b"])


ROWS = ({"p": 1, "r": [0.5, 0.25, None]}, {"p": 2, "r": [1.5, 2.0, "nan"]}, {"p": 3, "r": [0.75]})
CHOSEN = {
    "drop-row": [("1", 0.5), ("1", 0.25), ("2", 1.5), ("2", 2.0), ("3", 0.75)],
    "worst": [("1", 0.5), ("1", 0.25), ("1", 0.25), ("2", 1.5), ("2", 2.0), ("2", 0.25), ("3", 0.75)],
    "drop-prompt": [("3", 0.75)],
}


@pytest.mark.parametrize("choice", CHOSEN)
def test_missing_rewards_by_choice(choice: str, tmp_path: Path) -> None:
    path, maps = objects(tmp_path / "l.jsonl", *ROWS), ["prompt_id=p", "reward=r"]
    made = by_maps(path, tmp_path / "o.parquet", maps, explode=("r",), missing=choice)
    assert [*zip(made.table["prompt_id"].to_pylist(), made.table["reward"].to_pylist(), strict=True)] == CHOSEN[choice]
    assert made.metadata["missing"]["choice"] == choice and made.metadata["missing"]["reward"] == 2
    if choice == "worst":
        made = by_maps(path, tmp_path / "o.parquet", maps, explode=("r",), missing=choice, reward_range=(-1.0, 3.0))
        assert made.table["reward"].to_pylist().count(-1.0) == 2
    with pytest.raises(
        InputError, match=r"line 1, reward = null: 2 of 7 rows lack it; choose --missing drop-row, worst"
    ):
        by_maps(path, tmp_path / "o.parquet", maps, explode=("r",))


DEPENDENT = {
    "sorted by logp_draft": [[{"lp": -1.0 - k - p, "r": (k * 7 % 5) / 5} for k in range(6)] for p in range(3)],
    "sorted by reward": [[{"lp": -1.0 - (k * 5 % 7), "r": 9.0 - k} for k in range(12)]],
    "drawn until": [[{"ok": k == n - 1} for k in range(n)] for n in (1, 40, 9, 30, 4, 17, 25)],
    "drawn until a draw": [[{"ok": k in (n - 2, n - 3)} for k in range(n)] for n in (4, 40, 8, 32, 16, 20)],
}
INDEPENDENT = {
    "chance": [[{"lp": -1.0 - (k * 5 % 7), "r": (k * 3 % 11) / 11} for k in range(12)] for p in range(3)],
    "too few": [[{"lp": -1.0 - k} for k in range(3)]],
    "right ones first": [[{"r": float(k < 5)} for k in range(20)] for p in range(3)],
    "ragged": [[{"ok": k % 3 == 0} for k in range(n)] for n in (4, 40, 8, 32, 16, 20)],
}


@pytest.mark.parametrize("name", [*DEPENDENT, *INDEPENDENT])
def test_signs_of_dependence(name: str, tmp_path: Path) -> None:
    sets = DEPENDENT.get(name) or INDEPENDENT[name]
    path = objects(tmp_path / "l.jsonl", *({"p": p, **row} for p, rows in enumerate(sets) for row in rows))
    names = {"lp": "logp_draft", "r": "reward", "ok": "correct"}
    maps = ["prompt_id=p", *(f"{ours}={theirs}" for theirs, ours in names.items() if theirs in sets[0][0])]
    if name in INDEPENDENT:
        assert by_maps(path, tmp_path / "o.parquet", maps).facts["iid"] is None
        return
    with pytest.raises(InputError, match=f"{name}.*not independent draws.*--not-iid takes them, marked"):
        by_maps(path, tmp_path / "o.parquet", maps)
    made = by_maps(path, tmp_path / "o.parquet", maps, not_iid=True)
    assert made.facts["iid"] is False and name in made.facts["how"]
    assert by_maps(path, tmp_path / "o.parquet", maps, facts={"iid": True}).facts["iid"] is True


def test_files_of_every_layout_hold_the_same_rows(tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"p": p, "r": r / 8, "t": f"x,\n{r}"} for p in (1, 2) for r in (3, 1, 2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "c.json").write_text(lines)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    quoted = "".join(f'{row["p"]},{row["r"]},"{row["t"]}"\n' for row in rows)
    (tmp_path / "e.csv").write_text("\ufeffp,r,t\n" + quoted, encoding="utf-8")
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(f"p,r,t\n{quoted}".encode()))
    (tmp_path / "g.tsv").write_text("p\tr\tt\n" + quoted.replace(',"', '\t"').replace(",0", "\t0"))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "h.parquet")
    tables = [
        by_maps(path, tmp_path / "out.parquet", ["prompt_id=p", "reward=r", "text=t"]).table
        for path in sorted(tmp_path.glob("[a-h].*"))
    ]
    assert len(tables) == 8 and all(table.equals(tables[0]) for table in tables)


def test_several_files_are_one_log(tmp_path: Path) -> None:
    parts = [objects(tmp_path / f"{k}.jsonl", {"p": 1, "r": k}, {"p": k, "r": 9}) for k in (1, 2)]
    made = import_log(parts, tmp_path / "o.parquet", ImportChoices(maps=tuple(parse_maps(["prompt_id=p", "reward=r"]))))
    rows = [(row["prompt_id"], row["candidate"], row["reward"]) for row in made.table.to_pylist()]
    assert rows == [("1", 0, 1.0), ("1", 1, 9.0), ("1", 2, 2.0), ("2", 0, 9.0)]
    objects(parts[1], {"p": 1, "r": "bad"})
    with pytest.raises(InputError, match=r"2\.jsonl.*line 1, reward = \"bad\""):
        import_log(parts, tmp_path / "x.parquet", ImportChoices(maps=tuple(parse_maps(["prompt_id=p", "reward=r"]))))


def test_facts_are_checked_and_hold_no_credentials(tmp_path: Path) -> None:
    from llm_check.logs.formats.declared_facts import parse_facts

    facts = parse_facts(["temperature=0.7", "engine=https://user:secret@host/v1?api_key=sk-abcdefgh123", "iid=true"])
    path = objects(tmp_path / "l.jsonl", {"prompt_id": "a", "reward": 1, "model": "http://me:pw@h/x"})
    made = import_log(
        path, tmp_path / "o.parquet", ImportChoices(facts=facts, maps=tuple(parse_maps(["text=@http://a:b@c/?k=1"])))
    )
    assert made.facts["temperature"] == 0.7 and made.table["sampling_temperature"].to_pylist() == [0.7]
    assert made.facts["engine"] == "https://host/v1"
    assert not any(word in json.dumps(made.metadata) for word in ("secret", "sk-abc", "api_key", "a:b@", "k=1"))
    for text, words in (
        ("temperature=-1", "a number, at least 0"), ("logprobs=cooked", "raw or processed"), ("top_p=2", "in .0, 1"),
        ("what=1", "did you mean|give one of"), ("iid=perhaps", "true or false"), ("model=", "give the model's name"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            parse_facts([text])


def test_texts_may_be_left_out(tmp_path: Path) -> None:
    path = objects(tmp_path / "l.jsonl", {"prompt_id": "a", "reward": 1, "text": "t", "token_ids": [1, 2]})
    made = by_maps(path, tmp_path / "o.parquet", [], text=False)
    assert made.table.column_names == ["prompt_id", "step", "source", "candidate", "reward", "n_tokens"]


def test_choices_without_effect_are_refused() -> None:
    for choices, words in (
        ({"from_format": "monkey"}, "did you mean 'monkeys'"),
        ({"from_format": "monkeys", "explode": ("a",)}, "--explode and --counts are for --from table"),
        ({"missing": "best"}, "--missing 'best'"),
        ({"aggregate": "max"}, "--aggregate 'max'"),
        ({"not_iid": True, "facts": {"iid": True}}, "give one"),
    ):
        with pytest.raises(InputError, match=words):
            ImportChoices(**choices)  # type: ignore[arg-type]
