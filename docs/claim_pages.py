"""Pages of the claims: one a topic, one section a claim, with its verdict, tightness, counterexample and command."""

from __future__ import annotations

import json

from docs.claim_audit import FILE, audited
from docs.markdown import anchor, code, label, plain, table, text_of, toctree
from gsi_theory.claims import _TOPICS, Claim, Outcome
from gsi_theory.types import Record

_SAID = {
    Outcome.HOLDS: "Holds wherever it was tried",
    Outcome.REFUTED: "Refuted",
    Outcome.UNDECIDED: "Undecided: what was tried is within the numerical error",
    Outcome.VACUOUS: "Vacuous wherever it was tried",
    Outcome.NOT_APPLICABLE: "Applied nowhere that was tried",
}


def _verdict(row: Record) -> str:
    judged = row["holds"] + row["refuted"] + row["undecided"]
    counts = f"{row['evaluations']:,} evaluations: {row['holds']:,} hold, {row['refuted']:,} are refuted, "
    counts += f"{row['undecided']:,} undecided"
    vacuous = f", {row['vacuous']:,} say no more than is trivial" if row["vacuous"] else ""
    assert judged + row["vacuous"] == row["evaluations"], row["id"]
    missed = row["expected"] == Outcome.REFUTED != row["outcome"]
    more = " It is false all the same: this audit met no counterexample, the search below does." if missed else ""
    return f"**{_SAID[Outcome(row['outcome'])]}.** {counts}{vacuous}.{more}"


def _tightness(row: Record) -> str:
    if row["tightness"] is None:
        return ""
    where = (
        f" (family {row['tight_family'].replace('_', ' ')}, β = {row['tight_beta']:g}, n = {row['tight_n']:,})"
        if row["tight_n"]
        else ""
    )
    return f"Tightness, the largest left over right side where it says something: {row['tightness']:.6g}{where}."


def _example(row: Record) -> str:
    shown = row.get("certificate")
    if not shown:
        return ""
    law = {key: shown[key] for key in ("draft", "base", "reward")}
    scheme = ", ".join(
        f"{key} = {shown[key]}" for key in ("beta", "n", "rule", "threshold") if shown.get(key) is not None
    )
    return (
        f"Counterexample, smallest that was found: {scheme}, left side in [{shown['lhs'][0]}, {shown['lhs'][1]}], "
        f"right side in [{shown['rhs'][0]}, {shown['rhs'][1]}], by ball arithmetic:\n\n" + code(json.dumps(law), "json")
    )


def _section(claim: Claim, row: Record) -> str:
    expected = "expected to hold" if claim.expected is Outcome.HOLDS else "a reading that is expected to fail"
    assumes = ", ".join(a.name for a in claim.assumptions) or "nothing"
    parts = [
        label("claim", claim.id) + f"## {claim.id}",
        f"$$\n{claim.statement}\n$$",
        f"[{claim.formula}](#{claim.formula.lower()}). Source: {plain(claim.source)}; {expected}.",
        f"Assumes {plain(assumes)}.",
        _verdict(row),
        _tightness(row),
        _example(row),
        f"Not certified in ball arithmetic: {plain(claim.uncertified)}." if claim.uncertified else "",
        code(f"gsi refute {claim.id}", "console"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(module: str) -> str:
    return module.rpartition(".")[2].replace("_", " ").capitalize()


def claim_pages() -> dict[str, str]:
    """Name -> Markdown: a page a topic, and "index", the list of all claims."""
    rows = audited()
    pages, listed = {}, []
    for topic in _TOPICS:
        name = topic.__name__.rpartition(".")[2].replace("_", "-")
        pages[name] = f"# {_title(topic.__name__)}\n\n{text_of(topic.__name__)}\n" + "\n".join(
            _section(claim, rows[claim.id]) for claim in topic.TABLE
        )
        listed += [
            [
                f"[{c.id}](#{anchor('claim', c.id)})",
                f"${_in_cell(c.statement)}$",
                rows[c.id]["outcome"],
                _short(rows[c.id]),
            ]
            for c in topic.TABLE
        ]
    audit = json.loads(FILE.read_text(encoding="utf-8"))
    head = (
        "# Claims\n\nA claim is a sentence about these methods, *left side at most right side* under assumptions: a "
        "bound that a paper states, one that is proved here, or a *reading*, which the literature invites and which "
        f"may be false. Each was judged on many instances, {audit['evaluations']:,} evaluations in all, by "
        f"`{audit['command']}`. `gsi refute CLAIM` searches a counterexample to one anew and proves what it finds.\n\n"
    )
    listing = table(["claim", "statement", "verdict", "tightness"], listed)
    return pages | {"index": head + toctree(pages, hidden=True) + "\n" + listing}


def _in_cell(latex: str) -> str:
    """A formula without bars, which would end a table's cell."""
    return latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _short(row: Record) -> str:
    return f"{row['tightness']:.3g}" if row["tightness"] is not None else "–"
