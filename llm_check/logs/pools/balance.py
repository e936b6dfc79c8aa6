"""Which source does a row come from? What the log-ratios foresee, against what the rows say (M32, any function).

Pool the n_S drafts and n_B base candidates of a position. If both are drawn from the laws that the log reports,

    P(draft | row) = σ(log(n_S/n_B) − ℓ) = μ      ℓ = log π_B − log π_S

exactly, so Σ (y − μ) h has mean zero for every function h of the row (y = 1: a draft); h = 1 is the bridge of ratio.py.
Here h is 1, log π_S, log π_B, the length, and how far log π_S and log π_B lie in their lowest twentieth: what a
temperature or a truncation of one source moves. It needs no repeats and no token log-probabilities, and is bounded in
ℓ, so its test holds for heavy tails too.

What a fault does to the odds log P(draft)/P(base) names it, r being a log-probability less what position and length
say of it:

    temperature T of the draft    (1/T − 1) r on top of −ℓ, over the whole range; of the base the same with minus
    truncation of the draft       unlikely steps are missing, likely ones are not moved: k·min(r − m, 0), m a quantile

Both are fitted by maximum likelihood, for each source and for both; the larger gain names the cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, fdtrc

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.position_arrays import PositionArrays, dense_codes

__all__ = ["FREEDOM", "UNBALANCED", "Balance", "check_balance"]

LOWEST = 0.05
QUANTILES = (LOWEST, 0.15, 0.3, 0.45, 0.6)
EDGES = (0.01, 0.99)  # h is clipped there: no single row decides
RIDGE = 1e-3
FREEDOM, FEWEST = 6, 30.0
EXPLAINED, CONSTANT = 0.25, 0.4  # of chi2: least gain, and largest share of h = 1, where no source is suspected
UNBALANCED = 1e-6  # p-value below which causes are looked for
SOURCES: dict[str, tuple[str, ...]] = {"draft": ("draft",), "base": ("base",), "both": ("draft", "base")}


@dataclass(frozen=True)
class Balance:
    """level: p-value of the test, by the F distribution of Hotelling's `chi2` (which h = 1 alone makes `constant` of)
    with FREEDOM functions and as many rows as bear on it; rows: rows it saw.

    gains: by (sources, cause), cause "temperature" or "truncated" and sources "draft", "base" or "both", the gain in
    log-likelihood, nats; temperatures: by sources, 1/(1 + slope), nearer to 1 than the sampling temperature, as the
    constant of a tempered law differs between steps; left: chi2 after the best of the fits.
    """

    chi2: float
    constant: float
    level: float
    rows: int
    gains: dict[tuple[str, str], float]
    temperatures: dict[str, float]
    left: float

    def verdict(
        self, suspects: Sequence[str] = (), tempered: Mapping[str, float] | None = None
    ) -> tuple[tuple[str, ...], str, float] | None:
        """(sources, cause, margin over the other cause at these sources, nats); None where no fit restores balance.

        suspects: the sources to choose a cause for. Without any they are chosen too: "both" must gain 5 nats more than
        one, the gain must be a quarter of chi2 (half of it where the fit is the fault), and h = 1 must be nearly in
        balance, as a wrong source's law still sums to one: numbers of another prompt move h = 1 most, and are not for
        these fits to explain, nor do they show a hot source by themselves: log-ratios that tell too little look hot. A
        truncation must gain one nat more for each source, for its quantile, and as many more
        as `tempered` says that other evidence speaks for a temperature there.
        """
        if not self.gains or self.left > max(30.0, 0.1 * self.chi2):
            return None
        worth = {}
        for (sources, cause), gain in self.gains.items():
            names = SOURCES[sources]
            alone = self.constant < CONSTANT * self.chi2 and gain > EXPLAINED * self.chi2
            if set(names) == set(suspects) if suspects else alone:
                against = sum(1.0 + (tempered or {}).get(name, 0.0) for name in names)
                worth[sources, cause] = gain - 5.0 * (len(names) - 1) - (against if cause == "truncated" else 0.0)
        if not worth:
            return None
        sources, cause = max(worth, key=lambda key: worth[key])
        if not suspects and cause == "temperature" and self.temperatures[sources] > 1.0:
            return None
        others = [value for key, value in worth.items() if key[0] == sources and key[1] != cause]
        return SOURCES[sources], cause, worth[sources, cause] - max(others, default=-np.inf)


@dataclass(frozen=True)
class _Rows:
    """Rows of positions with both sources: draft (R,) 0 or 1, odds (R,) log P(draft)/P(base) as the log foresees it,
    set (R,) code of position and source, position (R,), length (R,), logp (R,) by model."""

    draft: Floats
    odds: Floats
    sets: Ints
    position: Ints
    length: Floats
    logp: dict[str, Floats]


def _rows(arrays: PositionArrays) -> _Rows | None:
    """Rows of finite log-probabilities at positions with two or more of each source; None without any."""
    logp = {name: arrays.floats(f"logp_{name}") for name in ("draft", "base")}
    finite = np.isfinite(logp["draft"]) & np.isfinite(logp["base"])
    counts = np.zeros((len(arrays.names), 2))
    np.add.at(counts, (arrays.position[finite], arrays.is_base[finite].astype(np.int64)), 1.0)
    rows = np.flatnonzero(finite & np.asarray(counts.min(axis=1) >= 2)[arrays.position])
    if rows.size == 0:
        return None
    position, base, tokens = arrays.position[rows], arrays.is_base[rows], arrays.tokens
    odds: Floats = np.log(counts[position, 0]) - np.log(counts[position, 1]) - arrays.log_ratio[rows]
    return _Rows(
        draft=np.where(base, 0.0, 1.0),
        odds=odds,
        sets=dense_codes(2 * position + base),
        position=dense_codes(position),
        length=np.zeros(rows.size) if tokens is None else np.nan_to_num(tokens[rows]),
        logp={name: value[rows] for name, value in logp.items()},
    )


def _test(rows: _Rows, odds: Floats) -> tuple[float, float, float]:
    """(Hotelling's sum of squares of Σ (y − μ)h in its standard errors, that of h = 1 alone, rows that bear on it).

    Sets are independent. Rows of one model out of the other's reach have t = y − μ near 0 and bear on nothing: what
    counts is their effective number (Σ t²)²/Σ t⁴, less the share that the means of the sets take.
    """
    apart = [_apart(value, rows) for value in (*rows.logp.values(), rows.length)]
    low = [np.minimum(value - np.quantile(value, LOWEST), 0.0) for value in apart[:2]]
    columns = [np.ones(odds.size), *apart, *low]
    h = np.column_stack([np.clip(c, *np.quantile(c, EDGES)) for c in columns])
    terms = (rows.draft - expit(odds))[:, None] * (h / np.maximum(np.abs(h).max(axis=0), 1e-300))
    size = np.bincount(rows.sets)
    mean = np.column_stack([np.bincount(rows.sets, column) for column in terms.T]) / size[:, None]
    around = (terms - mean[rows.sets]) * np.sqrt(size / np.maximum(size - 1, 1))[rows.sets][:, None]
    total = terms.sum(axis=0)
    # a floor for rounding: where nothing varies nothing is out of balance
    spread = around.T @ around + 1e-9 * odds.size * np.eye(FREEDOM)
    chi2, constant = float(total @ np.linalg.pinv(spread) @ total), float(total[0] ** 2 / spread[0, 0])
    square = (rows.draft - expit(odds)) ** 2
    bearing = float(square.sum()) ** 2 / max(float((square**2).sum()), 1e-300) * (1.0 - size.size / odds.size)
    return chi2, constant, bearing


def _apart(values: Floats, rows: _Rows) -> Floats:
    """Values less the middle of their position: of its two sources' means, the row itself left out of its own.

    Leaving it out keeps Σ (y − μ) h at mean zero, exactly for h linear in it and to O(1/N²) a row for the other two:
    the middle of the position is then independent of the row.
    """
    size, total = np.bincount(rows.sets), np.bincount(rows.sets, values)
    others = (total[rows.sets] - values) / (size[rows.sets] - 1)
    facing = rows.sets ^ 1  # the sets of a position are numbered 2p and 2p + 1
    return values - 0.5 * (others + total[facing] / size[facing])


def _left_over(values: Floats, rows: _Rows) -> Floats:
    """What position and length do not say of `values`."""
    count = np.bincount(rows.position)
    centered, length = (v - (np.bincount(rows.position, v) / count)[rows.position] for v in (values, rows.length))
    square = float(length @ length)
    return centered - (float(centered @ length) / square if square > 0 else 0.0) * length


def _fit(rows: _Rows, features: Sequence[Floats]) -> tuple[float, Floats, Floats]:
    """(gain in log-likelihood over the log's own odds, coefficients, odds) of a logistic regression by Newton."""
    length = rows.length - rows.length.mean()
    x = np.column_stack([np.ones(length.size), length / max(float(length.std()), 1e-12), *features])
    sign = 2.0 * rows.draft - 1.0

    def likelihood(at: Floats) -> float:
        return float(-np.logaddexp(0.0, -sign * (rows.odds + x @ at)).sum() - 0.5 * RIDGE * at @ at)

    coefficients, value = np.zeros(x.shape[1]), likelihood(np.zeros(x.shape[1]))
    start = value
    for _ in range(40):
        p = expit(rows.odds + x @ coefficients)
        slope = x.T @ (rows.draft - p) - RIDGE * coefficients
        step = np.linalg.solve((x * (p * (1.0 - p))[:, None]).T @ x + RIDGE * np.eye(coefficients.size), slope)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        while (new := likelihood(coefficients + step)) < value and np.abs(step).max() > 1e-9:
            step /= 2.0
        coefficients, gained, value = coefficients + step, new - value, max(new, value)
        if gained < 1e-6:
            break
    return value - start, coefficients, rows.odds + x @ coefficients


def check_balance(arrays: PositionArrays) -> Balance | None:
    """The test, and where its p-value is below UNBALANCED the fits.

    None without a position with two of each source, and where fewer than FEWEST rows bear on the test. Rows with an
    infinite log-probability are left out: they are of one source for certain.
    """
    rows = _rows(arrays)
    if rows is None:
        return None
    chi2, constant, bearing = _test(rows, rows.odds)
    if bearing < FEWEST:
        return None
    scaled = chi2 * (bearing - FREEDOM) / (FREEDOM * (bearing - 1.0))
    level = float(fdtrc(float(FREEDOM), bearing - FREEDOM, scaled))
    gains: dict[tuple[str, str], float] = {}
    temperatures: dict[str, float] = {}
    left, top = chi2, -np.inf
    if level < UNBALANCED:
        r = {name: _left_over(value, rows) for name, value in rows.logp.items()}
        low = {name: [np.minimum(v - np.quantile(v, q), 0.0) for q in QUANTILES] for name, v in r.items()}
        for sources, names in SOURCES.items():
            sign = {"draft": 1.0, "base": -1.0}
            fits = {"temperature": [_fit(rows, [sum((sign[n] * r[n] for n in names), np.zeros(1))])]}
            fits["truncated"] = [_fit(rows, [low[n][k] for n in names]) for k in range(len(QUANTILES))]
            for cause, tried in fits.items():
                gain, coefficients, odds = max(tried, key=lambda fit: fit[0])
                if not _possible(cause, sources, coefficients[2:]):
                    continue
                gains[sources, cause] = gain
                if cause == "temperature":
                    temperatures[sources] = float(1.0 / (1.0 + coefficients[2]))
                if gain > top:
                    top, left = gain, _test(rows, odds)[0]
    return Balance(chi2, constant, level, rows.draft.size, gains, temperatures, left)


def _possible(cause: str, sources: str, slopes: Floats) -> bool:
    """Whether a fit is one of its cause: T between 1/5 and 5, a truncated source lacks what is unlikely."""
    if cause == "temperature":
        # numbers of another prompt have log-ratios that tell too little, which is what two hot sources look like
        return bool((0.0 if sources == "both" else -0.8) < slopes[0] < 4.0)
    signs = {"draft": (1.0,), "base": (-1.0,), "both": (1.0, -1.0)}[sources]
    return bool(np.all(np.array(signs) * slopes > 0))
