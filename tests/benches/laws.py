"""Speed of the exact laws, each as a ratio to something named, measured in pairs within one run.

    python -m tests.benches.laws [--pairs 9] [--quick]

A and B run one after the other, `pairs` times, after one run of each that is not counted; the table shows the median of
A/B with its quartiles. Ratios hold across machines far better than seconds do, and need no other load on this one.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.special import logsumexp

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import COMPILED
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.types import Floats

__all__ = ["ratio"]

SEED = 0
LARGE, POOL, LARGEST_N = 10**6, 4096, 256
REPEATS = 20  # of a millisecond's work
TRIALS = 10**6  # of the Monte Carlo curve; fewer are run and their time is scaled


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratio(a: Callable[[], object], b: Callable[[], object], pairs: int) -> tuple[float, float, float]:
    """(median, lower quartile, upper quartile) of seconds(a)/seconds(b) over pairs of runs."""
    a()
    b()
    found = [seconds(a) / seconds(b) for _ in range(pairs)]
    low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
    return float(middle), float(low), float(high)


def candidates(size: int) -> tuple[Floats, Floats]:
    """(log-masses, log-weights) (K,): normal, standard deviations 1 and 3 nats."""
    rng = np.random.default_rng(SEED)
    return normalize(rng.normal(size=size)), 3.0 * rng.normal(size=size)


def simulate_curve(log_weight: Floats, rule: str, trials: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Winner counts (LARGEST_N, N) of a uniform pool for every n up to LARGEST_N: one trial draws LARGEST_N candidates
    and its prefixes serve every n, which is the cheapest way known to us."""
    size, rows = log_weight.size, 1000
    counts = np.zeros(LARGEST_N * size, dtype=np.int64)
    for start in range(0, trials, rows):
        shape = (min(rows, trials - start), LARGEST_N)
        drawn, noise = rng.integers(size, size=shape), rng.standard_exponential(shape)
        score = log_weight[drawn] + (-np.log(noise) if rule == "softmax" else noise)
        best = np.maximum.accumulate(score, axis=1)
        at = np.maximum.accumulate(np.where(score == best, np.arange(LARGEST_N), 0), axis=1)
        winner = np.take_along_axis(drawn, at, axis=1)
        counts += np.bincount((winner + size * np.arange(LARGEST_N)).ravel(), minlength=counts.size)
    return counts.reshape(LARGEST_N, size)


def _line(what: str, against: str, found: tuple[float, float, float], bar: str) -> None:
    print(f"{what:<46} / {against:<26} {found[0]:10.4g}  [{found[1]:.4g}, {found[2]:.4g}]  bar {bar}", flush=True)


def _large(pairs: int) -> None:
    log_mass, weight = candidates(LARGE)
    name = "compiled" if COMPILED else "NumPy alone"

    def law(n: int, rule: str = "softmax") -> Callable[[], object]:
        return lambda: selection_law(log_mass, weight, n, rule)

    bar = "1.5" if COMPILED else "40"
    for n in (16, 10**9):
        found = ratio(law(n), lambda: logsumexp(weight), pairs)
        _line(f"softmax law, K = 1e6, n = {n:.0e}, {name}", "scipy logsumexp", found, bar)
    if not COMPILED:
        return
    _line("softmax law, K = 1e6, n = 1e9", "the same at n = 16", ratio(law(10**9), law(16), pairs), "1.5")
    _line("race law, K = 1e6", "np.argsort", ratio(law(16, "race"), lambda: np.argsort(weight), pairs), "2")
    _line("max law, K = 1e6", "np.argsort", ratio(law(16, "max"), lambda: np.argsort(weight), pairs), "2")
    for rule in ("softmax", "race"):
        tracemalloc.start()
        selection_law(log_mass, weight, 10**6, rule)
        peak = tracemalloc.get_traced_memory()[1] / (8.0 * LARGE)
        tracemalloc.stop()
        bar = ", bar 12" if rule == "softmax" else ""
        print(f"{rule} law, K = 1e6: peak extra memory {peak:.1f} arrays of K{bar}")


def _pool(pairs: int, quick: bool) -> None:
    weight, n = candidates(POOL)[1], np.arange(1, LARGEST_N + 1)
    log_mass = np.full(POOL, -np.log(POOL))
    log_pi, trials = normalize(log_mass + weight), 5_000 if quick else 20_000

    def exact() -> None:
        for rule in ("softmax", "race"):
            tv_curve(log_mass, weight, n, rule)

    def simulated() -> None:
        rng = np.random.default_rng(SEED)
        for rule in ("softmax", "race"):
            frequency = simulate_curve(weight, rule, trials, rng) / trials
            0.5 * np.abs(frequency - np.exp(log_pi)).sum(axis=1)

    def repeated() -> None:
        for _ in range(REPEATS):
            exact()

    # one call finds its caches emptied by the simulation, as nobody's second curve does: both are shown
    for work, times, how in ((exact, 1, "one call"), (repeated, REPEATS, f"of {REPEATS} calls")):
        scaled = tuple(v * trials / TRIALS / times for v in ratio(work, simulated, pairs))
        _line(f"TV curves of {POOL}, n = 1..{LARGEST_N}, both rules, {how}", f"{TRIALS:.0e} trials (scaled)",
              (scaled[0], scaled[1], scaled[2]), "0.0001")  # fmt: skip


def _batches(pairs: int) -> None:
    rng = np.random.default_rng(SEED)
    log_mass, weight = normalize(rng.normal(size=(10**5, 8))), 2.0 * rng.normal(size=(10**5, 8))
    for rule in ("softmax", "race"):
        took = sorted(seconds(partial(selection_law, log_mass, weight, 16, rule)) for _ in range(pairs))
        middle = took[len(took) // 2]
        print(f"{rule} laws of 1e5 instances, K = 8: {middle:.2f} s [{took[0]:.2f}, {took[-1]:.2f}], bar 5 s")
    try:
        import torch
    except ModuleNotFoundError:
        print("torch is not installed: its lines are left out")
        return
    reference = selection_law(log_mass, weight, 16).log_prob
    for device in ["cpu"] + (["cuda"] if torch.cuda.is_available() else []):
        mass, lw = torch.tensor(log_mass, device=device), torch.tensor(weight, device=device)

        def law(mass: torch.Tensor = mass, lw: torch.Tensor = lw) -> torch.Tensor:
            found = selection_law(mass, lw, 16).log_prob
            if found.is_cuda:
                torch.cuda.synchronize()
            return found

        apart = float(np.max(np.abs(np.exp(law().cpu().numpy()) - np.exp(reference))))
        found = ratio(law, lambda: selection_law(log_mass, weight, 16), pairs)
        _line(f"softmax laws of 1e5 instances, torch {device}", "NumPy", found, "none")
        print(f"    largest difference of a probability from NumPy: {apart:.1e}, bar 1e-12")


def _ten_million() -> None:
    code = (
        "import sys, numpy as np; from tests.benches.laws import candidates; "
        "from gsi_theory.laws.selection_law import selection_law; import resource; "
        "m, w = candidates(10**7); selection_law(m, w, 16, 'race'); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    kib = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    print(f"race law, K = 1e7: peak resident memory {kib / 2**20:.2f} GiB, bar 8 GiB")


def main(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of runs for each ratio.")] = 9,
    quick: Annotated[bool, typer.Option(help="Fewer trials, no K = 1e7.")] = False,
    large_only: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Ratios of the exact laws' time to a pass of logsumexp, to argsort and to Monte Carlo, with their spread."""
    _large(pairs)
    if large_only:
        return
    if COMPILED:
        command = [sys.executable, "-m", "tests.benches.laws", "--large-only", "--pairs", str(pairs)]
        subprocess.run(command, env=os.environ | {"GSI_COMPILED": "0"}, check=True)
    _pool(max(3, pairs // 3), quick)
    _batches(max(3, pairs // 3))
    if not quick:
        _ten_million()
    print(f"peak resident memory of this run: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    typer.run(main)
