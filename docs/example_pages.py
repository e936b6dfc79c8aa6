"""Examples of the pages that commands write, made at every build of the site from small logs with fixed seeds:
`python -m docs.example_pages` leaves them in docs/_made/examples, which git ignores; docs/made_pages.md leads to them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from gsi_theory.types import Record

__all__ = ["COMMANDS", "FOLDER", "answers", "drafts", "write_examples"]

DOCS = Path(__file__).parent
FOLDER = DOCS / "_made"
# as they stand on the page
COMMANDS = (
    "gsi curve answers.jsonl --page curve",
    "gsi plan drafts.jsonl --beta 2,5 --n 1,2,4,8 --max-cost 2e13 --page plan",
)


def answers() -> list[Record]:
    """The log of one model of the tutorial "Which n should I use?", by the code that stands there."""
    page = (DOCS / "tutorials" / "which_n.md").read_text(encoding="utf-8")
    cell = re.search(r"^```\{code-cell\} ipython3\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert cell is not None
    names: Record = {}
    exec(compile(cell[1], "which_n.md", "exec"), names)
    rows: list[Record] = names["rows"]
    return rows


# docs/made_pages.md shows what stands from here to the next mark
def drafts() -> list[Record]:
    """40 prompts, 24 answers by each of two models, every answer scored by both."""
    rng, rows = np.random.default_rng(0), []
    for prompt in range(40):
        shared = 1.5 * rng.normal(size=30)  # of 30 possible answers
        laws = {}
        for model in ("draft", "base"):
            raw = np.exp(shared + 0.4 * rng.normal(size=30))
            laws[model] = raw / raw.sum()
        ratio = np.log(laws["base"] / laws["draft"])
        reward = 1 / (1 + np.exp(-1.5 * rng.normal(size=30) - 0.3 * ratio))
        for source, law in laws.items():
            for candidate, answer in enumerate(rng.choice(30, size=24, p=law)):
                rows.append({
                    "prompt_id": f"p{prompt}", "step": 0,
                    "source": source, "candidate": candidate,
                    "logp_draft": float(np.log(laws["draft"][answer])),
                    "logp_base": float(np.log(laws["base"][answer])),
                    "reward": float(reward[answer]), "n_tokens": 100,
                    "text": f"answer {answer}",
                })  # fmt: skip
    return rows


# the next mark


def write_examples(folder: Path = FOLDER) -> None:
    """Write folder/examples: the logs, and beside them the folder that each of COMMANDS makes."""
    place = folder / "examples"
    place.mkdir(parents=True, exist_ok=True)
    for name, rows in (("answers.jsonl", answers()), ("drafts.jsonl", drafts())):
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for command in COMMANDS:
        words = [sys.executable, "-m", "gsi_theory.cli", *command.split()[1:]]
        subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    write_examples()
