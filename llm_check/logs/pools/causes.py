"""What the draws of a source point to: tables of evidence → cause, read from top to bottom.

Two kinds of evidence speak: repeats at shared prefixes (M34, tokens.py), by COUNTED, and the balance of the two sources
(M32, balance.py). Tokens see a temperature well, a truncation less well than the balance does. With whole steps only,
the balance speaks over the repeats where it is clear, and where it is not, repeats decide if most draws are repeats,
else both causes stand: DECISIONS. A cause is one of

    temperature    sampled at another temperature than scored at
    truncated      unlikely steps are never drawn: top-p, top-k, min-p
    shift          log-probabilities cover other tokens than the step
    context        the numbers are of another law: another prompt or prefix
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llm_check.logs.pools.evidence import LOG_E, Evidence
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.tokens import TokenCheck

__all__ = ["COUNTED", "DECISIONS", "Accusation", "accused", "causes", "duplicated", "says_balance"]

SMALLEST_TEMPERATURE_GAP = 0.02
FAINT_COLD = 0.9  # a temperature above it leaves about as many new draws as none
TEMPERATURES = (0.2, 5.0)
CLEAR_GAIN = 4.0  # nats of likelihood: 2.8 standard errors
OUTSIDE = 1000.0  # times as many repeats as foreseen: no temperature and no truncation in use does that
CLEAR_MARGIN = 5.0  # nats between two causes, of a balance that knows the length of steps but not their tokens

MORE = "more"  # more new draws than reported, without a temperature: no cause by itself


def _divided(e: Evidence, check: TokenCheck) -> bool:
    """Whether fewer new draws come than reported while proportions among the repeats are flatter than reported: a
    truncation leaves proportions alone, and a hot source has more new draws; log-probabilities divided by T do both.
    One source's division is that of the other where its repeats allow it."""
    return _flatter(check) or (
        check.level == "token"
        and check.log_e_fewer > LOG_E
        and any(_flatter(other) and _meet(other, check) for other in e.draws.values())
    )


def _flatter(check: TokenCheck | None) -> bool:
    hot = check is not None and check.interval is not None and check.interval[0] > 1.0 + SMALLEST_TEMPERATURE_GAP
    return check is not None and hot and check.level == "token" and check.log_e_fewer > LOG_E


def _meet(one: TokenCheck | None, other: TokenCheck) -> bool:
    """Whether two intervals of a temperature have one in common."""
    if one is None or one.interval is None or other.interval is None:
        return False
    return max(one.interval[0], other.interval[0]) <= min(one.interval[1], other.interval[1])


def _alone(check: TokenCheck) -> bool:
    """Whether the repeats' own evidence is of another temperature; of tokens, where their interval lies above 1, also
    together with the evidence of more new draws."""
    if check.temperature is None or abs(check.temperature - 1.0) <= SMALLEST_TEMPERATURE_GAP:
        return False
    hot = check.level == "token" and check.interval is not None and check.interval[0] > 1.0
    return check.log_e_temperature > LOG_E or (hot and check.log_e_hot > LOG_E)


def _tempered(e: Evidence, check: TokenCheck) -> bool:
    """Whether a temperature is to blame: by its own evidence, or because fewer new draws than reported go with a T̂
    clearly below 1 that accounts for them. With whole steps, never where the log-ratio is off by a nat."""
    if check.level == "step" and e.far_shifted:
        return False
    if check.log_e_fewer < LOG_E or check.log_e_fewer_tempered > LOG_E:
        return _alone(check)
    below = check.temperature is not None and check.temperature < 1.0 and check.temperature_gain > CLEAR_GAIN
    return _alone(check) or below or any(_explains(other, check) for other in e.draws.values())


def _explains(other: TokenCheck | None, check: TokenCheck) -> bool:
    """Whether the other source has a wrong temperature by its repeats alone that this one's interval contains."""
    if other is None or other is check or other.temperature is None or check.interval is None:
        return False
    low, high = check.interval
    clear = other.log_e_temperature > LOG_E or other.temperature_gain > CLEAR_GAIN
    return clear and low <= other.temperature <= high


def _no_temperature(e: Evidence, check: TokenCheck) -> bool:
    """Whether no temperature in use, or none at all, explains the draws."""
    low, high = check.interval or TEMPERATURES
    extreme = _tempered(e, check) and (high < TEMPERATURES[0] or low > TEMPERATURES[1])
    # A step's law at T is not a power of the step's law: with whole steps a part of the gain is left unexplained.
    allowed = (1.0 if check.level == "step" else 0.3) * check.temperature_gain
    return extreme or (check.misfit_left > LOG_E and check.misfit_left > allowed)


def _fewer(e: Evidence, check: TokenCheck) -> bool:
    """Whether fewer new draws come than reported, at T̂ where a temperature is to blame."""
    return (check.log_e_fewer_tempered if _tempered(e, check) else check.log_e_fewer) > LOG_E


def _whole_step(e: Evidence, check: TokenCheck | None) -> bool:
    """Whether a log of whole steps covers more than the step: what is drawn again and again has next to no reported
    mass, and a constant for each position explains it, by the ratios or by the proportions among repeats."""
    if check is None:
        return False
    low, high = check.interval or TEMPERATURES
    in_proportion = high - low < 0.5 and low < 1.05 and high > 0.95 and check.misfit_left < LOG_E
    if e.far_shifted:
        scarce = check.kept_mass < 0.2 or check.excess > OUTSIDE
        return scarce and (e.ratio.shift_misfit < 3.0 or in_proportion)
    return check.excess > OUTSIDE and in_proportion


class CountRow(NamedTuple):
    """A cause that repeats point to when `test` holds of (evidence, source, check); last: no row after it counts."""

    cause: str
    test: Callable[[Evidence, str, TokenCheck], bool]
    last: bool = False


def _shifted(e: Evidence, source: str, check: TokenCheck) -> bool:
    return _fewer(e, check) and check.level == "step" and (_whole_step(e, check) or _whole_step(e, e.later[source]))


def _truncated(e: Evidence, source: str, check: TokenCheck) -> bool:
    if check.level == "token":
        return _fewer(e, check)
    return _fewer(e, check) and not e.far_shifted and not _shifted(e, source, check)


def _undecided(e: Evidence, source: str, check: TokenCheck) -> bool:
    """Whether a truncation and a temperature account for the draws alike: fewer new ones than reported, and the repeats
    allow a temperature that accounts for them, or a division by one."""
    low, high = check.interval or TEMPERATURES
    faint = (low < FAINT_COLD and check.log_e_fewer_tempered <= LOG_E) or high > 1.0 / FAINT_COLD
    return faint and _truncated(e, source, check)


def _more(e: Evidence, source: str, check: TokenCheck) -> bool:
    return check.log_e_more > LOG_E and not _tempered(e, check) and source not in e.noisy


COUNTED = (
    CountRow("context", lambda e, source, check: _no_temperature(e, check), last=True),
    CountRow("temperature", lambda e, source, check: _divided(e, check), last=True),
    CountRow("temperature", lambda e, source, check: _tempered(e, check) or _undecided(e, source, check)),
    CountRow("shift", _shifted),
    CountRow("truncated", _truncated),
    CountRow(MORE, _more),
)


def _counted(e: Evidence, source: str) -> frozenset[str]:
    """What the counts of repeated draws point to (M34); none where the log-probabilities do not cover the step, or are
    the other model's."""
    check = e.draws[source]
    other = {cover.model for cover in e.uncovered}.union(e.scattered)
    if check is None or check.temperature is None or source in other or e.exchanged:
        return frozenset()
    rows: set[str] = set()
    for row in COUNTED:
        if row.test(e, source, check):
            rows.add(row.cause)
            if row.last:
                break
    return frozenset(rows)


class Accusation(NamedTuple):
    """Sources that the balance (M32) accuses, of which cause, and by how many nats over the other cause."""

    sources: tuple[str, ...] = ()
    cause: str = ""
    margin: float = 0.0


def accused(e: Evidence) -> Accusation:
    """What the balance says; no source where it holds or another fault may break it.

    Where repeats accuse a source, only the cause is left to say.
    """
    if e.balance is None or e.uncovered or e.scattered or e.exchanged or e.crossed or e.far_shifted:
        return Accusation()
    cold = {
        source: check.temperature_gain
        for source, check in e.draws.items()
        if check is not None and check.temperature is not None and check.temperature < 1.0
    }
    verdict = e.balance.verdict([source for source in SOURCES if _counted(e, source)], cold)
    return Accusation() if verdict is None else Accusation(*verdict)


def says_balance(e: Evidence, source: str) -> bool:
    """Whether the balance accuses a source and has a say beside its counts: where these are of whole steps, or see
    nothing; never where they see what no temperature and no truncation does."""
    check, counted = e.draws[source], _counted(e, source)
    tokens = check is not None and check.level == "token"
    return source in accused(e).sources and not counted & {"shift", "context"} and not (tokens and counted)


class Suspicion(NamedTuple):
    """What DECISIONS read of one source: its repeats' check and what they point to, whether the balance has a say, its
    cause and its margin."""

    check: TokenCheck | None
    counted: frozenset[str]
    balance: bool
    cause: str
    margin: float


def _counts_alone(s: Suspicion) -> frozenset[str]:
    return frozenset("context" if cause == MORE else cause for cause in s.counted)


# evidence -> causes: the first row whose test holds decides
DECISIONS: tuple[tuple[Callable[[Suspicion], bool], Callable[[Suspicion], frozenset[str]]], ...] = (
    (lambda s: not s.balance, _counts_alone),
    (lambda s: s.check is not None and s.check.level == "token", lambda s: frozenset({"truncated"})),
    # more new draws than reported: no truncation
    (lambda s: MORE in s.counted and s.cause == "temperature", lambda s: frozenset({"temperature"})),
    (lambda s: MORE in s.counted, lambda s: frozenset({"context"})),
    (lambda s: s.margin >= CLEAR_MARGIN, lambda s: frozenset({s.cause})),
    (lambda s: bool(s.counted) and s.check is not None and s.check.events > s.check.new_seen, lambda s: s.counted),
    (lambda s: True, lambda s: frozenset({"temperature", "truncated"})),
)


def causes(e: Evidence, source: str) -> frozenset[str]:
    """What the draws of a source point to, empty for nothing, where the numbers are no log-probabilities, and where the
    order of drawing, which counts rest on, is lost."""
    if e.no_log_probs or e.view.sorted_by is not None:
        return frozenset()
    says = accused(e)
    suspicion = Suspicion(e.draws[source], _counted(e, source), says_balance(e, source), says.cause, says.margin)
    return next(decide(suspicion) for holds, decide in DECISIONS if holds(suspicion))


def duplicated(e: Evidence) -> bool:
    """Whether rows were written twice: equal steps at one distance, or repeats of what hardly ever comes.

    Wrong log-probabilities too make repeats look impossible; but they unbalance the ratios, which copies do not.
    """
    apart = e.repeats.lag > 0 and e.view.sorted_by is None  # sorting puts equal steps side by side
    if apart or e.repeats.impossible == 0:
        return apart
    wrong = {"temperature", "shift"} & frozenset().union(*(causes(e, source) for source in SOURCES))
    wrong_numbers = e.uncovered or e.scattered or e.crossed or e.exchanged or e.no_log_probs
    return not wrong and not wrong_numbers and abs(e.ratio.z) < 6.0
