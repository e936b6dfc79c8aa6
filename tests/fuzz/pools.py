"""Pool rows as JSONL or Parquet: valid ones of every odd shape, and bent ones."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.mutate import NUMBERS, Raw, bend, bend_bytes, dumps, pick

__all__ = ["pool_file", "pool_lines", "pool_rows"]

Rng = np.random.Generator
_SHAPES = (
    "plain", "plain", "plain", "one row", "one prompt", "one candidate", "base only", "draft only", "ties",
    "equal rewards", "constant", "far", "very far", "steps", "gap", "temperature", "temperatures", "tokens", "correct",
    "gold", "text", "huge rewards", "tiny rewards", "miss", "deterministic", "equal pair", "low",
)  # fmt: skip


def pool_rows(rng: Rng) -> list[dict[str, Any]]:
    """Rows of a pool that the schema takes."""
    shape = {pick(rng, _SHAPES) for _ in range(pick(rng, (1, 1, 2, 3)))}
    if "draft only" in shape:
        shape.discard("base only")
    prompts = 1 if "one prompt" in shape else int(rng.integers(2, 5))
    drafts, bases = (pick(rng, (2, 5, 8, 16, 40)) for _ in range(2))
    if "one candidate" in shape:
        drafts = bases = 1
    width = 1e4 if "very far" in shape else 300.0 if "far" in shape else pick(rng, (0.1, 0.5, 2.0))
    rows = []
    for prompt in range(prompts):
        for step in range(int(rng.integers(2, 4)) if "steps" in shape else 1):
            for source, count in (("draft", drafts), ("base", bases)):
                if f"{'base' if source == 'draft' else 'draft'} only" in shape:
                    continue
                rows += [_row(rng, shape, f"p{prompt}", step, source, i, width) for i in range(count)]
    if "gap" in shape:
        for row in rows:
            row["step"] = 7 * row["step"] + 3
    return rows[:1] if "one row" in shape else rows


def _row(rng: Rng, shape: set[str], prompt: str, step: int, source: str, i: int, width: float) -> dict[str, Any]:
    logp = -abs(float(rng.normal(6.0, 2.0)))
    other = min(0.0, logp + width * float(rng.normal()))
    if shape & {"constant", "deterministic", "equal pair", "low"}:
        logp = other if "equal pair" in shape else 0.0 if "deterministic" in shape else -1e5 if "low" in shape else -3.0
        other = logp if shape & {"equal pair", "deterministic"} else other
    names = ("logp_draft", "logp_base") if source == "draft" else ("logp_base", "logp_draft")
    reward = float(rng.uniform())
    if "ties" in shape:
        reward = round(reward)
    if "equal rewards" in shape:
        reward = 0.1
    if "huge rewards" in shape:
        reward = reward * pick(rng, (1e300, 1e16)) * pick(rng, (1, -1))
    if "tiny rewards" in shape:
        reward *= 1e-300
    row: dict[str, Any] = {"prompt_id": prompt, "step": step, "source": source, "candidate": i}
    row |= {names[0]: logp, names[1]: other, "reward": reward}
    if "miss" in shape and rng.random() < 0.4:
        row[names[1]] = Raw(pick(rng, ("-Infinity", '"-inf"', "-1e308", "-1e9")))
    if shape & {"temperature", "temperatures"}:
        other_temperature = pick(rng, (0.7, 1.0)) if "temperatures" in shape else 1.0
        row["sampling_temperature"] = other_temperature
    if "correct" in shape:
        row["correct"] = bool(rng.random() < 0.5)
    if "gold" in shape:
        row["gold_reward"] = float(rng.uniform())
    if "text" in shape:
        row |= {
            "text": pick(rng, ("4\n\n", "", "[bold]", "π", "\x1b[31m")),
            "finish_reason": pick(rng, ("stop", "eos")),
        }
    if "tokens" in shape:
        own = np.full(3, logp / 3).tolist()
        row |= {"n_tokens": 3, "token_ids": rng.integers(0, 16, 3).tolist(), "token_" + names[0]: own}
        row["token_" + names[1]] = np.full(3, other / 3).tolist()
    return row


def _bent_rows(rng: Rng, rows: list[dict[str, Any]]) -> list[Any]:
    """Some rows bent one by one, or one field of all of them."""
    bent: list[Any] = list(rows)
    if rng.random() < 0.4:
        name = pick(rng, list(rows[0]))
        value = Raw(pick(rng, (*NUMBERS, "null", "true", '"0.5"', '"x"', "[]")))
        drop = rng.random() < 0.2
        return [{k: v for k, v in row.items() if k != name} if drop else {**row, name: value} for row in rows]
    for _ in range(int(rng.integers(1, 4))):
        i = int(rng.integers(len(bent)))
        if isinstance(bent[i], dict):
            bent[i] = bend(rng, bent[i])
        if rng.random() < 0.2:
            bent.insert(int(rng.integers(len(bent) + 1)), bent[i])
    return bent


def pool_lines(rng: Rng, bent: bool) -> bytes:
    """A JSONL pool, with something wrong or merely odd where `bent`."""
    rows: list[Any] = pool_rows(rng)
    if bent and rng.random() < 0.8:
        rows = _bent_rows(rng, rows)
    if rng.random() < 0.1:
        rng.shuffle(rows)  # type: ignore[arg-type]
    content = "".join(dumps(row) + "\n" for row in rows).encode("utf-8")
    return bend_bytes(rng, content) if bent and rng.random() < 0.3 else content


_CASTS = (
    pa.string(), pa.float32(), pa.float16(), pa.int64(), pa.int8(), pa.uint64(), pa.bool_(), pa.large_string(),
    pa.decimal128(38, 10), pa.binary(), pa.timestamp("us"), pa.dictionary(pa.int8(), pa.string()), pa.null(),
)  # fmt: skip


def _bent_table(rng: Rng, table: pa.Table) -> pa.Table:
    i = int(rng.integers(table.num_columns))
    name, column = table.column_names[i], table.column(i)
    action = rng.integers(7)
    if action == 0:
        return table.drop_columns([name])
    if action == 1:
        return table.append_column(name, column)
    if action == 2:
        return table.slice(0, 0)
    if action == 3:
        values = column.to_pylist()
        number = json.loads(pick(rng, NUMBERS))
        values[int(rng.integers(len(values)))] = None if rng.random() < 0.4 else number
        try:
            return table.set_column(i, name, pa.array(values, type=column.type))
        except (pa.ArrowException, OverflowError, TypeError):
            return table.set_column(i, name, pa.nulls(len(values), column.type))
    if action == 4:
        return table.replace_schema_metadata(
            {
                b"gsi_pool": pick(
                    rng,
                    (
                        b"{",
                        b"[]",
                        b"1",
                        b"\xff",
                        b'{"reward": 3}',
                        b'{"reward": {"low": 1, "high": 0}}',
                        b'{"reward": {"low": "a"}}',
                        b'{"reward": {"low": NaN}}',
                    ),
                )
            }
        )
    if action == 5:
        return pa.concat_tables([table, table.slice(0, 1)])
    try:
        return table.set_column(i, name, column.cast(pick(rng, _CASTS), safe=False))
    except (pa.ArrowException, NotImplementedError):
        return table.set_column(i, name, pa.nulls(table.num_rows))


def _parquet(rng: Rng, bent: bool) -> bytes:
    rows = [{k: json.loads(v) if isinstance(v, Raw) else v for k, v in row.items()} for row in pool_rows(rng)]
    rows = [{k: -np.inf if v == "-inf" else v for k, v in row.items()} for row in rows]
    table = pa.Table.from_pylist(rows)
    if bent and rng.random() < 0.8:
        table = _bent_table(rng, table)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return bend_bytes(rng, sink.getvalue()) if bent and rng.random() < 0.3 else sink.getvalue()


def pool_file(rng: Rng, bent: bool) -> tuple[str, bytes]:
    """(name, content) of a pool."""
    if rng.random() < 0.3:
        return "pool.parquet", _parquet(rng, bent)
    return pick(rng, ("pool.jsonl",) * 20 + ("pool.json", "pool")) if bent else "pool.jsonl", pool_lines(rng, bent)
