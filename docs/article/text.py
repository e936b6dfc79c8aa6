"""Fill the article's source: numbers, statements, references and figures, for the PDF or for the page of the site.

Fails with InputError, by name, for a number that no artifact has, and for a sentence that its artifact no longer bears
out: it has then to be written anew.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, UndefinedError

from docs.article.artifacts import Source
from docs.article.numbers import FILTERS, Fields, Numbers, Study
from docs.article.references import REFERENCES
from docs.claim_audit import FILE, audited
from figures.figure_table import figures_of
from figures.mathml import upright
from figures.plot_data import drawing
from figures.plots import render_svg
from figures.style import house_style
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.errors import InputError
from gsi_theory.runs.theory_chapters import CHAPTERS, FORMULA
from sims.audits.kl_rate import AT, LARGEST_COVERAGE, NEAR
from sims.experiments.rule_limits import BETA
from sims.worlds import WORLDS

__all__ = ["SOURCE", "figure_names", "fill", "svg"]

SOURCE = Path(__file__).parent / "article.md.jinja"
LABEL = re.compile(r'statement\("(\w+)", "([\w-]+)"')
_NUMBERS = re.compile(r'statement\("\w+", "[\w-]+", "(M[^"]*)"')
_FIGURE = re.compile(r'\bfigure\("(\w+)"')
# pandoc reads single bars as relations
_ABSOLUTE, _BARS = re.compile(r"(?<!\\)\|((?:[^|\\]|\\[^|])*)\|"), r"\\left|\1\\right|"
_HEADING = re.compile(r"^## (?!References|Appendix)", re.MULTILINE)


def figure_names(source: str) -> list[str]:
    """The figures in the order in which they appear."""
    return _FIGURE.findall(source)


def svg(name: str, sources: Mapping[str, Source]) -> str:
    """A figure of the report or the gallery, drawn from its artifact."""
    entry = next(entry for page in ("report", "gallery") for entry in figures_of(page) if entry.name == name)
    with drawing(entry.artifact), house_style():
        return render_svg(entry.draw(sources[entry.artifact].artifact))


class _Words:
    """What the source calls beside filters; `page`: for the site, where numbers link to the theory."""

    def __init__(self, source: str, sources: Mapping[str, Source], page: bool) -> None:
        self.page, self.sources = page, sources
        self.statements = {label: f"{kind} {i}" for i, (kind, label) in enumerate(LABEL.findall(source), start=1)}
        self.figures = {name: f"Figure {i}" for i, name in enumerate(figure_names(source), start=1)}
        self.numbers = {key: i for i, key in enumerate(REFERENCES, start=1)}

    def _named(self, table: Mapping[str, Any], key: str, kind: str) -> Any:
        if key not in table:
            raise InputError(f"the article has no {kind} {key!r} (known: {', '.join(table)})")
        return table[key]

    def m(self, numbers: str) -> str:
        return re.sub(r"M\d+b?", lambda n: f"[{n[0]}](#{n[0].lower()})", numbers) if self.page else numbers

    def chapter(self, name: str) -> str:
        title = CHAPTERS[name].partition("\n")[0].removeprefix("# ")
        return f"theory, [{title}](../theory/{name}.md)" if self.page else f"theory, chapter *{title}*"

    def statement(self, kind: str, label: str, numbers: str, title: str) -> str:
        head = f"**{self.statements[label]}** ({self.m(numbers)}; {title})**.**"
        return f"(article-{label})=\n{head}" if self.page else head

    def ref(self, label: str) -> str:
        said = self._named(self.statements, label, "statement")
        return f"[{said}](#article-{label})" if self.page else said.replace(" ", "\u00a0")

    def cite(self, key: str) -> str:
        return f"\\[{self._named(self.numbers, key, 'reference')}\\]"

    def figure_ref(self, name: str) -> str:
        return self._named(self.figures, name, "figure").replace(" ", "\u00a0")

    def figure(self, name: str, caption: str, width: int) -> str:
        if self.page:
            alt = caption.split(".")[0]
            return f":::{{figure}} {name}.svg\n:alt: {alt}\n\n{self.figures[name]}. {caption}\n:::"
        return f"![{caption}]({name}.svg){{width={width}%}}"

    def knobs(self, world: str) -> str:
        """What a named world is made of."""
        if world not in WORLDS:
            raise InputError(
                f"the article describes worlds by their knobs, and {world!r} is none of {', '.join(WORLDS)}"
            )
        knob = WORLDS[world]
        rewards = f"reward one on {knob.good} of them, else zero" if knob.good else "rewards spread over $[0, 1]$"
        return (
            f"{knob.size} outcomes, $\\max \\pi_B/\\pi_S = {knob.coverage:g}$, {rewards}, correlation "
            f"{knob.correlation:g} of rewards with log-ratios"
        )

    def appendix(self) -> str:
        return "[appendix](#article-appendix)" if self.page else "appendix"

    def appendix_place(self) -> str:
        return "(article-appendix)=\n" if self.page else ""

    def finding(self, artifact: str, name: str) -> str:
        """Nothing, where the finding holds."""
        findings = self.sources[artifact].artifact.summary.get("findings", {})
        if name not in findings:
            raise InputError(f"the article reads finding {name!r} of artifact {artifact!r}, which it lacks")
        return self.sure(findings[name]["holds"], f"finding {name} of artifact {artifact}")

    def sure(self, true: object, said: str) -> str:
        """Nothing, where it is true."""
        if true is not True:
            raise InputError(f"the article says what its artifacts no longer show ({said}): write the sentence anew")
        return ""

    def example(self, claim: str) -> str:
        """A claim's certified counterexample, as a sentence."""
        row = audited()[claim].get("certificate")
        if not row or row["outcome"] != "REFUTED":
            raise InputError(f"the article cites the counterexample to {claim}, which {FILE.name} does not hold")
        laws = [
            f"${symbol} = ({', '.join(map(_decimal, row[name]))})$"
            for symbol, name in ((r"\pi_S", "draft"), (r"\pi_B", "base"), ("r", "reward"))
        ]
        left, right = (row[side][0][:7] for side in ("lhs", "rhs"))
        return (
            f"For {', '.join(laws)}, $\\beta = {_decimal(row['beta'])}$ the left side is {left}… and the right side "
            f"{right}…, enclosed in ball arithmetic."
        )

    def verdicts(self, source: str) -> dict[str, int]:
        """What the audit says of the claims whose formula is a statement's."""
        numbers = {n for said in _NUMBERS.findall(source) for n in said.split(", ")}
        rows = [row for name, row in audited().items() if CLAIMS[name].formula in numbers]
        outcomes = Counter(row["outcome"] for row in rows)
        return {
            "claims": len(rows),
            "evaluations": sum(row["evaluations"] for row in rows),
            "holds": outcomes[Outcome.HOLDS],
            "refuted": outcomes[Outcome.REFUTED],
            "surprises": sum(row["outcome"] != row["expected"] for row in rows),
        }

    def listing(self) -> list[dict[str, Any]]:
        """The table of artifacts."""
        rows = [
            {
                "name": name,
                "command": source.artifact.provenance["command"],
                "seed": source.artifact.provenance["seed"],
                "commit": _short(source.artifact.provenance["commit"]),
                "origin": "kept" if source.kept else "computed",
            }
            for name, source in self.sources.items()
        ]
        audit = json.loads(FILE.read_text(encoding="utf-8"))["command"]
        return [*rows, {"name": "claims", "command": audit, "seed": audit.split()[-1], "commit": "–", "origin": "kept"}]


def _decimal(value: float) -> str:
    return f"{value:.10g}"


def _short(commit: str | None) -> str:
    head, _, changed = (commit or "–").partition("+")
    return head[:9] + ("+" if changed else "")


def _numbered(text: str) -> str:
    """Sections with their numbers."""
    count = iter(range(1, 100))
    return _HEADING.sub(lambda _: f"## {next(count)} ", text)


def _set_for_pandoc(text: str) -> str:
    """Words in formulas upright, as the site sets them."""

    def formula(match: re.Match[str]) -> str:
        fence = "$$" if match[0].startswith("$$") else "$"
        latex = upright(match[1] or match[2]).replace(r"\|r\|", r"\left\|r\right\|")
        return f"{fence}{_ABSOLUTE.sub(_BARS, latex)}{fence}"

    return FORMULA.sub(formula, text)


def fill(sources: Mapping[str, Source], *, page: bool, source: str | None = None) -> str:
    """The article as Markdown: for pandoc, or for the site (`page`). Raises InputError, as above."""
    source = SOURCE.read_text(encoding="utf-8") if source is None else source
    words = _Words(source, sources, page)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters |= FILTERS
    read = {name: (Study if name == "lm_study" else Numbers)(found.artifact) for name, found in sources.items()}
    named = {
        name: getattr(words, name)
        for name in (
            "m",
            "chapter",
            "statement",
            "ref",
            "cite",
            "figure",
            "figure_ref",
            "finding",
            "sure",
            "example",
            "knobs",
        )
    }
    claims = {name: Fields(f"claim {name}", row, "python -m docs.claim_audit") for name, row in audited().items()}
    try:
        text = environment.from_string(source).render(
            **read,
            **named,
            appendix=words.appendix(),
            appendix_place=words.appendix_place(),
            claims=Fields(FILE.name, claims, "python -m docs.claim_audit"),
            claim_command=json.loads(FILE.read_text(encoding="utf-8"))["command"],
            rule_limits_beta=BETA,
            rate_at=AT,
            rate_near=NEAR,
            rate_coverage=LARGEST_COVERAGE,
            verdicts=words.verdicts(source),
            sources=words.listing(),
            references=[f"{words.numbers[key]}. {text}" for key, text in REFERENCES.items()],
        )
    except UndefinedError as error:
        raise InputError(f"the article names what nothing defines: {error.message}") from error
    text = _numbered(text)
    return text if page else _set_for_pandoc(text)
