"""The bench's results as a page, docs/peers.md."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.benches.peers.environment import python_of
from tests.benches.peers.peer_record import FOLDER, Case, Peer
from tests.benches.peers.run_peer import LEVEL, Judged, verdict

__all__ = ["PAGE", "page", "write_page"]

PAGE = FOLDER.parents[2] / "docs" / "peers.md"
HEAD = f"""# Other libraries on the bench

Do libraries of inference-time scaling sample what they document? Each is installed in an environment of its own
(pinned: `tests/benches/peers/requirements/`) and driven through its public interface with a model that is a table, so
that the law which its words imply is known exactly (by enumeration: `tests/benches/peers/*_peer.py`). The draws are
judged one after the other by the test of `gsi conform` (M50 of [THEORY.md](../gsi_theory/THEORY.md)), at level
{LEVEL:g} a setting. Written by `make peers` (`python -m tests.benches.peers all`: a quarter of an hour, 12 GB of disk);
one library: `python -m tests.benches.peers NAME`.

A setting *conforms* where its draws do not refute the law: how far it may still be from it says the interval of the
total variation distance (95 %, of all draws), and a deviation of the size in *seen from* would have been found in 80 %
of runs, each mistake that is named for a setting in 97 %. What a law stands on is kept apart: the **documentation**,
which fixes it; a **comment** of the source; or an **expectation**, where no law is documented and the one tested is
ours. Where draws differ, the page says what they are instead (the likeliest of a few named mistakes, and whether the
draws refute that one too), where in the source it comes from, and a script that reproduces it. It may be intended, and
concerns this version alone.

"""
_COLUMNS = ("setting", "documents", "law from", "draws", "TV, 95 %", "seen from", "verdict", "nearest")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _row(judged: Judged) -> str:
    case, outcome = judged.case, judged.conformance
    start = f"| `{case.id}` | “{_cell(case.quotation)}” ({_cell(case.where)}) | {case.stands_on} "
    if outcome is None:
        return f"{start}| 0 | | | could not be driven: {_cell(judged.error)} | |\n"
    low, high = judged.tv
    result = verdict(judged)
    if outcome.nearest is None:
        nearest = "" if outcome.conforms else "none is named"
    else:
        also = "" if outcome.nearest.explains else "; refuted too"
        nearest = f"{_cell(outcome.nearest.words)} (`{outcome.nearest.id}`{also})"
    if not outcome.conforms:
        result = f"**{result}**, after {outcome.refuted_at} draws"
    return f"{start}| {judged.draws:,} | {low:.3f} to {high:.3f} | {outcome.detectable:.3f} | {result} | {nearest} |\n"


def _reproduced(peer: Peer, case: Case) -> str:
    """The script of a finding, and what it prints in the peer's environment."""
    script = FOLDER / "scripts" / case.script
    done = subprocess.run([str(python_of(peer)), str(script)], capture_output=True, text=True)
    place = script.relative_to(FOLDER.parents[2])
    return (
        f"`.venv-peers/{peer.name}/bin/python {place}`\n\n```python\n{script.read_text(encoding='utf-8')}```\n\n"
        f"prints\n\n```text\n{done.stdout.rstrip()}\n```\n"
    )


def _finding(peer: Peer, judged: Sequence[Judged]) -> str:
    """What is said of settings that share a script."""
    case = judged[0].case
    names = ", ".join(f"`{each.case.id}`" for each in judged)
    known = f"Reported there: {case.known}." if case.known else "It may be intended."
    return (
        f"\n### {peer.package}: {names}\n\nDocuments “{' '.join(case.quotation.split())}” ({case.where}); "
        f"the draws {verdict(judged[0]).replace('differs', 'differ')}. {case.remark or 'Not looked into yet.'} {known}"
        f"\n\n{_reproduced(peer, case) if case.script else ''}"
    )


def section(peer: Peer, results: Sequence[Judged]) -> str:
    """Table and findings of one peer; its environment must be there."""
    lines = [
        f"## {peer.package} {peer.version}\n\n{peer.remark} [Home]({peer.home}).\n\n",
        f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n",
        *map(_row, results),
    ]
    findings: dict[str, list[Judged]] = {}
    for each in results:
        if each.conformance is not None and not each.conformance.conforms:
            findings.setdefault(each.case.script or each.case.id, []).append(each)
    return "".join([*lines, *(_finding(peer, some) for some in findings.values()), "\n"])


def summary(peers: Sequence[tuple[Peer, Sequence[Judged]]]) -> str:
    """A line for each peer: how many settings came out how."""
    kinds = ("conforms", "differs from its documentation", "differs from a comment of its source",
             "differs from what one might expect", "could not be driven")  # fmt: skip
    lines = ["| library | settings | " + " | ".join(kinds) + " |\n|---|---|" + "---|" * len(kinds) + "\n"]
    for peer, results in peers:
        seen = [verdict(each) for each in results]
        counts = " | ".join(str(seen.count(kind)) for kind in kinds)
        lines.append(f"| {peer.package} {peer.version} | {len(results)} | {counts} |\n")
    return "".join(lines) + "\n"


def page(peers: Sequence[tuple[Peer, Sequence[Judged]]]) -> str:
    """The text of docs/peers.md."""
    return (HEAD + summary(peers) + "".join(section(*each) for each in peers)).rstrip() + "\n"


def write_page(peers: Sequence[tuple[Peer, Sequence[Judged]]], path: Path = PAGE) -> None:
    """Write docs/peers.md."""
    path.write_text(page(peers), encoding="utf-8")
