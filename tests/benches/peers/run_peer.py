"""Runs a peer's driver in its environment and judges the outcomes against the laws (M50)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gsi_theory.conformance.e_process import tv_bounds
from gsi_theory.conformance.play import Conformance, Rival, play
from gsi_theory.errors import InputError
from tests.benches.peers.peer_record import Case, Peer

__all__ = ["LEVEL", "Judged", "judge", "outcomes_of", "run_peer", "verdict"]

LEVEL = 1e-4  # of one case: of a hundred right cases one is called wrong with probability 1 % at most


@dataclass(frozen=True)
class Judged:
    """A case and what came of it: `error` where the driver raised, else `conformance`, and of all outcomes that the
    driver gave, those beyond the verdict too, how many, and at 95 % the TV from the law (low, high)."""

    case: Case
    conformance: Conformance | None
    error: str = ""
    draws: int = 0
    tv: tuple[float, float] = (0.0, 1.0)


def verdict(judged: Judged) -> str:
    """In words: conforms, differs from its documentation, differs from what one might expect, could not be driven."""
    if judged.conformance is None:
        return "could not be driven"
    if judged.conformance.conforms:
        return "conforms"
    return {
        "documentation": "differs from its documentation",
        "comment": "differs from a comment of its source",
        "expectation": "differs from what one might expect",
    }[judged.case.stands_on]


def judge(case: Case, outcomes: Sequence[int]) -> Judged:
    """Judge outcomes, one after the other, against the case's law. Raises InputError for none and for no outcomes."""
    if not outcomes:
        raise InputError(f"{case.id}: the driver returned no outcomes: ask for one draw or more")
    rivals = [Rival("mistake", name, words, (law(),)) for name, (words, law) in case.rivals.items()]
    turn, law = iter(outcomes), case.law()
    conformance = play(lambda _: next(turn), [law], [1e-12], rivals, draws=len(outcomes), level=LEVEL)
    tv = tv_bounds(np.bincount(outcomes, minlength=law.size), law, 0.05)
    return Judged(case, conformance, "", len(outcomes), tv)


def outcomes_of(
    cases: Iterable[Case], python: Path, driver: Path, seed: int = 0, draws: int | None = None
) -> Iterator[tuple[Case, list[int], str]]:
    """(case, its outcomes, error) as the driver gives them. Raises InputError where it ends before its last case."""
    cases = list(cases)
    asked = [
        {"id": c.id, "driver": c.driver, "settings": dict(c.settings), "draws": draws or c.draws, "seed": seed}
        for c in cases
    ]
    done = subprocess.run(
        [str(python), str(driver)], input=json.dumps({"cases": asked}), capture_output=True, text=True
    )
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    for case in cases:
        if case.id not in answers:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise InputError(f"{driver.name} ended before {case.id}: {last}")
        answer = answers[case.id]
        yield case, answer.get("outcomes", []), answer.get("error", "")


def run_peer(peer: Peer, python: Path, *, only: str = "", seed: int = 0, draws: int | None = None) -> list[Judged]:
    """Every case of the peer whose id has `only` in it. Raises InputError where none has, and as `outcomes_of`."""
    cases = [case for case in peer.cases if only in case.id]
    if not cases:
        raise InputError(f"{peer.name}: no case has {only!r} in its name: {', '.join(c.id for c in peer.cases)}")
    return [
        Judged(case, None, error) if error else judge(case, outcomes)
        for case, outcomes, error in outcomes_of(cases, python, peer.driver, seed, draws)
    ]
