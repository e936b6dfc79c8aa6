"""The bench of other libraries, with none of them: laws by enumeration, a stand-in for a driver, and the judging."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from gsi_theory.errors import InputError
from gsi_theory.instance import Instance
from gsi_theory.steps.particles import particle_law
from gsi_theory.steps.tree import Tree
from tests.benches.peers import environment
from tests.benches.peers.__main__ import app
from tests.benches.peers.enumerate_law import Choose, exact_law, systematic_shares
from tests.benches.peers.hierarchical_program import capped_hierarchical
from tests.benches.peers.particle_program import Filter, filter_law
from tests.benches.peers.peer_page import PAGE, page
from tests.benches.peers.peer_record import FOLDER, Case, Peer, fixed
from tests.benches.peers.peer_table import PEERS
from tests.benches.peers.run_peer import LEVEL, judge, run_peer, verdict
from tests.benches.peers.selection_programs import best_of_n_law

CASES = [pytest.param(peer, case, id=f"{peer.name}-{case.id}") for peer in PEERS.values() for case in peer.cases]
COIN = Case("coin", "coin", {"chance": 0.5}, "a | b", "there", ("0", "1"), fixed([0.5, 0.5]),
            {"loaded": ("1 comes more often", fixed([0.2, 0.8])), "other": ("0 does", fixed([0.8, 0.2]))})  # fmt: skip
DRIVER = f"""
import random, sys
sys.path.insert(0, {str(FOLDER / "drivers")!r})
from driver_protocol import pick, serve

def coin(chance):
    print("what a library prints")
    return lambda: pick([1.0 - chance, chance])

def broken():
    raise ValueError("no such setting")

def ends():
    raise SystemExit(3)

serve({{"coin": coin, "broken": broken, "ends": ends}})
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    driver = tmp_path / "stand_in_driver.py"
    driver.write_text(DRIVER, encoding="utf-8")
    monkeypatch.setattr(Peer, "driver", driver)
    return Peer("stand-in", "stand-in", "1.0", "https://example.org", (COIN,))


def total_variation(one: np.ndarray, other: np.ndarray) -> float:
    return 0.5 * float(np.abs(one - other).sum())


@pytest.mark.parametrize(("peer", "case"), CASES)
def test_a_record_is_whole(peer: Peer, case: Case) -> None:
    law = case.law()
    assert law.shape == (len(case.outcomes),) and law.min() >= 0.0 and law.sum() == pytest.approx(1.0, abs=1e-12)
    for name, (words, rival) in case.rivals.items():
        other = rival()
        assert words and total_variation(other, law) > 1e-3, name
        assert other.min() >= 0.0 and other.sum() == pytest.approx(1.0, abs=1e-12)
        # Draws enough to find it but for two standard deviations of the evidence, log(2J/level) (M50).
        drawn = other > 0.0
        gain = np.log(other[drawn] / np.maximum(law[drawn], 1e-300))
        mean, spread = other[drawn] @ gain, np.sqrt(other[drawn] @ gain**2 - (other[drawn] @ gain) ** 2)
        evidence = case.draws * mean - 2.0 * spread * np.sqrt(case.draws)
        assert evidence > np.log(2.0 * len(case.rivals) / LEVEL), f"{name} would be missed in {case.draws} draws"
    json.dumps(dict(case.settings))
    assert case.quotation and case.where and case.stands_on in ("documentation", "comment", "expectation")
    assert bool(case.script) == bool(case.remark)
    assert not case.script or (FOLDER / "scripts" / case.script).is_file()
    assert f"def {case.driver}(" in peer.driver.read_text(encoding="utf-8")


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_an_environment_is_pinned_and_its_driver_stands_alone(peer: Peer) -> None:
    pins = peer.requirements.read_text(encoding="utf-8").splitlines()
    assert f"{peer.package}=={peer.version}".replace("-", "_") in [pin.replace("-", "_") for pin in pins]
    assert all("==" in pin for pin in pins)
    text = peer.driver.read_text(encoding="utf-8")
    assert "gsi_theory" not in text and "from tests" not in text
    assert len({case.id for case in peer.cases}) == len(peer.cases)


def test_the_page_says_what_the_records_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for peer in PEERS.values():
        section = text.split(f"## {peer.package} {peer.version}\n")[1]
        for case in peer.cases:
            (row,) = [line for line in section.splitlines() if line.startswith(f"| `{case.id}` |")][:1]
            assert " ".join(case.quotation.split()).replace("|", "\\|") in row and f"| {case.stands_on} |" in row
            assert ("differs" in row) == bool(case.script), "a finding has a script, and only a finding"
            if case.script:
                assert (FOLDER / "scripts" / case.script).read_text(encoding="utf-8") in section
    assert "could not be driven:" not in text and "Not looked into" not in text and "/work" not in text


def test_programs_are_followed_through_every_choice() -> None:
    def program(choose: Choose) -> int:
        first = choose([0.25, 0.0, 0.75])
        return 0 if first == 0 else 1 + choose([0.4, 0.6])

    assert exact_law(program, 3) == pytest.approx([0.25, 0.3, 0.45], abs=1e-15)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_best_of_n_is_its_distribution_function(n: int) -> None:
    chances, rewards = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.5, 0.5, 0.9])
    at_most = np.array([chances[rewards <= r].sum() for r in rewards])
    below = np.array([chances[rewards < r].sum() for r in rewards])
    tied = np.array([chances[rewards == r].sum() for r in rewards])
    expected = (at_most**n - below**n) * chances / tied
    assert best_of_n_law(chances.tolist(), rewards.tolist(), n)() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "resampling"), [(1, "multinomial"), (2, "multinomial"), (2, "none"), (3, "none")])
def test_the_filter_is_the_particle_law_of_the_theory(n: int, resampling: str) -> None:
    # Weighed once, with logits of scores for rewards, β = 1 and proposals of the base: (M42b); without resampling the
    # weights of a path multiply there, so all but the last score are one half.
    scores = {"0": 0.3, "1": 0.6, "00": 0.2, "01": 0.5, "10": 0.7, "11": 0.4}
    if resampling == "none":
        scores |= {"0": 0.5, "1": 0.5}
    first, after = [0.6, 0.4], [[0.7, 0.3], [0.5, 0.5]]

    def step(prefix: tuple[int, ...]) -> Instance | None:
        if len(prefix) == 2:
            return None
        law = after[prefix[-1]] if prefix else first
        odds = [scores["".join(map(str, (*prefix, y)))] for y in (0, 1)]
        return Instance.from_probabilities(law, law, [float(np.log(s / (1.0 - s))) for s in odds])

    tree = Tree.grow(step)
    leaves = ["".join(map(str, path)) for path in tree.trajectories]
    expected = np.exp(particle_law(tree, 1.0, n, resampling, "base").log_prob)
    once = Filter(first, after, scores, n, resampling=resampling, last=False)
    assert filter_law(once, leaves)() == pytest.approx(expected, abs=1e-12)
    if resampling == "multinomial":  # resampled by the last weights, all are equal
        uniform = replace(once, last=True, final="uniform")
        assert filter_law(uniform, leaves)() == pytest.approx(expected, abs=1e-12)


def test_particle_gibbs_is_what_a_simulation_of_two_sweeps_shows() -> None:
    rng, runs = np.random.default_rng(0), 8_000
    scores = {"0": 0.5, "1": 0.8, "00": 0.2, "01": 0.9, "10": 0.1, "11": 0.1}
    chances, leaves = {"": 0.4, "0": 0.3, "1": 0.5}, ["00", "01", "10", "11"]  # of a step 1 after each prefix

    def step(prefix: str) -> str:
        return prefix + ("1" if rng.random() < chances[prefix] else "0")

    def one_of(a: str, b: str) -> bool:
        """Whether b is taken of the two, by the odds of scores."""
        odds = [scores[x] / (1.0 - scores[x]) for x in (a, b)]
        return bool(rng.random() < odds[1] / sum(odds))

    counts = np.zeros(4)
    for _ in range(runs):
        pair = ["", ""]
        for _ in range(2):
            pair = [step(prefix) for prefix in pair]
            pair = [pair[one_of(*pair)], pair[one_of(*pair)]]
        reference = pair[one_of(*pair)]
        free = step("")
        free = step((free, reference[:1])[one_of(free, reference[:1])])
        free = (free, reference)[one_of(free, reference)]
        counts[leaves.index((free, reference)[one_of(free, reference)])] += 1
    law = filter_law(Filter([0.6, 0.4], [[0.7, 0.3], [0.5, 0.5]], scores, 2, iterations=2), leaves)()
    assert np.all(np.abs(counts / runs - law) < 4.5 * np.sqrt(law * (1.0 - law) / runs))


def test_systematic_resampling_is_its_definition() -> None:
    shares, n = [0.15, 0.5, 0.05, 0.3], 3
    chances, lists = systematic_shares(shares, n)
    grid = (np.arange(20_000) + 0.5) / 20_000
    ends = [sum(shares[: k + 1]) for k in range(4)]
    seen: dict[tuple[int, ...], float] = {}
    for u in grid:
        place = tuple(next(k for k in range(4) if (u + j) / n < ends[k] or k == 3) for j in range(n))
        seen[place] = seen.get(place, 0.0) + 1.0 / grid.size
    stated: dict[tuple[int, ...], float] = {}
    for chance, each in zip(chances, lists, strict=True):
        stated[tuple(each)] = stated.get(tuple(each), 0.0) + chance
    assert stated == pytest.approx(seen, abs=3e-4)


@pytest.mark.parametrize("gamma", [1, 2])
def test_the_capped_method_is_lossless_with_its_index_put_right(gamma: int) -> None:
    drafts, targets = (
        {"": [0.7, 0.3], "0": [0.4, 0.6], "1": [0.2, 0.8]},
        {"": [0.4, 0.6], "0": [0.7, 0.3], "1": [0.5, 0.5]},
    )
    words = ["00", "01", "10", "11"]
    laws = [
        exact_law(
            lambda choose, index=index: words.index(
                capped_hierarchical(
                    choose, lambda t: np.array(drafts[t[-1:]]), lambda t: np.array(targets[t[-1:]]), gamma, 2, index
                )
            ),
            4,
        )
        for index in (0, 1)
    ]
    target = np.array([targets[""][int(w[0])] * targets[w[0]][int(w[1])] for w in words])
    assert laws[1] == pytest.approx(target, abs=1e-12)
    assert (total_variation(laws[0], target) > 0.3) == (gamma == 2)


@pytest.mark.parametrize("seed", range(3))
def test_right_draws_conform_and_wrong_ones_are_named(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = judge(COIN, rng.choice(2, 3000, p=[0.5, 0.5]).tolist())
    assert verdict(right) == "conforms" and right.tv[1] < 0.08 and right.draws == 3000
    wrong = judge(COIN, rng.choice(2, 3000, p=[0.2, 0.8]).tolist())
    assert verdict(wrong) == "differs from its documentation"
    assert wrong.conformance is not None and wrong.conformance.nearest is not None
    assert wrong.conformance.nearest.id == "loaded" and wrong.conformance.nearest.explains
    assert wrong.tv[0] < 0.3 < wrong.tv[1] and wrong.draws == 3000 > wrong.conformance.draws
    expected = judge(replace(COIN, stands_on="expectation"), rng.choice(2, 3000, p=[0.2, 0.8]).tolist())
    assert verdict(expected) == "differs from what one might expect"
    comment = judge(replace(COIN, stands_on="comment"), [0] * 500)
    assert verdict(comment) == "differs from a comment of its source"


def test_draws_that_are_none_or_no_outcomes_are_refused() -> None:
    with pytest.raises(InputError, match="coin: the driver returned no outcomes"):
        judge(COIN, [])
    with pytest.raises(InputError, match=r"2 .*return one outcome, an int from 0 to 1"):
        judge(COIN, [0, 1, 2])


def test_a_driver_answers_case_by_case(stand_in: Peer) -> None:
    broken = replace(COIN, id="broken", driver="broken", settings={})
    peer = replace(stand_in, cases=(COIN, broken, replace(COIN, id="loaded", settings={"chance": 0.9})))
    coin, failed, loaded = run_peer(peer, Path(sys.executable), draws=400)
    assert verdict(coin) == "conforms" and coin.draws == 400
    assert verdict(failed) == "could not be driven" and failed.error == "ValueError: no such setting"
    assert verdict(loaded) == "differs from its documentation"
    text = page([(peer, [coin, failed, loaded])])
    assert "| `coin` | “a \\| b” (there) | documentation | 400 |" in text and "could not be driven: ValueError" in text
    assert "Not looked into yet" in text and "| stand-in 1.0 | 3 | 1 | 1 | 0 | 0 | 1 |" in text
    again = run_peer(peer, Path(sys.executable), only="coin", draws=400)
    assert [each.case.id for each in again] == ["coin"] and again[0].tv == coin.tv, "a seed gives the same draws"


def test_a_driver_that_ends_early_and_settings_without_a_match_are_one_line(stand_in: Peer) -> None:
    peer = replace(stand_in, cases=(replace(COIN, id="early", driver="ends", settings={}),))
    with pytest.raises(InputError, match=r"stand_in_driver.py ended before early: exit status 3"):
        run_peer(peer, Path(sys.executable), draws=10)
    with pytest.raises(InputError, match="stand-in: no case has 'tie' in its name: early"):
        run_peer(peer, Path(sys.executable), only="tie")


def test_a_missing_environment_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ENVIRONMENTS", tmp_path)
    result = CliRunner().invoke(app, ["bestofn", "--no-install"])
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert (
        "no environment of bestofn 1.1.7" in result.stderr and "python -m tests.benches.peers bestofn" in result.stderr
    )
    unknown = CliRunner().invoke(app, ["dspi", "--no-install"])
    assert unknown.exit_code == 2 and "no peer 'dspi' (did you mean 'dspy'" in unknown.stderr


def test_an_environment_of_other_requirements_is_made_again_and_pip_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, calls = PEERS["bestofn"], []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        calls.append(command[1:4])
        (tmp_path / "bestofn").mkdir(exist_ok=True)
        return SimpleNamespace(returncode=len(calls) > 4, stderr="…\nERROR: No matching distribution\n")

    monkeypatch.setattr(environment.subprocess, "run", run)
    made = environment.make_environment(peer, tmp_path)
    assert made == tmp_path / "bestofn" / "bin" / "python" == environment.python_of(peer, tmp_path)
    assert calls == [["-m", "venv", str(tmp_path / "bestofn")], ["-m", "pip", "install"]]
    environment.make_environment(peer, tmp_path)
    assert len(calls) == 2, "as it is pinned, it is used"
    (tmp_path / "bestofn" / ".installed").write_text("other", encoding="utf-8")
    environment.make_environment(peer, tmp_path)
    assert len(calls) == 4
    (tmp_path / "bestofn" / ".installed").write_text("other", encoding="utf-8")
    with pytest.raises(InputError, match=r"pip could not install it .ERROR: No matching distribution.: is the package"):
        environment.make_environment(peer, tmp_path)
