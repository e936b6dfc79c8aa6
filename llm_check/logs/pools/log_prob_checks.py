"""Are the logged numbers log-probabilities of the steps at all? Checks that know no law: each holds for every model.

Probabilities of different steps of a position sum to at most 1; a step that the model drew is not beside another one
where it has probability one; P(ρ ≥ c) ≤ 1/c for ratios of draws (M45); of n tokens of a vocabulary of e^12.5 a draw has
−log p > 12.5 n + c with probability at most e^−c; long steps are less likely than short ones. Rows are in the order of
`PositionArrays`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.pools.position_arrays import PositionArrays, dense_codes, pair_codes
from llm_check.logs.pools.schema import SOURCES

__all__ = [
    "LengthBlind",
    "LogNumbers",
    "OneSidedEnd",
    "Overfull",
    "Sentinel",
    "check_blind",
    "check_copies",
    "check_end",
    "check_mass",
    "check_numbers",
    "check_overlong",
    "check_sentinels",
    "first_copies",
]

SURE = 14.0  # nats: below one in a million
FAR = 1000.0  # nats that no token and hardly a ratio is
TOKEN = 12.5  # nats: log of the largest vocabulary, 268,000
MARKED = 3  # times that a continuous number does not come again
A_TOKEN = 50.0  # nats a token, on average over a step: no softmax in use gives them
LEAST_COPIED = 0.05  # of the base rows
MASS = 0.1  # nats above log 1 that rounding may make
LONG = 32  # tokens: shorter steps may well be template and one surprise
FEWEST_ROWS, SPREAD = 30, 0.3  # of a regression on log length, its standard deviation
FLAT = 0.5  # exponent of growth with length; sums have 1, means 0


@dataclass(frozen=True)
class Sentinel:
    """Numbers of a model that stand for none: low rows far below any log-probability, zero rows of exact 0.0 that
    cannot be; first: table row of one, with its value."""

    model: str
    low: int
    zero: int
    first: int
    value: float


def _lengths(arrays: PositionArrays) -> Floats | None:
    """Tokens of each row, or characters of its text, or None."""
    if arrays.tokens is not None or not arrays.has("text"):
        return arrays.tokens
    return np.asarray(pc.utf8_length(arrays.column("text")).to_numpy(zero_copy_only=False), np.float64)


def _far_below(logp: Floats, other: Floats, tokens: Floats | None) -> Flags:
    """Rows whose number is no sum of log-probabilities: a round one below −FAR, one of more than A_TOKEN nats a token,
    or one that is FAR from the other model's and twenty times as far as nearly all rows are."""
    finite = np.isfinite(logp)
    value = np.where(finite, logp, 0.0)
    low = ((value <= -FAR) & _marked(value)) | _repeated_marks(value)
    if tokens is not None:
        low |= (value <= -FAR) & (value < -A_TOKEN * np.nan_to_num(tokens, nan=np.inf))
    gap = np.where(finite & np.isfinite(other), logp - other, 0.0)
    usual = float(np.quantile(np.abs(gap), 0.9)) if gap.size else 0.0
    return np.asarray(low | ((gap <= -FAR) & (-gap > 20.0 * usual + 100.0)))


def _marked(value: Floats) -> Flags:
    """Whole numbers that somebody chose: 10^k, 10^k − 1, or a multiple of 1000."""
    size = np.abs(value)
    marks = np.array([10.0**k - d for k in range(2, 10) for d in (0.0, 1.0)])
    return np.asarray(
        np.isin(size, marks)
        | ((size >= FAR) & (np.fmod(size, 1000.0, where=np.isfinite(size), out=np.ones_like(size)) == 0.0))
    )


def _repeated_marks(value: Floats) -> Flags:
    """Rows of a marked number that stands MARKED times or more among numbers that are not whole, as labels' -100."""
    mark = _marked(value)
    common = [v for v in np.unique(value[mark]).tolist() if np.count_nonzero(value == v) >= MARKED]
    others = value[~mark]
    if not common or np.count_nonzero(others == np.round(others)) >= 0.5 * others.size:
        return np.zeros(value.size, dtype=bool)
    return np.isin(value, common)


def check_sentinels(arrays: PositionArrays, code: Ints) -> list[Sentinel]:
    """Sentinels of each model, in whole steps and in tokens; code: equal steps of a position, equal numbers."""
    out = []
    logp = {model: arrays.floats(f"logp_{model}") for model in SOURCES}
    sure = SURE + float(np.log(arrays.order.size))
    for model, other in (SOURCES, SOURCES[::-1]):
        low = _far_below(logp[model], logp[other], arrays.tokens)
        zero = (logp[model] == 0.0) & _impossible_zeros(arrays, code, model, logp[other], sure)
        lists, others = (arrays.lists(f"token_logp_{name}") for name in (model, other))
        if lists is not None:
            row = np.repeat(np.arange(lists.lengths.size), lists.lengths)
            far = np.isfinite(lists.values) & (lists.values <= -FAR)
            low[row[far | _repeated_marks(lists.values)]] = True
            zero |= _padded(arrays, lists.values, lists.offsets, lists.lengths)
            if others is not None and np.array_equal(others.lengths, lists.lengths):
                drawn = arrays.is_base[row] == (other == "base")
                at = drawn & (lists.values == 0.0) & np.isfinite(others.values)
                zero |= _surprising_runs(at, others.values, row, arrays.order.size, sure)
        rows = np.flatnonzero(low | zero)
        if rows.size:
            first = int(rows[np.argmin(arrays.order[rows])])
            value = float(logp[model][first])
            out.append(Sentinel(model, int(low.sum()), int((zero & ~low).sum()), int(arrays.order[first]), value))
    return out


def _impossible_zeros(arrays: PositionArrays, code: Ints, model: str, other: Floats, sure: float) -> Flags:
    """Rows that cannot have probability one under the model: it drew another step there, or the other model drew this
    one and hardly ever does."""
    own = arrays.is_base == (model == "base")
    position = arrays.position
    pairs = np.unique(np.stack([position[own], code[own]], axis=1), axis=0)
    different = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(arrays.names)) if pairs.size else np.zeros(1)
    beside = np.zeros(position.size, dtype=bool)
    if own.any():
        beside = own & (different[position] >= 2)
    return np.asarray(beside | (~own & (other < -sure)))


def _padded(arrays: PositionArrays, values: Floats, offsets: Ints, lengths: Ints) -> Flags:
    """Rows whose list is longer than the step and ends in zeros for all that is too much."""
    ids = arrays.lists("token_ids")
    tokens = ids.lengths if ids is not None else arrays.tokens
    out = np.zeros(lengths.size, dtype=bool)
    if tokens is None:
        return out
    extra = np.where(np.isfinite(tokens), lengths - np.nan_to_num(tokens), 0.0)
    for row in np.flatnonzero((extra > 0) & (lengths > 0)).tolist():
        end = int(offsets[row] + lengths[row])
        out[row] = bool((values[end - int(extra[row]) : end] == 0.0).all())
    return out


def _surprising_runs(at: Flags, other: Floats, row: Ints, rows: int, sure: float) -> Flags:
    """Rows with a run of tokens of probability one whose probability under the model that drew them is below e^−sure
    over their number (M45: a ratio from any token on, P(ρ ≥ c) ≤ 1/c)."""
    out = np.zeros(rows, dtype=bool)
    if not at.any():
        return out
    start = np.flatnonzero(at & ~np.r_[False, at[:-1] & (row[1:] == row[:-1])])
    run = np.cumsum(np.isin(np.arange(at.size), start))
    nats = np.bincount(run[at], weights=-other[at])
    worst = nats[run[start]] > sure + np.log(max(at.size / rows, 1.0))
    out[row[start[worst]]] = True
    return out


@dataclass(frozen=True)
class Overfull:
    """A model whose probabilities of different steps sum above 1: positions, the largest log-sum, where."""

    model: str
    log_mass: float
    positions: int
    prompt_id: str


def check_mass(arrays: PositionArrays, code: Ints, what: str, spread: dict[str, float]) -> list[Overfull]:
    """Positions of too much mass, by model. Steps are different by token ids or text; where the log has neither, one of
    each length counts. spread: noise of equal rows, nats, allowed for."""
    if what not in ("token_ids", "text"):
        if arrays.tokens is None:
            return []
        code = pair_codes(arrays.position, np.nan_to_num(arrays.tokens, nan=-1.0).view(np.int64))
    out = []
    for model in SOURCES:
        logp = arrays.floats(f"logp_{model}")
        # of equal steps the mean number, which noise does not raise; of one length the largest
        if what in ("token_ids", "text"):
            least = np.bincount(code, weights=logp) / np.maximum(np.bincount(code), 1)
        else:
            least = np.full(int(code.max()) + 1, -np.inf)
            np.maximum.at(least, code, logp)
        first = np.unique(code, return_index=True)[1]
        mass = np.bincount(arrays.position[first], weights=np.exp(least[code[first]]), minlength=len(arrays.names))
        with np.errstate(divide="ignore"):
            log_mass = np.log(mass)
        over = np.flatnonzero(log_mass > MASS + 3.0 * spread.get(model, 0.0))
        if over.size:
            worst = int(over[np.argmax(log_mass[over])])
            out.append(Overfull(model, float(log_mass[worst]), int(over.size), arrays.names[worst][0]))
    return out


@dataclass(frozen=True)
class LengthBlind:
    """A model whose −log p grows like length^slope, slope ± error, over steps of shortest to longest tokens; mean:
    whether all are small enough for means over tokens."""

    model: str
    slope: float
    error: float
    shortest: int
    longest: int
    mean: bool


def check_blind(arrays: PositionArrays) -> list[LengthBlind]:
    """Models whose log-probabilities do not grow with length, of steps of LONG tokens or more."""
    tokens = _lengths(arrays)
    out: list[LengthBlind] = []
    if tokens is None:
        return out
    for model in SOURCES:
        logp = arrays.floats(f"logp_{model}")
        use = np.isfinite(logp) & (logp < 0) & (np.nan_to_num(tokens) > 0)
        if use.sum() < FEWEST_ROWS or tokens[use].max() < LONG:
            continue
        x, y = np.log(tokens[use]), np.log(-logp[use])
        x = x - x.mean()
        square = float(x @ x)
        if square < SPREAD**2 * x.size:
            continue
        slope = float(x @ y) / square
        left = y - y.mean() - slope * x
        error = float(np.sqrt(np.sum((x * left) ** 2))) / square
        if slope + 4.0 * error < FLAT:
            mean = bool(np.quantile(-logp[use], 0.99) <= TOKEN)
            out.append(LengthBlind(model, slope, error, int(tokens[use].min()), int(tokens[use].max()), mean))
    return out


def check_overlong(arrays: PositionArrays) -> dict[str, int]:
    """Rows, by the model that drew them, less likely than any draw of so few tokens: numbers of more tokens."""
    if arrays.tokens is None:
        return {}
    tokens, counts = np.nan_to_num(arrays.tokens, nan=np.inf), {}
    for model in SOURCES:
        own = arrays.is_base == (model == "base")
        logp = arrays.floats(f"logp_{model}")
        excess = -logp - TOKEN * tokens
        rows = int(np.sum(own & (excess > SURE + np.log(arrays.order.size))))
        if rows >= max(1.0, 0.01 * own.sum()):
            counts[model] = rows
    return counts


@dataclass(frozen=True)
class OneSidedEnd:
    """The model whose numbers leave out a step's last token, in this share of the rows."""

    model: str
    share: float
    known_by: str


def check_end(arrays: PositionArrays) -> OneSidedEnd | None:
    """Whether one model's numbers leave out the last token of finished steps: its list is one shorter than the other's,
    its whole log-probability is the sum of all but the last, or its last token alone has exactly 0.0."""
    lists = {model: arrays.lists(f"token_logp_{model}") for model in SOURCES}
    finished = np.ones(arrays.order.size, dtype=bool)
    if arrays.has("finish_reason"):
        reason = pc.fill_null(pc.equal(arrays.column("finish_reason"), "length"), False)
        finished = ~np.asarray(reason.to_numpy(zero_copy_only=False), dtype=bool)
    if not finished.any():
        return None
    for model, other in (SOURCES, SOURCES[::-1]):
        these, those = lists[model], lists[other]
        if these is None:
            continue
        if those is not None:
            shorter = those.lengths - these.lengths == 1
            if shorter[finished].mean() > 0.9 and (those.lengths == these.lengths)[~finished].all():
                return OneSidedEnd(model, float(shorter.mean()), "lists of tokens")
        some = these.lengths > 0
        last = np.zeros(some.size)
        last[some] = these.values[these.offsets[some] + these.lengths[some] - 1]
        if those is not None and np.array_equal(those.lengths, these.lengths):
            end = np.zeros(some.size)
            end[some] = those.values[those.offsets[some] + those.lengths[some] - 1]
            padded = (last == 0.0) & (end < -1e-3)
            if some.any() and padded[finished & some].mean() > 0.9:
                return OneSidedEnd(model, float(padded.mean()), "last tokens of exactly 0.0")
        sums = np.zeros(some.size)
        if some.any():
            sums[some] = np.add.reduceat(these.values, these.offsets[some])
        with np.errstate(invalid="ignore"):  # steps that the model cannot draw
            gap = arrays.floats(f"logp_{model}") - sums
        told = some & finished & (np.abs(last) > 1e-3)
        without = told & (np.abs(gap + last) <= 1e-3 * (1.0 + np.abs(last)))
        if told.sum() >= 5 and without.sum() > 0.9 * told.sum():
            return OneSidedEnd(model, float(without.mean()), "sums of tokens")
    return None


def check_copies(arrays: PositionArrays, code: Ints, what: str, ordered: bool = False) -> int:
    """Base rows that repeat a draft row of their position: those that hardly ever agree by chance, or more at the same
    candidate number than at others; 0 where nothing shows it. Rows agree by ids or text where the log has them, and by
    one model's log-probability, the reward and the length, to the last bit: the other column may be made up. ordered:
    candidates are sorted, so that their numbers say nothing."""
    base, draft = np.flatnonzero(arrays.is_base), np.flatnonzero(~arrays.is_base)
    if not base.size or not draft.size:
        return 0
    drafts = np.bincount(arrays.position[draft], minlength=len(arrays.names))
    pairs = float(drafts[arrays.position[base]].sum())
    rare = np.maximum(arrays.floats("logp_base"), arrays.floats("logp_draft")) < -SURE - np.log(pairs)
    most = 0
    for model in SOURCES:
        key = _numbers(arrays, model, code if what in ("token_ids", "text") else arrays.position)
        # a key of several drafts tells no step from others
        count = np.bincount(key[draft], minlength=int(key.max()) + 1)
        again = base[count[key[base]] == 1]
        believed = not (rare[draft] & (count[key[draft]] > 1)).any()  # else what is drawn twice is called rare
        if again.size < max(3.0, LEAST_COPIED * base.size):
            continue
        if (believed and rare[again].sum() >= 3) or (not ordered and _aligned(arrays, key, base, draft)):
            most = max(most, int(again.size))
    return most


def _numbers(arrays: PositionArrays, model: str, code: Ints) -> Ints:
    """Code of (code, one model's log-probability, reward, length)."""
    for values in (arrays.floats(f"logp_{model}"), arrays.floats("reward"), arrays.tokens):
        if values is not None:
            code = pair_codes(code, (values + 0.0).view(np.int64))
    return code


def _aligned(arrays: PositionArrays, code: Ints, base: Ints, draft: Ints) -> bool:
    """Whether base rows equal the draft of their own number more often than drafts of other numbers (binomial)."""
    candidate = dense_codes(arrays.floats("candidate").astype(np.int64))
    place = arrays.position * (int(candidate.max()) + 1) + candidate
    order = draft[np.argsort(place[draft])]
    at = np.searchsorted(place[order], place[base])
    known = at < order.size
    known[known] &= place[order[at[known]]] == place[base[known]]
    facing, mine = order[at[known]], base[known]
    if mine.size < 5:
        return False
    equal = float(np.sum(code[facing] == code[mine]))
    counts = np.bincount(code[draft], minlength=int(code.max()) + 1)
    drafts = np.bincount(arrays.position[draft], minlength=len(arrays.names))
    chance = float(np.mean(counts[code[mine]] / drafts[arrays.position[mine]]))
    if chance >= 0.9 or equal <= chance * mine.size:
        return False
    rate = equal / mine.size
    rest = (1.0 - rate) * np.log((1.0 - rate) / (1.0 - chance)) if rate < 1.0 else 0.0
    return bool(mine.size * (rate * np.log(rate / max(chance, 1e-12)) + rest) > SURE)


def first_copies(arrays: PositionArrays) -> Flags:
    """Rows that are no copy of an earlier row: of rows of one source whose numbers agree to the last bit and whose step
    hardly ever comes twice, the first alone is a draw, in whatever prompt."""
    own = np.where(arrays.is_base, arrays.floats("logp_base"), arrays.floats("logp_draft"))
    rows = np.flatnonzero(own < -SURE - 2.0 * np.log(max(own.size, 1)))
    keep = np.ones(own.size, dtype=bool)
    if rows.size:
        code = arrays.is_base[rows].astype(np.int64)
        for name in ("logp_draft", "logp_base", "reward"):
            code = pair_codes(code, (arrays.floats(name)[rows] + 0.0).view(np.int64))
        keep[rows] = False
        keep[rows[np.unique(code, return_index=True)[1]]] = True
    return keep


@dataclass(frozen=True)
class LogNumbers:
    """What the checks found. equal: both models have the same number in every row; placeholder: the one number that
    stands in every row of both columns, of two draws or more, None for none."""

    equal: bool = False
    placeholder: float | None = None
    sentinels: tuple[Sentinel, ...] = ()
    overfull: tuple[Overfull, ...] = ()
    blind: tuple[LengthBlind, ...] = ()
    overlong: dict[str, int] = field(default_factory=dict)
    one_sided_end: OneSidedEnd | None = None
    copied: int = 0

    @property
    def wrong(self) -> bool:
        """Whether anything was found that makes them no log-probabilities of the rows' steps and draws."""
        found = self.sentinels or self.overfull or self.blind or self.overlong or self.one_sided_end or self.copied
        return bool(found) or self.placeholder is not None


def check_numbers(
    arrays: PositionArrays, code: Ints, what: str, spread: dict[str, float], ordered: bool = False
) -> LogNumbers:
    """Run every check; code and what as of `PositionArrays.same_steps`, spread as of `check_mass`, ordered as of
    `check_copies`."""
    draft = arrays.floats("logp_draft")
    equal = bool(np.array_equal(draft, arrays.floats("logp_base")))
    return LogNumbers(
        equal=equal,
        placeholder=float(draft[0]) if equal and draft.size > 1 and bool((draft == draft[0]).all()) else None,
        sentinels=tuple(check_sentinels(arrays, code)),
        overfull=tuple(check_mass(arrays, code, what, spread)),
        blind=tuple(check_blind(arrays)),
        overlong=check_overlong(arrays),
        one_sided_end=check_end(arrays),
        copied=check_copies(arrays, code, what, ordered),
    )
