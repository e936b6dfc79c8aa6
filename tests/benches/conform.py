"""How soon `gsi conform` finds mistakes, and names them: `python -m tests.benches.conform mistakes|right|power`.

mistakes [--seeds 100]   samplers with planted mistakes (tests.plants.sampler_faults): found, named, median draws
right    [--runs 1000]   every served method's own Monte Carlo sampler: alarms at level 1 %, looked at after each draw
power    [--runs 200]    laws moved by the TV that is said to be detectable: found in 80 % of runs?
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from gsi_theory.conform import SELECTORS, served_methods
from gsi_theory.conformance.design import Design, design_of
from gsi_theory.conformance.e_process import EProcess, detectable_tv
from gsi_theory.conformance.list_selectors import selector_design
from gsi_theory.conformance.play import Conformance, play
from gsi_theory.runs.progress import progress_bar
from sims.sampling.method_sampler import sample_method
from tests.plants.sampler_faults import PLANTED, planted

app = typer.Typer(add_completion=False)
DRAWS, LEVEL = 20_000, 0.01
AT_ONCE, PART = 20, 500  # runs drawn at once; outcomes read at once, which stay in the cache


def faulty(method: str, mistake: str, seed: int, draws: int = DRAWS) -> Conformance:
    """One run of a sampler that makes a mistake."""
    design = design_of(method)
    count = -(-draws // len(design.cases))
    outcomes = []
    for m, case in enumerate(design.cases):
        policies = np.exp(case.instance.log_draft), np.exp(case.instance.log_base)
        scheme = case.scheme
        u = scheme.threshold or 0.0
        rng = np.random.default_rng([seed, m, 51])
        outcomes.append(
            iter(
                planted(
                    method,
                    mistake,
                    *policies,
                    case.instance.reward,
                    scheme.beta,
                    scheme.n,
                    scheme.base_draws,
                    u,
                    count,
                    rng,
                ).tolist()
            )
        )
    return play(lambda m: next(outcomes[m]), design.laws, design.errors, design.rivals, draws=draws, level=LEVEL)


def named(outcome: Conformance, mistake: str) -> bool:
    """Whether the nearest is the mistake, or has its law."""
    return outcome.nearest is not None and mistake in (outcome.nearest.id, *outcome.nearest.alike)


@app.command()
def mistakes(seeds: Annotated[int, typer.Option(min=1)] = 100, only: str = "") -> None:
    """Found within 20,000 draws, named, median number of draws; the worst cells last."""
    cells = [(m, x) for m, names in PLANTED.items() for x in names if only in m]
    rows: list[tuple[float, float, float, str]] = []
    with progress_bar("mistakes") as report:
        for done, (method, mistake) in enumerate(cells):
            runs = [faulty(method, mistake, seed) for seed in range(seeds)]
            found = np.mean([not run.conforms for run in runs])
            told = np.mean([named(run, mistake) for run in runs])
            took = [run.refuted_at if run.refuted_at is not None else np.inf for run in runs]
            rows.append((float(told), float(found), float(np.median(took)), f"{method} {mistake}"))
            report(done + 1, len(cells))
    for share, hits, median, name in sorted(rows, key=lambda row: (-row[0], row[2])):
        print(f"{name:40} found {hits:6.1%}  named {share:6.1%}  median {median:8.0f} draws")


def own_sampler(design: Design, runs: int, draws: int, seed: list[int]) -> np.ndarray:
    """Outcomes (problems, runs, draws/problems) of the method's Monte Carlo sampler."""
    each = -(-draws // len(design.cases))
    return np.array(
        [
            np.asarray(
                sample_method(
                    design.method, case.instance, case.scheme, runs * each, np.random.default_rng([*seed, m])
                ).outcome
            ).reshape(runs, each)
            for m, case in enumerate(design.cases)
        ]
    )


def alarms(method: str, runs: int, draws: int, seed: int) -> int:
    """How many of `runs` right runs are refuted at LEVEL, drawn a few at a time."""
    design = design_of(method)
    turns = np.arange(draws) % len(design.cases)
    found = 0
    for start in range(0, runs, AT_ONCE):
        count = min(AT_ONCE, runs - start)
        outcomes = own_sampler(design, count, draws, [seed, start])
        for run in range(count):
            process = EProcess(design.laws, design.errors, [rival.laws for rival in design.rivals])
            seen = outcomes[:, run].T.reshape(-1)
            for at in range(0, draws, PART):
                process.read(turns[at : at + PART], seen[at : min(at + PART, draws)])
            found += bool(process.highest >= -np.log(LEVEL))
    return found


@app.command()
def right(runs: Annotated[int, typer.Option(min=1)] = 1000, draws: int = DRAWS, seed: int = 0) -> None:
    """Alarms of right samplers, a method a line, and pooled."""
    counts: dict[str, int] = {}
    with progress_bar("methods") as report:
        for done, method in enumerate(served_methods()):
            counts[method] = alarms(method, runs, draws, seed)
            print(f"{method:20} {counts[method]:4d} of {runs}", flush=True)
            report(done + 1, len(served_methods()))
    total = runs * len(counts)
    print(f"pooled {sum(counts.values())} of {total}: {sum(counts.values()) / total:.2%}")


def moved(law: np.ndarray, tv: float) -> np.ndarray:
    """A law at TV `tv` from `law` (K,) in the direction that is hardest to see: mass from all others to the set whose
    gain is largest at this price, in proportion."""
    size = law.size
    sets = [[y for y in range(size) if code >> y & 1] for code in range(1, 2**size - 1)]
    able = [cells for cells in sets if law[cells].sum() + tv < 1.0]
    gains = [_price(law[cells].sum() + tv, law[cells].sum()) for cells in able]
    cells = able[int(np.argmin(gains))]
    mass = law[cells].sum()
    other = law * (1.0 - mass - tv) / (1.0 - mass)
    other[cells] = law[cells] * (mass + tv) / mass
    return other


def _price(a: float, b: float) -> float:
    return float(a * np.log(a / b) + (1.0 - a) * np.log((1.0 - a) / (1.0 - b)))


def power_at(laws: Any, tv: float, runs: int, draws: int, seed: int) -> float:
    """Share of runs that are refuted when the law of the problem that shows it least is moved by `tv`."""
    hardest = int(np.argmax([detectable_tv([law] * len(laws), draws, LEVEL) for law in laws]))
    laws_played = [moved(law, tv) if m == hardest else law for m, law in enumerate(laws)]
    each = draws // len(laws)
    rng, found = np.random.default_rng([seed, 52]), 0
    turns = np.arange(each * len(laws)) % len(laws)
    for _ in range(runs):
        outcomes = np.array([rng.choice(law.size, each, p=law / law.sum()) for law in laws_played])
        process = EProcess(laws, [1e-13] * len(laws), [laws])
        path, _ = process.read(turns, outcomes.T.reshape(-1))
        found += bool(path.max() >= -np.log(LEVEL))
    return found / runs


@app.command()
def power(runs: Annotated[int, typer.Option(min=1)] = 200, draws: int = DRAWS, seed: int = 0) -> None:
    """Found at 0.8, 1 and 1.2 times the TV that is said to be found in 80 % of runs."""
    cases: dict[str, Any] = {
        method: design_of(method).laws for method in ("gsi", "soft_bon_base", "rsd", "speculative")
    }
    cases |= {name: selector_design(name)[1] for name in ("soft_best_of_n",)}
    assert set(cases) - set(served_methods()) <= set(SELECTORS)
    for name, laws in cases.items():
        stated = detectable_tv(laws, draws, LEVEL)
        shares = [power_at(laws, factor * stated, runs, draws, seed) for factor in (0.8, 1.0, 1.2)]
        print(f"{name:16} TV {stated:.4f}: found in " + ", ".join(f"{share:.0%}" for share in shares))


if __name__ == "__main__":
    app()
