"""What `gsi audit` said of every claim, kept for the claims' pages: `python -m docs.claim_audit` (minutes) writes it.

The audit is too long for a build of the site. A test holds the file to the table of claims.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from gsi_theory.types import Record

FILE = Path(__file__).parent / "claim_audit.json"
KEPT = ("id", "outcome", "expected", "tightness", "vacuous_share", "evaluations", "holds", "refuted", "undecided",
        "vacuous", "tight_family", "tight_beta", "tight_n", "certificate")  # fmt: skip
COMMAND = ("audit", "--quick", "--seed", "0")


def audited() -> dict[str, Record]:
    """Claim's id -> its row of the kept audit."""
    return {row["id"]: row for row in json.loads(FILE.read_text(encoding="utf-8"))["claims"]}


def write_audit(answer: Record) -> None:
    """Keep of an answer of `gsi audit --json` what the pages show, a claim a line."""
    rows = [json.dumps({k: row[k] for k in KEPT if k in row}, ensure_ascii=False) for row in answer["claims"]]
    head = json.dumps(
        {"schema": 1, "command": f"gsi {' '.join(COMMAND)}", "evaluations": answer["summary"]["evaluations"]}
    )
    FILE.write_text(head[:-1] + ', "claims": [\n' + ",\n".join(rows) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", "gsi_theory.cli", *COMMAND, "--json", "--out", folder]
        write_audit(json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout))
