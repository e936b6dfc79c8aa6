"""Which tests run which lines: coverage of the fast tests with one context a test, measured once for a commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from coverage import CoverageData

# Tests of the rooms that are changed; a folder that is absent is left out.
FOLDERS = (
    "tests/gsi_theory",
    "tests/sims/sampling",
    "tests/sims/test_methods.py",
    "tests/oracles",
    "tests/llm_check/logs",
)
# The longest a test may take to be asked about a change, in seconds without compiled loops.
SLOWEST = 20.0
# What all runs share: no compiled loops (numba would compile every change anew, and coverage sees none of their lines).
ENVIRONMENT = {"GSI_COMPILED": "0", "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def environment(tree: Path) -> dict[str, str]:
    """The environment of a test run in `tree`."""
    path = os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}


def measure(tree: Path, data: Path) -> None:
    """Run the tests under coverage, once; `data` (a folder) gets coverage.db and durations.json."""
    data.mkdir(parents=True, exist_ok=True)
    folders = [folder for folder in FOLDERS if (tree / folder).exists()]
    config = data / "coverage.ini"
    config.write_text(f"[run]\ndata_file = {data / 'coverage.db'}\nsource = gsi_theory,llm_check\ncore = ctrace\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--cov",
        f"--cov-config={config}",
        "--cov-context=test",
        "--cov-report=",
        "--durations=0",
        "--durations-min=0.001",
        "-vv",
        *folders,
    ]
    done = subprocess.run(command, cwd=tree, env=environment(tree), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    seconds: dict[str, float] = {}
    failed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))}
    for line in done.stdout.splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[1] in ("call", "setup", "teardown") and words[0].endswith("s"):
            seconds[words[2]] = seconds.get(words[2], 0.0) + float(words[0][:-1])
    (data / "durations.json").write_text(json.dumps({"seconds": seconds, "failed": sorted(failed)}))


class Covering:
    """Tests by line: `tests(module, first, last)` in the order of their duration."""

    def __init__(self, tree: Path, data: Path) -> None:
        self.tree, self.coverage = tree, CoverageData(str(data / "coverage.db"))
        self.coverage.read()
        measured = json.loads((data / "durations.json").read_text())
        self.seconds: dict[str, float] = measured["seconds"]
        self.failed = set(measured["failed"])

    def tests(self, module: str, first: int, last: int, limit: float) -> list[str]:
        """Tests that run a line of the span, quickest first, as many as take `limit` seconds together.

        Lines that run on import belong to no test: then those that run any line of the module.
        """
        lines = self.coverage.contexts_by_lineno(str(self.tree / module))
        names = {name for line in range(first, last + 1) for name in lines.get(line, ())}
        if not names - {""}:
            names = {name for contexts in lines.values() for name in contexts}
        tests = {name.split("|")[0] for name in names} - {""} - self.failed
        order = sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test))
        out, total = [], 0.0
        for test in order:
            duration = self.seconds.get(test, 0.0)
            if duration > SLOWEST or (total := total + duration) > limit:
                break
            out.append(test)
        return out
