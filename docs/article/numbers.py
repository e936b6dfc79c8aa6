"""What the text says of artifacts: fields that fail by name, rows of tables, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

__all__ = ["FILTERS", "Fields", "Numbers", "Study"]


class Fields:
    """A record whose missing fields are errors that name it: `record.field`, `record["field"]`."""

    def __init__(self, name: str, record: Record, cure: str) -> None:
        self._name, self._record, self._cure = name, record, cure

    def __getattr__(self, field: str) -> Any:
        if field.startswith("__"):
            raise AttributeError(field)
        return self[field]

    def __getitem__(self, field: str) -> Any:
        if field not in self._record:
            found = ", ".join(sorted(map(str, self._record)))
            raise InputError(f"the article reads {field!r} of {self._name}, which has {found}: {self._cure}")
        value = self._record[field]
        return Fields(f"{self._name}.{field}", value, self._cure) if isinstance(value, dict) else value


class Numbers(Fields):
    """An artifact: its summary's fields, and the rows of its tables."""

    def __init__(self, artifact: Artifact) -> None:
        cure = f"rerun {str(artifact.provenance.get('command')) or 'the command that writes it'}"
        super().__init__(f"artifact {artifact.name!r}", artifact.summary, cure)
        self._tables = artifact.tables

    def table(self, name: str) -> list[Fields]:
        """The rows of a table."""
        if name not in self._tables:
            raise InputError(f"the article reads table {name!r} of {self._name}, which it lacks: {self._cure}")
        columns = self._tables[name]
        rows = zip(*columns.values(), strict=True)
        return [
            Fields(f"{self._name}, table {name!r}", dict(zip(columns, row, strict=True)), self._cure) for row in rows
        ]

    def column(self, name: str, column: str) -> list[Any]:
        """A column of a table, each value once."""
        return list(dict.fromkeys(row[column] for row in self.table(name)))

    def row(self, name: str, **where: object) -> Fields:
        """The one row that has these values."""
        found = [row for row in self.table(name) if all(row[key] == value for key, value in where.items())]
        if len(found) != 1:
            said = ", ".join(f"{key} = {value}" for key, value in where.items())
            raise InputError(
                f"the article reads the row with {said} of table {name!r} of {self._name}, which has {len(found)} "
                f"such rows: {self._cure}"
            )
        return found[0]


class Study(Numbers):
    """`lm_study`: differences that the article forms of its cells, for whole answers."""

    def _cell(self, draft: str, method: str, n: int, beta: float | None, quantity: str = "correct") -> Fields:
        return self.row("cells", draft=draft, tokens=None, method=method, n=n, beta=beta, quantity=quantity)

    def split(self, draft: str, n: int, beta: float) -> Record:
        """(M46) in accuracy, measured on fresh draws: first, reward, ratio, gate, gsi; NAME_se, the sum of the standard
        errors of both means, which that of their difference does not exceed; accepted, a share, and base_draws."""
        cells = [
            self._cell(draft, "draft", 1, None),
            *(self._cell(draft, method, n, beta) for method in ("soft_bon_draft", "gsi_ungated", "gsi")),
        ]
        parts: Record = {"first": cells[0].measured, "gsi": cells[-1].measured}
        for name, before, after in zip(("reward", "ratio", "gate"), cells, cells[1:], strict=False):
            parts |= {
                name: after.measured - before.measured,
                f"{name}_se": after.measured_se + before.measured_se,
            }
        accepted = self._cell(draft, "gsi", n, beta, "p_accept").measured
        return parts | {"accepted": accepted, "base_draws": n * (1.0 - accepted)}

    def largest_part(self, draft: str, n: int, beta: float) -> str:
        """The largest of the three parts of `split`."""
        parts = self.split(draft, n, beta)
        return max(("reward", "ratio", "gate"), key=lambda name: parts[name])

    def gain(self, draft: str, rival: str) -> Fields:
        """GSI less a rival in accuracy, paired over problems."""
        return self.row("gains", draft=draft, tokens=None, rival=rival, quantity="correct")

    def clear(self, rival: str, sign: int = 1) -> list[str]:
        """The drafts with which GSI is above (sign −1: below) the rival by more than two standard errors."""
        gains = {draft: self.gain(draft, rival) for draft in self.drafts}
        return [draft for draft, gain in gains.items() if sign * gain.gain > 2.0 * gain.gain_se]

    def mostly_rejected(self, n: int, beta: float) -> bool:
        """Whether fewer than half of GSI's rounds are accepted, with every draft."""
        return all(self.split(draft, n, beta)["accepted"] < 0.5 for draft in self.drafts)

    def shared_lengths(self) -> list[int]:
        """The numbers of tokens at which every draft was looked at."""
        rows = self.table("lengths")
        by_draft = [{row.tokens for row in rows if row.pool == draft} for draft in self.drafts]
        return sorted(set.intersection(*by_draft))

    def first_beyond(self, draft: str, divergence: float) -> int | None:
        """The least number of tokens tried at which KL(π_B‖π_S) exceeds the divergence; None for none."""
        rows = [row for row in self.table("lengths") if row.pool == draft and row.kl_base > divergence]
        return min((row.tokens for row in rows), default=None)


def _plain(value: float, digits: int) -> str:
    size = abs(value)
    decimals = 0 if size == 0 else max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{size:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and float(text) == round(float(text)) else text


def num(value: float, digits: int = 3) -> str:
    """A number in a sentence: whole ones in full, others with `digits` significant digits, small ones as a power."""
    if isinstance(value, float) and 0 < abs(value) < 1e-4:
        return f"${power(math.log10(abs(value)))}$"
    if float(value).is_integer():
        return f"{int(value):,}"
    return ("−" if value < 0 else "") + _plain(float(value), digits)


def plain(value: float) -> str:
    """A setting, as it was given."""
    return f"{value:g}"


def fixed(value: float, decimals: int) -> str:
    """With so many decimals."""
    text = f"{abs(value):.{decimals}f}"
    return ("−" if value < 0 and float(text) else "") + text


def signed(value: float, decimals: int = 2) -> str:
    """A difference."""
    text = fixed(value, decimals)
    return text if text[0] == "−" else f"+{text}"


def percent(value: float, decimals: int = 0) -> str:
    """A share."""
    return f"{fixed(100.0 * value, decimals)} %"


def power(log10: float, digits: int = 2) -> str:
    """10^log10 within a formula: in full below 100,000, else as a power of ten."""
    if log10 < 5 and log10 >= 0:
        return f"{math.ceil(10.0**log10 - 1e-6)}"
    whole = math.floor(log10)
    mantissa = f"{10.0 ** (log10 - whole):.{digits - 1}f}"
    if float(mantissa) >= 10.0:
        mantissa, whole = f"{1.0:.{digits - 1}f}", whole + 1
    return f"10^{{{whole}}}" if float(mantissa) == 1.0 else rf"{mantissa} \times 10^{{{whole}}}"


def power_of(value: float) -> str:
    """A number within a formula."""
    return power(math.log10(value))


def words(names: Sequence[str], every: str, of: Iterable[str]) -> str:
    """Names in a sentence: `every` where all `of` are among them, "none" for none."""
    if not names:
        return "none"
    if set(of) <= set(names):
        return every
    *first, last = (f"*{name}*" for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def within(value: int | None, most: int) -> str:
    """A number that was looked for up to `most`."""
    return f"more than {num(most)}" if value is None else num(value)


def listed(texts: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


FILTERS = {
    "num": num,
    "plain": plain,
    "fixed": fixed,
    "signed": signed,
    "percent": percent,
    "power": power,
    "power_of": power_of,
    "words": words,
    "within": within,
    "listed": listed,
    "log": math.log,
}
