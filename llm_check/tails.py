"""TEMPORARY stand-in; branch est owns this file."""

import numpy as np


def pareto_khat(log_weight):
    from arviz_stats.base import array_stats

    lw = np.asarray(log_weight)
    lw = np.sort(lw[np.isfinite(lw)])
    if lw.size < 25:
        return float("inf")
    tail = int(3 * np.sqrt(lw.size)) if lw.size > 225 else lw.size // 5
    if lw[-1] - lw[-tail] < 1e-9:
        return float("-inf")
    k = float(array_stats.psislw(-lw)[1])
    return k if np.isfinite(k) else float("inf")
