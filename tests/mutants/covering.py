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
# No compiled loops: coverage sees none of their lines. Tests that are too slow so are asked with them, in the end.
PLAIN = {"GSI_COMPILED": "0", "NUMBA_DISABLE_JIT": "1"}

# What reads the source, and runs none of it.
HOUSE = "tests/test_arrows.py::test_records_are_frozen"


def environment(tree: Path, compiled: bool = False) -> dict[str, str]:
    """The environment of a test run in `tree`."""
    path = os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **({} if compiled else PLAIN), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path}


def measure(tree: Path, data: Path, workers: int) -> None:
    """Run the tests under coverage, in `workers` processes; the folder `data` gets coverage.db, durations.json."""
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
        "-p",
        "tests.mutants.impatience",
        "-n",
        str(workers),
        "--cov",
        f"--cov-config={config}",
        "--cov-context=test",
        "--cov-report=",
        f"--measured={data / 'durations.json'}",
        *folders,
    ]
    said = data / "pytest.log"
    with said.open("w") as log:
        done = subprocess.run(command, cwd=tree, env=environment(tree), stdout=log, stderr=log, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests did not run, see {said}: {said.read_text()[-2000:]}")


class Covering:
    """Tests by line: `tests(module, first, last)` in the order of their duration."""

    def __init__(self, tree: Path, data: Path) -> None:
        self.tree, self.coverage = tree, CoverageData(str(data / "coverage.db"))
        self.coverage.read()
        measured = json.loads((data / "durations.json").read_text())
        self.seconds: dict[str, float] = measured["seconds"]
        self.failed = set(measured["failed"])
        self.sound: dict[tuple[str, bool], bool] = {}

    def tests(self, module: str, first: int, last: int, limit: float) -> list[str]:
        """Tests that run a line of the span, as many as take `limit` seconds together, quickest first, but first those
        of the files named after the module.

        Lines that run on import belong to no test: then those that run any line of the module, after `HOUSE`.
        """
        tests, house = self._running(module, first, last)
        out, total = list[str](), 0.0
        for test in sorted(tests - self.failed, key=lambda test: (test not in house, *self._order(module, test))):
            duration = self.seconds.get(test, 0.0)
            if total + duration <= limit:
                total += duration
                out.append(test)
        return out

    def other_tests(self, module: str, first: int, last: int, limit: float) -> list[str]:
        """The others that run a line of the span: what `tests` has no seconds for, and what failed when they were
        measured, most by the time they took without compiled loops."""
        tests, _ = self._running(module, first, last)
        rest = tests.difference(self.tests(module, first, last, limit))
        return sorted(rest, key=lambda test: self._order(module, test))

    def _order(self, module: str, test: str) -> tuple[bool, float, str]:
        return f"/test_{Path(module).stem}" not in test, self.seconds.get(test, 0.0), test

    def _running(self, module: str, first: int, last: int) -> tuple[set[str], set[str]]:
        """Tests that run the span, and what is asked before them."""
        lines = self.coverage.contexts_by_lineno(str(self.tree / module))
        names = {name for line in range(first, last + 1) for name in lines.get(line, ())}
        house = set[str]()
        if not names - {""}:
            names, house = {name for contexts in lines.values() for name in contexts}, {HOUSE}
        return house | {name.split("|")[0] for name in names} - {""}, house
