"""`python -m tests.fuzz --seed S`: calls of `gsi` on bent input; `--call I` repeats one and keeps its folder."""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.calls import make_case
from tests.fuzz.run import as_process, failures, in_process, shell_line


def main() -> int:
    """Exit status 1 if a call failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--call", type=int, help="this call alone, and its folder stays")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--only", help="of these calls those of this command alone")
    parser.add_argument("--processes", action="store_true", help="each call as a process of its own")
    parser.add_argument("--log", type=Path, help="one JSON object a failed call")
    parser.add_argument("--slow", type=float, default=1e9, help="also report calls that took so many seconds")
    chosen = parser.parse_args()
    run = as_process if chosen.processes else in_process
    calls = [chosen.call] if chosen.call is not None else range(chosen.first, chosen.first + chosen.calls)
    kinds: collections.Counter[tuple[str, int | None]] = collections.Counter()
    failed, began = 0, time.monotonic()
    for call in calls:
        if chosen.only is not None and make_case(chosen.seed, call).argv[:1] != (chosen.only,):
            continue
        # one folder more, because outputs may be named ".."
        folder, started = Path(tempfile.mkdtemp(prefix="fuzz-")) / "call", time.monotonic()
        folder.mkdir()
        case, answer, found = failures(chosen.seed, call, folder, run)
        seconds = time.monotonic() - started
        kinds[case.argv[0] if case.argv else "", answer.status] += 1
        if seconds > chosen.slow:
            found.append(f"took {seconds:.1f} s")
        if found:
            failed += 1
            print(shell_line(case)[:400])
            print(f"  python -m tests.fuzz --seed {chosen.seed} --call {call}")
            print("".join(f"  - {text}\n" for text in found), end="", flush=True)
        if found and chosen.log is not None:
            with chosen.log.open("a") as stream:
                stream.write(json.dumps({"call": call, "argv": case.argv, "complaints": found}) + "\n")
        if chosen.call is None:
            shutil.rmtree(folder.parent, ignore_errors=True)
        else:
            print(f"{folder}\nstatus {answer.status}\n--- stdout\n{answer.out}\n--- stderr\n{answer.err}")
    print(f"{kinds.total()} calls, {failed} failed, {time.monotonic() - began:.0f} s")
    for (name, status), count in sorted(kinds.items(), key=str):
        print(f"  {name[:20]!r:<12} status {status}: {count}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
