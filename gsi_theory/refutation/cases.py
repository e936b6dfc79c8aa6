"""Claims on many cases (instance, scheme) of any sizes, rules and gates, through batches of `Facts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np

from gsi_theory.claims.claim import Claim, Judgement
from gsi_theory.claims.facts import Facts
from gsi_theory.instance import Instance, Scheme
from gsi_theory.types import Floats

__all__ = ["batches", "judgments"]

# Rows of one batch: enough for array operations to pay, few enough for the cache and for memory.
LARGEST_BATCH = 4_096

Cases = Sequence[tuple[Instance, Scheme]]


def batches(cases: Cases) -> Iterator[tuple[list[int], Facts]]:
    """(indices into cases, their facts) for the cases of each rule and gate, in blocks of at most LARGEST_BATCH."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for i, (_, scheme) in enumerate(cases):
        kinds.setdefault((scheme.rule, scheme.gate), []).append(i)
    for (rule, gate), members in kinds.items():
        for start in range(0, len(members), LARGEST_BATCH):
            part = members[start : start + LARGEST_BATCH]
            instances, schemes = zip(*(cases[i] for i in part), strict=True)
            yield (
                part,
                Facts.batch(
                    _padded([x.log_draft for x in instances], -np.inf),
                    _padded([x.log_base for x in instances], -np.inf),
                    _padded([x.reward for x in instances], 0.0),
                    np.array([s.beta for s in schemes]),
                    np.array([s.n for s in schemes]),
                    np.array([np.nan if s.threshold is None else s.threshold for s in schemes]),
                    np.array([s.base_draws for s in schemes]),
                    rule=rule,
                    gate=gate,
                ),
            )


def judgments(claims: Mapping[str, Claim], cases: Cases) -> dict[str, dict[str, Floats]]:
    """By claim, every field of its `Judgement` as an array (number of cases,), in the order of the cases."""
    columns = {key: {f.name: np.zeros(len(cases)) for f in fields(Judgement)} for key in claims}
    for members, facts in batches(cases):
        for key, claim in claims.items():
            judged = claim.judge(facts)
            for name, values in columns[key].items():
                values[members] = getattr(judged, name)
    return columns


def _padded(rows: Sequence[Floats], filler: float) -> Floats:
    out = np.full((len(rows), max(map(len, rows))), filler)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
