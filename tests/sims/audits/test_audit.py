"""The audit counts what single evaluations say, survives being killed, and finds what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gsi_theory import InputError, Instance, Scheme, divergence
from gsi_theory.claims import CLAIMS, OUTCOMES, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.claims.softmax_bounds import kl_chi2
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.journal import Journal
from gsi_theory.runs.workers import local_pool
from sims.audits import audit, counterexamples
from sims.audits.cells import judge_cell, rejudge
from sims.audits.drafts_needed import EPSILON, asked
from sims.audits.kl_rate import LADDER, RATE_COLUMNS, kl_rate, rate_summary
from sims.audits.regimes import AUDIT_FAMILIES, BETAS, KINDS, NS, Cell, batches_of, scheme_of
from sims.audits.tables import COLUMNS
from sims.instance_families import FAMILIES

CLAIM_IDS = "M7-tv,M11-mean,M11-chi2,M12a,M12b,M19"
TINY = {"instances": 4, "claims": CLAIM_IDS, "families": "few,hostile", "rewards": "signed", "rejudged": 5}
RNG_STOPS = np.random.default_rng()


def run(folder, seed: int = 0, workers: int = 1, progress=None, **settings):
    return audit.run_audit(seed, folder / "audit.json", TINY | settings, local_pool(workers), progress, "test")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run(tmp_path_factory.mktemp("audit"))


def test_artifact_has_the_schema_and_leaves_no_journal(tiny) -> None:
    artifact = read_artifact(tiny, "audit")
    assert {name: set(table) for name, table in artifact.tables.items()} == {n: set(c) for n, c in COLUMNS.items()}
    assert [p.name for p in tiny.parent.iterdir()] == ["audit.json"]
    claims = artifact.tables["claims"]
    assert claims["id"] == CLAIM_IDS.split(",")
    for i, expected in enumerate(claims["expected"]):
        counts = [claims[name][i] for name in ("holds", "refuted", "undecided", "vacuous")]
        assert sum(counts) == claims["evaluations"][i]
        assert claims["outcome"][i] == expected and not claims["surprise"][i]
        # 2 families, 6 betas, 4 instances, every n; a limit at one n
        rows = 48 * (1 if CLAIMS[claims["id"][i]].relation == "=" else len(NS))
        assert claims["evaluations"][i] + claims["not_applicable"][i] == rows
    assert artifact.summary["evaluations"] == sum(claims["evaluations"])
    assert len(artifact.tables["asked"]["id"]) % (len(FAMILIES) * 3) == 0


@pytest.mark.parametrize("family", ["two_outcomes", "uncovered", "hostile", "near"])
def test_a_cell_counts_what_evaluate_says_one_by_one(family) -> None:
    """The oracle: each instance and scheme judged alone, without batches, padding or shared laws."""
    cell, keys, ns = (
        Cell(family, "signed", 5.0, 0),
        ("M7-tv", "M11-mean", "M12c", "M13-cv", "M17-tv", "M19"),
        (1, 4, 64),
    )
    found = judge_cell(3, cell, keys, 6, ns)
    for key in keys:
        counts, tight = np.zeros((len(ns), 5), dtype=int), np.zeros(len(ns))
        for batch in batches_of(3, cell, 6, ns):
            for i, instance in enumerate(batch.instances):
                for at, n in enumerate(ns):
                    if CLAIMS[key].relation == "=" and n != batch.single_n[i]:
                        continue
                    verdict = CLAIMS[key].evaluate(instance, scheme_of(batch, i, cell.beta, n))
                    counts[at, OUTCOMES.index(verdict.outcome)] += 1
                    if (
                        verdict.outcome is Outcome.HOLDS
                        and verdict.rhs
                        and verdict.error <= 1e-6 * verdict.rhs < np.inf
                    ):
                        tight[at] = max(tight[at], verdict.lhs / verdict.rhs)
        # rounding may move an evaluation across the edge of what is undecided, and nothing else
        got = np.array(found[key]["counts"])
        assert np.array_equal(got[:, [1, 4]], counts[:, [1, 4]])
        assert np.abs(got - counts).sum() <= 2
        shown = np.array([0.0 if v is None else v for v in found[key]["tight"]])
        if CLAIMS[key].relation == "<=":
            assert np.all(shown >= tight - 1e-9) and np.all(shown <= 1.0)


def test_families_are_what_they_say() -> None:
    rng = np.random.default_rng(1)
    for name, build in AUDIT_FAMILIES.items():
        made = [build(rng) for _ in range(20)]
        assert all(x.reward.min() >= 0 for x in made)
        if name == "uncovered":
            assert all(x.uncovered for x in made)
        elif name != "hostile":
            assert not any(x.uncovered for x in made) and max(x.reward.max() for x in made) <= 1
    turns = {Cell(f, r, b, 0).turn for f in AUDIT_FAMILIES for r in ("unsigned", "signed") for b in BETAS}
    assert turns == set(range(1, len(KINDS)))


def test_cells_have_streams_of_their_own() -> None:
    def first(seed: int, cell: Cell) -> bytes:
        return next(iter(batches_of(seed, cell, 4, (1,)))).instances[0].log_draft.tobytes()

    cells = [Cell("dozens", r, b, k) for r in ("unsigned", "signed") for b in BETAS for k in range(3)]
    assert len({first(seed, cell) for cell in cells for seed in (0, 1)}) == 2 * len(cells)
    assert first(0, cells[0]) == first(0, cells[0])


def test_bytes_do_not_depend_on_workers(tiny, tmp_path) -> None:
    assert run(tmp_path, workers=2).read_bytes() == tiny.read_bytes()


def test_seeds_differ(tiny, tmp_path) -> None:
    assert read_artifact(run(tmp_path, seed=1)).tables["regimes"] != read_artifact(tiny).tables["regimes"]


def test_killed_at_a_random_moment_and_restarted_gives_the_same_bytes(tmp_path) -> None:
    settings = TINY | {"instances": 8, "families": "few,dozens,hostile"}
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "gsi_theory.cli", "audit", "--json", "--workers", "1", *options, "--out"]
    whole = subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, timeout=120)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen([*command, str(tmp_path / "cut")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    journal, stop = tmp_path / "cut" / "audit.json.journal.jsonl", int(RNG_STOPS.integers(2, 40))
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < stop):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = journal.read_bytes().count(b"\n") - 1
    assert kept >= stop - 1 and not (tmp_path / "cut" / "audit.json").exists(), stop
    seen: list[tuple[int, int]] = []
    parsed = {key: str(value) for key, value in settings.items()}
    line = json.loads((tmp_path / "whole" / "audit.json").read_text())["provenance"]["command"]
    path = audit.run_audit(
        0, tmp_path / "cut" / "audit.json", parsed, local_pool(1), lambda done, total: seen.append((done, total)), line
    )
    # jobs that were kept are not done again: the first report counts them
    assert seen[0][0] >= kept
    assert path.read_bytes() == (tmp_path / "whole" / "audit.json").read_bytes()


def test_workers_end_with_the_process_that_started_them(tmp_path) -> None:
    code = (
        "import sys, time\nfrom gsi_theory.runs.workers import worker_pool\nimport os\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n        time.sleep(60)\n"
    )
    script = tmp_path / "starts.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.communicate()
    for _ in range(200):
        if not os.path.exists(f"/proc/{worker}"):
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")


def test_a_journal_of_other_settings_or_code_is_not_used(tmp_path) -> None:
    journal = Journal(tmp_path / "j", {"seed": 0})
    assert journal.run([("a",), ("b",)], lambda job: job[0] * 2, local_pool(1)) == ["aa", "bb"]
    again = Journal(tmp_path / "j", {"seed": 0})
    assert again.run([("b",), ("c",)], lambda job: "new", local_pool(1)) == ["bb", "new"]
    other = Journal(tmp_path / "j", {"seed": 1}, replace=True)
    assert other.run([("b",)], lambda job: "new", local_pool(1)) == ["new"]
    other.delete()
    assert not (tmp_path / "j").exists()


def test_equal_sides_stay_open_and_clear_ones_are_settled_by_balls() -> None:
    def case(draft, base, n):
        policies = {"log_draft": np.log(draft).tolist(), "log_base": np.log(base).tolist()}
        return policies | {"reward": [0.0, 0.0], "scheme": [1.0, n, None, "softmax", n, "tilted_reward"]}

    # One draw: KL(π‖P_1) is the right side of the first form of (M11) itself.
    outcomes = rejudge("M11-mean", [case([0.5, 0.5], [0.25, 0.75], 1), case([0.5, 0.5], [0.25, 0.75], 2**50)])
    assert outcomes == ["UNDECIDED", "HOLDS"]


def sharper(facts: Facts) -> Sides:
    """A planted wrong claim: (M11) with 2n in place of n."""
    sides = kl_chi2(facts)
    return dataclasses.replace(sides, rhs=np.log1p(facts.chi2 / (2 * facts.n)))


def test_planted_wrong_claim_is_a_surprise_with_a_short_counterexample(tmp_path, monkeypatch) -> None:
    planted = dataclasses.replace(CLAIMS["M11-chi2"], sides=sharper, balls=None)
    monkeypatch.setitem(CLAIMS, "M11-chi2", planted)
    artifact = read_artifact(run(tmp_path, claims="M11-chi2", families="few"))
    table, found = artifact.tables["claims"], artifact.tables["counterexamples"]
    assert table["outcome"] == ["REFUTED"] and table["surprise"] == [True] and artifact.summary["surprises"] == 1
    assert len(found["draft"][0]) == 2 and found["lhs"][0] > found["rhs"][0]
    instance = Instance.from_probabilities(*(found[name][0] for name in ("draft", "base", "reward")))
    scheme = Scheme(found["beta"][0], found["n"][0], found["threshold"][0], found["rule"][0])
    assert planted.evaluate(instance, scheme).outcome is Outcome.REFUTED


@pytest.mark.parametrize("key", ["M12a", "M12c", "M7-vanishes"])
def test_search_finds_a_counterexample_that_balls_certify(key, tmp_path) -> None:
    case = counterexamples.shorten(CLAIMS[key], counterexamples.search(CLAIMS[key], ("unsigned", "signed")))
    verdict = case.verdict(CLAIMS[key])
    assert verdict.outcome is Outcome.REFUTED and len(case.draft) == 2
    assert -verdict.slack >= 1000 * verdict.error
    assert all(p == round(p, 4) for p in case.draft + case.base + case.reward)
    assert counterexamples.Case.read(json.loads(json.dumps(case.record()))) == case


def test_certificates_are_in_the_artifact(tiny) -> None:
    table = read_artifact(tiny).tables["counterexamples"]
    assert table["id"] == ["M12a"] and table["certified"] == ["REFUTED"] and table["relative_gap"][0] >= 1e-6
    assert float(table["lhs_lower"][0]) <= table["lhs"][0] * (1 + 1e-12) and float(table["rhs_upper"][0]) >= 0


def test_search_takes_more_draws_where_one_and_two_refute_nothing() -> None:
    """A term 1/n where n^{-1/2} is right falls with n: round numbers and eight draws."""
    found = counterexamples.search(CLAIMS["M40-summarized"], ("signed",))
    assert (
        found is not None and found.scheme.n == 8 and found.verdict(CLAIMS["M40-summarized"]).outcome is Outcome.REFUTED
    )


def test_search_finds_nothing_against_a_true_claim(monkeypatch) -> None:
    monkeypatch.setattr(counterexamples, "DECIMALS", ((1, 2), (2, 2)))
    assert counterexamples.search(CLAIMS["M12-osc"], ("unsigned", "signed")) is None


def test_asked_and_needed_drafts_by_counting_up() -> None:
    rows = {row[0]: row for row in asked(0, "two_point", 1.0)}
    instance = FAMILIES["two_point"].build(0)
    draft, base = np.exp(instance.log_draft), np.exp(instance.log_base)
    pi = base * np.exp(instance.reward) / np.sum(base * np.exp(instance.reward))
    chi2 = float(np.sum(pi**2 / draft) - 1.0)
    assert rows["M11-chi2"][5] == pytest.approx(np.log10(np.ceil(chi2 / np.expm1(EPSILON))))
    weight = instance.reward + instance.log_ratio
    for key, rule, distance in (("M11-chi2", "softmax", divergence.kl), ("M17-tv", "race", divergence.tv)):
        n = 1
        while distance(np.log(pi), selection_law(instance.log_draft, weight, n, rule).log_prob) > EPSILON:
            n += 1
        assert rows[key][6] == pytest.approx(np.log10(n))
    pair = float(np.sum(base**2 / draft) - 1.0)
    assert rows["M12b"][5] == pytest.approx(np.log10(np.ceil(((pair + 1) * np.exp(2.0) - 1) / np.expm1(EPSILON))))
    assert rows["M17-tv"][7] <= rows["M17-tv"][6] <= rows["M17-tv"][5] and rows["M11-chi2"][7] is None


def test_kl_rate_on_one_hundred_instances() -> None:
    rows = kl_rate(0, 0, 100)
    assert rows[40:60] == kl_rate(0, 40, 60)
    summary = rate_summary(rows)
    assert summary["rate_instances"] == summary["rate_within_one_percent"] == 100 and summary["rate_worst"] < 0.01
    for row in rows:
        found = dict(zip(RATE_COLUMNS, row, strict=True))
        assert found["n_ten_percent"] in LADDER and found["coverage"] >= 1 + found["chi2"] > 1
    assert 0.3 < summary["rate_fit_coverage"] + summary["rate_fit_chi2"] < 2.5 and summary["rate_fit_spread"] < 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"instance": 5}, ["'instance'", "instances, blocks"]),
        ({"instances": 1}, ["instances", "= 1", "whole number from 2"]),
        ({"claims": "M11-mean,M99"}, ["'M99'", "M11-mean"]),
        ({"families": "zipfian"}, ["'zipfian'", "heavy_tail"]),
    ],
)
def test_bad_settings_name_key_value_and_cure(settings, words, tmp_path) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path, **settings)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
