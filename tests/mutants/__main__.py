"""`python -m tests.mutants [--seed 0] [--size 600] [--rooms laws,planner] [--workers 2]`: are slips of the pen noticed?

Works in copies of the repository under .mutants/ (never in the tree itself). Results are kept one by one in
.mutants/COMMIT-seed.jsonl: the same command goes on where it stopped. Exit status 1 if in some room fewer than 90 % of
the changes are noticed, of those that tests/mutants/equivalent.txt does not name.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product, zip_longest
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.covering import Covering, environment, measure
from tests.mutants.forked import Answer, Tests
from tests.mutants.places import Mutant, changed, described, sample
from tests.mutants.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).parent / "equivalent.txt"
ASKED = 0.9
# Seconds (of processor time) of tests asked about one change, and what a run may take beyond twice that before it
# counts as noticed.
LIMIT, PATIENCE = 30.0, 30.0


class Trials:
    """Changes tried in one copy of the repository; `known` tells which tests run what, and which pass unchanged."""

    def __init__(self, tree: Path, known: Covering) -> None:
        self.tree, self.known = tree, known
        self.runs = {compiled: Tests(tree, environment(tree, compiled)) for compiled in (False, True)}

    def close(self) -> None:
        """End the processes."""
        for runs in self.runs.values():
            runs.close()

    def _ran(self, tests: list[str], compiled: bool, patience: float = PATIENCE) -> Answer:
        expected = LIMIT if compiled else min(LIMIT, sum(self.known.seconds.get(test, 0.0) for test in tests))
        answer = self.runs[compiled].run(tests, LIMIT, 2 * expected + patience)
        if not compiled:
            self.known.seconds |= answer.seconds
        return answer

    def _passes(self, test: str, compiled: bool) -> bool:
        """Whether the test passes alone without a change; asked once."""
        if (test, compiled) not in self.known.sound:
            # the first of them compiles all loops
            self.known.sound[test, compiled] = self._ran([test], compiled, 20 * PATIENCE).status == 0
        return self.known.sound[test, compiled]

    def _planted(self, mutant: Mutant, tests: list[str], compiled: bool) -> Answer:
        file = self.tree / mutant.module
        original, times = file.read_bytes(), file.stat()
        try:
            file.write_text(changed(self.tree, mutant), encoding="utf-8")
            return self._ran(tests, compiled)
        finally:
            file.write_bytes(original)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # what is compiled stays so

    def outcome(self, mutant: Mutant) -> tuple[str, str]:
        """ "killed", "timeout" (noticed too: the tests hang), "survived", "untested" where no test runs the place, or
        "unclear" where pytest could not run; and the test that noticed."""
        at = mutant.module, mutant.first, mutant.last
        found = self._noticed(mutant, False, lambda: self.known.tests(*at, LIMIT))
        if found[0] not in ("survived", "untested"):
            return found
        others = self._noticed(mutant, True, lambda: list(filter(self._sound, self.known.other_tests(*at, LIMIT))))
        return found if others[0] in ("untested", "unclear") else others

    def _sound(self, test: str) -> bool:
        """Whether a test passes with compiled loops, of those that do not without."""
        return test not in self.known.failed or self._passes(test, True)

    def _noticed(self, mutant: Mutant, compiled: bool, asked: Callable[[], list[str]]) -> tuple[str, str]:
        while tests := asked():
            answer = self._planted(mutant, tests, compiled)
            if not answer.failed:
                return {0: "survived", None: "timeout"}.get(answer.status, "unclear"), ""
            if self._passes(answer.failed, compiled):
                return "killed", answer.failed
            self.known.failed.add(answer.failed)
        return "untested", ""


def equivalent() -> dict[str, str]:
    """Changes that no test can notice -> reason, from lines `change # reason`."""
    lines = [line for line in EQUIVALENT.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {key.strip(): reason.strip() for key, _, reason in (line.rpartition(" # ") for line in lines)}


def _copy(target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    return target


def _summary(results: list[dict[str, str]]) -> bool:
    reasons, fine = equivalent(), True
    for room in ROOMS:
        records = [record for record in results if record["room"] == room]
        noticed = [record for record in records if record["outcome"] in ("killed", "timeout")]
        missed = [record for record in records if record not in noticed and record["change"] not in reasons]
        total = len(noticed) + len(missed)
        if total:
            fine &= len(noticed) >= ASKED * total
            print(
                f"{room:<8} {len(noticed):>4} of {total:>4} noticed, {100 * len(noticed) / total:5.1f} %;"
                f" {len(records) - total} more cannot matter"
            )
            for record in missed:
                print(f"         {record['outcome']}: {record['change']}")
    return fine


def main() -> None:
    """Plant, test, keep, and print what survived by room."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=600, help="changes in all, an equal share for each room")
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = ROOT / ".mutants"
    data, journal = folder / f"coverage-{commit}", folder / f"{commit}-{options.seed}.jsonl"
    pristine = _copy(folder / "pristine")
    trees = [_copy(folder / f"tree-{k}") for k in range(options.workers)]
    if not (data / "durations.json").exists():
        print("which tests run which lines: some minutes", flush=True)
        measure(trees[0], data, options.workers)
    covering = Covering(trees[0], data)
    rooms = options.rooms.split(",")
    share = options.size // len(rooms)
    # in turn, so that an interrupted run has tried every room
    turns = zip_longest(*(product([room], sample(pristine, room, share, options.seed)) for room in rooms))
    mutants = [pair for turn in turns for pair in turn if pair is not None]
    results: dict[str, dict[str, str]] = {}
    if journal.exists():
        results = {record["key"]: record for record in map(json.loads, journal.read_text().splitlines())}
    free: SimpleQueue[Trials] = SimpleQueue()
    for tree in trees:
        free.put(Trials(tree, covering))

    def one(room: str, mutant: Mutant) -> dict[str, str]:
        trials = free.get()
        try:
            outcome, by = trials.outcome(mutant)
        finally:
            free.put(trials)
        change = described(pristine, mutant)
        return {"key": str(mutant), "room": room, "outcome": outcome, "by": by, "change": change}

    start, rest = time.monotonic(), [(room, m) for room, m in mutants if str(m) not in results]
    with ThreadPoolExecutor(options.workers) as pool, journal.open("a", encoding="utf-8") as kept:
        for count, done in enumerate(as_completed([pool.submit(one, *pair) for pair in rest]), 1):
            record = done.result()
            results[record["key"]] = record
            kept.write(json.dumps(record) + "\n")
            kept.flush()
            left = (time.monotonic() - start) / count * (len(rest) - count) / 60
            print(f"\r{count} of {len(rest)}, about {left:.0f} minutes left ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    while not free.empty():
        free.get().close()
    sys.exit(0 if _summary([results[str(m)] for _, m in mutants]) else 1)


if __name__ == "__main__":
    main()
