"""Task files: rows of every family, bent."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.mutate import bend, bend_bytes, dumps, pick

__all__ = ["task_file"]


def _rows(rng: np.random.Generator, kind: str) -> list[dict[str, Any]]:
    rows = []
    for i in range(int(rng.integers(1, 4))):
        a, b = (int(x) for x in rng.integers(0, 90, 2))
        question, answer = f"{a}+{b}", str(a + b)
        row: dict[str, Any] = {
            "gsm8k": {"question": question, "answer": f"add\n#### {answer}"},
            "math500": {
                "problem": question,
                "answer": answer,
                "solution": f"\\boxed{{{answer}}}",
                "unique_id": f"u{i}",
            },
            "minerva": {"problem": question, "solution": f"\\boxed{{{answer}}}"},
            "olympiadbench": {"question": question, "final_answer": [answer], "error": "0.1", "unit": "", "id": i},
            "mmlu_stem": {"question": question, "choices": [answer, "0"], "answer": 0},
            "jsonl": {"question": question, "answer": answer},
        }[kind]
        if kind == "jsonl" and rng.random() < 0.5:
            row |= {"id": f"q{i}", "solution": f"{answer}\n\n\\boxed{{{answer}}}"}
        rows.append(row)
    return rows


def task_file(rng: np.random.Generator, bent: bool) -> tuple[str, bytes]:
    """(kind, content of its file)."""
    kind = pick(rng, ("jsonl", "jsonl", "gsm8k", "math500", "minerva", "olympiadbench", "mmlu_stem"))
    rows: list[Any] = _rows(rng, kind)
    if bent and rng.random() < 0.8:
        i = int(rng.integers(len(rows)))
        rows[i] = bend(rng, rows[i])
    content = "".join(dumps(row) + "\n" for row in rows).encode()
    return kind, bend_bytes(rng, content) if bent and rng.random() < 0.3 else content
