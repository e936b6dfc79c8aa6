"""Gold values that a part of a log has: best-of-n from them, by a slow oracle; coverage; what is refused."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from llm_check.logs.curves.curve_artifact import write_curves
from llm_check.logs.curves.curve_words import rests_on
from llm_check.logs.curves.log_curves import curve
from llm_check.logs.log import Log, one_model_table, write_log
from tests.llm_check.logs.curves.test_log_curves import said
from tests.llm_check.logs.curves.test_prompt_curves import table

Rows = list[dict[str, Any]]
RECORD = {
    *("selector", "value", "n", "mean", "se_prompts", "low", "high", "gain", "harmless_n", "prompts", "draws"),
    *("labels", "support", "label_chance", "needs_key"),
}


def _rows(prompts: int, size: int, seed: int, chance: float | None = None) -> Rows:
    """Rows with reward, label_chance, and gold_reward where a label was bought: more of high rewards."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for p, k in itertools.product(range(prompts), range(size)):
        reward = int(rng.integers(12)) / 4
        bought = chance or (0.75 if reward > 1.5 else 0.5)
        row: dict[str, Any] = {"prompt_id": f"p{p:02}", "candidate": k, "reward": reward, "label_chance": bought}
        label = round(min(reward, 4 - reward) / 2 + float(rng.normal(0, 0.2)), 3)
        rows.append(row | ({"gold_reward": label} if rng.random() < bought else {}))
    return rows


def _file(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _without(rows: Rows, *names: str) -> Rows:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def _wins(rewards: list[float], n: int) -> list[Fraction]:
    """Each draw's chance to win, subset by subset."""
    wins, subsets = [Fraction(0)] * len(rewards), list(itertools.combinations(range(len(rewards)), n))
    for subset in subsets:
        top = max(rewards[i] for i in subset)
        best = [i for i in subset if rewards[i] == top]
        for i in best:
            wins[i] += Fraction(1, len(best) * len(subsets))
    return wins


def _oracle(rows: Rows, ns: tuple[int, ...]) -> tuple[list[list[float]], list[float]]:
    """(the estimate of every prompt and n, the equal labels at every n), from the formula in M43: two bins a fold."""
    prompts = [[row for row in rows if row["prompt_id"] == name] for name in sorted({r["prompt_id"] for r in rows})]
    values, weights = [], [list[float]() for _ in ns]
    for p, draws in enumerate(prompts):
        others = [row for q, part in enumerate(prompts) if q % 2 != p % 2 for row in part if "gold_reward" in row]
        assert 10 <= len(others) < 15  # two bins
        cut = median(row["reward"] for row in others)
        mean = {}
        for upper in (False, True):
            part = [row for row in others if (row["reward"] >= cut) == upper]
            total = sum(1 / row["label_chance"] for row in part)
            mean[upper] = sum(row["gold_reward"] / row["label_chance"] for row in part) / total
        line = []
        for m, n in enumerate(ns):
            value = 0.0
            for row, win in zip(draws, _wins([row["reward"] for row in draws], n), strict=True):
                guess = mean[row["reward"] >= cut]
                value += float(win) * guess
                if "gold_reward" in row:
                    value += float(win) * (row["gold_reward"] - guess) / row["label_chance"]
                    weights[m].append(float(win) / row["label_chance"])
            line.append(value)
        values.append(line)
    return values, [sum(each) ** 2 / sum(w * w for w in each) for each in weights]


def test_the_estimate_is_that_of_an_oracle_whatever_the_order_of_rows(tmp_path: Path) -> None:
    """8 prompts of 5 draws, some equal: to 1e-12."""
    rows, ns = _rows(8, 5, 17), (1, 2)
    for i, row in enumerate(rows):  # chances that differ within a bin
        row["label_chance"] = (0.5, 0.6, 0.75)[i % 3]
    values, support = _oracle(rows, ns)
    assert min(support) >= 15
    for k in range(3):
        mixed = [rows[i] for i in np.random.default_rng(k).permutation(len(rows))]
        labelled = curve(_file(tmp_path / f"{k}.jsonl", mixed), ns).labelled
        assert labelled is not None and labelled.ns == ns and labelled.prompts == 8 and labelled.draws == 40
        assert labelled.labels == sum("gold_reward" in row for row in rows)
        assert np.abs(labelled.choice.curve.mean - np.mean(values, axis=0)).max() <= 1e-12
        error = np.std(values, axis=0, ddof=1) / np.sqrt(8)
        assert np.abs(labelled.choice.curve.se_prompts - error).max() <= 1e-12
        assert np.abs(labelled.support - support).max() <= 1e-9


# A world of two kinds of prompts, six rewards: (mass, mean gold) of each; the largest reward is mostly won by hacks.
_MASS = np.array([[0.1, 0.2, 0.3, 0.2, 0.1, 0.1], [0.3, 0.25, 0.15, 0.1, 0.1, 0.1]])
_GOLD = np.array([[0.1, 0.3, 0.5, 0.7, 0.9, 0.2], [0.1, 0.2, 0.4, 0.6, 0.8, 0.1]])
_NS, _PROMPTS, _DRAWS = np.array([1, 2, 4, 8]), 60, 8


def _truth() -> np.ndarray:
    reach = np.cumsum(_MASS, axis=1)[..., None] ** _NS
    return (np.diff(reach, axis=1, prepend=0.0) * _GOLD[..., None]).sum(axis=1).mean(axis=0)


def _log(rng: np.random.Generator) -> Log:
    kind = np.repeat(rng.integers(2, size=_PROMPTS), _DRAWS)
    level = (rng.random(kind.size)[:, None] > np.cumsum(_MASS, axis=1)[kind]).sum(axis=1).clip(max=5)
    gold = _GOLD[kind, level] + rng.uniform(-0.1, 0.1, kind.size)
    chance = np.where(level >= 4, 0.8, 0.3)
    bought = rng.random(kind.size) < chance
    rows = [
        {"prompt_id": f"p{i // _DRAWS:02}", "candidate": i % _DRAWS, "reward": float(level[i])}
        | {"gold_reward": float(gold[i]) if bought[i] else None, "label_chance": float(chance[i])}
        for i in range(kind.size)
    ]
    return Log(one_model_table(table(rows)), 1, {"facts": {"iid": True}})


def test_the_bands_hold_the_truth_the_choice_does_no_harm_and_the_turn_is_seen() -> None:
    """200 logs of a world of known value, which turns down."""
    exact, covered, harmed, means, turned, told = _truth(), 0, 0, [], 0, 0
    assert exact.argmax() == 2 and exact[3] < exact[2] - 0.05
    for seed in range(200):
        curves = curve(_log(np.random.default_rng([seed, 43])), _NS.tolist(), select=["best_of_n"])
        labelled = curves.labelled
        assert labelled is not None and labelled.turning is not None and curves.turnings == (labelled.turning,)
        assert [line.key.value for line in curves.lines] == ["reward"]
        points, band = len(labelled.ns), labelled.choice.curve
        covered += bool(((band.low <= exact[:points]) & (exact[:points] <= band.high)).all())
        harmed += bool(exact[labelled.ns.index(labelled.choice.n)] < exact[0])
        turned += labelled.turning.turn.turns
        if points == _NS.size:
            means.append(band.mean)
        told += points
    assert covered >= 181 and harmed <= 4 and told >= 700 and turned >= 60
    error = np.std(means, axis=0, ddof=1) / np.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0) - exact) <= 4 * error).all() and error.max() < 0.005


def test_the_text_fits_and_says_the_choice_and_the_json_has_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = _file(tmp_path / "a_log_of_a_rather_long_name.jsonl", _rows(40, 12, 5))
    code, text, _ = said(capsys, path)
    plain = " ".join(text.split())
    assert code == 0 and max(map(len, text.splitlines())) <= 80 and "nan" not in text and "…" not in text
    assert "on 480 draws of 40 prompts, unbiased if label_chance is right" in plain
    code, text, _ = said(capsys, path, "--json")
    record = json.loads(text)["labelled"]
    assert code == 0 and set(record) == RECORD and "NaN" not in text
    assert record["n"] == list(range(1, 13)) and record["label_chance"] is None and record["needs_key"] is False
    assert all(low < mean < high for low, mean, high in zip(record["low"], record["mean"], record["high"], strict=True))
    best = max(
        (m for m in range(12) if m == 0 or record["gain"]["low"][m] >= 0), key=lambda m: float(record["mean"][m])
    )
    assert record["harmless_n"] == best + 1 > 1
    assert f"no-harm choice of n: {best + 1}, mean gold reward {record['mean'][best]:.4f}" in plain
    assert f"{record['labels']} labels" in plain and f"{record['gain']['mean'][best]:.4f} above that of one" in plain
    stated = _file(tmp_path / "stated.jsonl", _without(_rows(40, 12, 5, 0.5), "label_chance"))
    column = _file(tmp_path / "column.jsonl", _rows(40, 12, 5, 0.5))
    one, other = (
        json.loads(said(capsys, *line, "--json")[1])["labelled"]
        for line in ((stated, "--label-chance", 0.5), (column,))
    )
    assert one == other | {"label_chance": 0.5}


def test_the_page_has_the_curve_and_its_words(tmp_path: Path) -> None:
    rows = _rows(40, 12, 5)
    curves = curve(_file(tmp_path / "l.jsonl", rows), select=["best_of_n"])
    content = read_artifact(write_curves(tmp_path / "curve.json", curves, tmp_path / "l.jsonl"), "curve")
    drawn = content.tables["curves"]
    at = [i for i, value in enumerate(drawn["value"]) if value == "gold_reward"]
    assert curves.labelled is not None and [drawn["n"][i] for i in at] == list(range(1, 13))
    assert [drawn["mean"][i] for i in at] == curves.labelled.choice.curve.mean.tolist()
    assert all(drawn["low_fixed"][i] is None and drawn["low"][i] < drawn["mean"][i] for i in at)
    assert any(line.startswith("no-harm choice of n: ") for line in content.summary["words"])


@pytest.mark.parametrize(
    ("chance", "words"),
    [
        (1.5, "label_chance = 1.5: give a chance above 0 and at most 1"),
        (0, "label_chance = 0.0: give a chance above 0 and at most 1"),
        (-0.1, "label_chance = -0.1: give a chance above 0 and at most 1"),
        (float("nan"), "label_chance = NaN: give a chance above 0 and at most 1"),
        (None, "label_chance = null: give the chance that this draw's label was bought, also where it was not"),
        ("0.5", 'label_chance = "0.5": write it as double'),
        (True, "label_chance = true: write it as double"),
    ],
)
def test_a_wrong_chance_stops_with_its_line(
    chance: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _rows(10, 8, 6)
    at = next(i for i, row in enumerate(rows) if i > 8 and "gold_reward" not in row)
    rows[at]["label_chance"] = chance
    for more in ((), ("--strict",)):
        code, out, err = said(capsys, _file(tmp_path / "l.jsonl", rows), *more)
        assert code == 2 and f"l.jsonl, line {at + 1}, {words}" in err and len(err.splitlines()) == 1 and not out
    # where every label is there, chances are of no use
    full = [row | {"gold_reward": 0.5} for row in rows if row is not rows[at]]
    full[3].pop("label_chance")
    assert curve(_file(tmp_path / "f.jsonl", full)).labelled is None


@pytest.mark.parametrize(
    ("change", "option", "words"),
    [
        ((), 0.5, "--label-chance 0.5: l.jsonl has the field label_chance: leave the option out"),
        (("label_chance",), 1.5, "--label-chance 1.5: give the chance that a draw's label was bought"),
        (("label_chance",), 0, "--label-chance 0: give the chance that a draw's label was bought"),
        (("label_chance",), "nan", "--label-chance nan: give the chance that a draw's label was bought"),
        (("label_chance", "gold_reward"), 0.5, "has gold_reward on 0, correct on 0 of 80 draws"),
    ],
)
def test_a_stated_chance_that_is_none_is_refused(
    change: tuple[str, ...], option: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path / "l.jsonl", _without(_rows(10, 8, 6), *change))
    code, _, err = said(capsys, path, "--label-chance", option)
    assert code == 2 and words in err and len(err.splitlines()) == 1
    with pytest.raises(InputError, match="it is for best_of_n, which pass_at_k leaves out"):
        curve(path, select=["pass_at_k"], label_chance=0.5)


_SILENT = ("no chance", "another chance", "no label", "one prompt", "few labels", "equal labels", "steps")


def _hard() -> dict[str, tuple[Rows, tuple[str, ...], str]]:
    """name -> (rows, options, what is said)."""
    rows, bare = _rows(20, 8, 7), _without(_rows(20, 8, 7), "label_chance")
    labels = sum("gold_reward" in row for row in rows)
    silent = [_without([row], "gold_reward")[0] if row["prompt_id"] in ("p03", "p11") else row for row in rows]
    both: Rows = [
        row | {"step": 0, "source": source, "logp_draft": -1.0, "logp_base": -1.5}
        for source in ("draft", "base")
        for row in rows
    ]
    graded: Rows = [
        _without([row], "gold_reward")[0] | ({"correct": row["gold_reward"] > 0.4} if "gold_reward" in row else {})
        for row in _rows(40, 8, 7)
    ]
    # one prompt has every label, no other has any
    whole = {"gold_reward": 0.5, "label_chance": 1.0}
    few = [
        _without([row], "gold_reward")[0] | (whole if row["prompt_id"] == "p00" else {"label_chance": 0.05})
        for row in rows
    ]
    return {
        "no chance": (bare, (), f"gold_reward is on {labels} of 160 draws of l.jsonl, and nobody said by what chance"),
        "another chance": (bare, ("--label-chance", "0.99"), "they are not the right ones"),
        "no label": (_without(rows, "gold_reward"), (), "has label_chance, and neither gold_reward nor correct"),
        "one prompt": (_rows(1, 8, 8), (), "1 prompt: give 5 prompts or more"),
        "few labels": (few, (), "equal ones, and an error shows from 15 on: buy more labels of high rewards"),
        "equal labels": (
            [row | ({"gold_reward": 1.0} if "gold_reward" in row else {}) for row in rows],
            (),
            "the labels differ in too few prompts to show an error",
        ),
        "steps": ([row | {"step": step} for step in (0, 1) for row in rows], (), "labels of prompts of several steps"),
        "unequal": ([row for row in rows if row["candidate"] < 5 or row["prompt_id"] > "p08"], (), "of 11 prompts,"),
        "prompts without labels": (silent, (), f"is estimated from {sum('gold_reward' in r for r in silent)} labels"),
        "a pool": (both, ("--source", "base"), f"is estimated from {labels} labels on 160 draws of 20 prompts"),
        "counts": ([row | {"candidate": 2 * row["candidate"], "count": 2} for row in rows], (), "on 320 draws of 20"),
        "grades": (graded, ("--missing", "drop-row"), "correct is estimated from"),
        "no gain is shown": (
            [row | ({"gold_reward": i * 12 % 37 / 37} if "gold_reward" in row else {}) for i, row in enumerate(rows)],
            (),
            "no-harm choice of n: 1, as no larger n is shown",
        ),
        "no draw is better": (
            [row | ({"gold_reward": -row["reward"]} if "gold_reward" in row else {}) for row in rows],
            (),
            "no-harm choice of n: 1, as no larger n is shown to have at least the mean gold reward of one draw",
        ),
    }


@pytest.mark.parametrize("name", list(_hard()))
def test_hard_logs_are_answered_in_a_line_without_nan_or_warning(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows, options, words = _hard()[name]
    path = _file(tmp_path / "l.jsonl", rows)
    code, text, err = said(capsys, path, *options, "--select", "best_of_n")
    assert code == 0 and words in " ".join(text.split()), text + err
    assert max(map(len, text.splitlines())) <= 80 and "nan" not in text and "inf" not in text
    code, text, _ = said(capsys, path, *options, "--select", "best_of_n", "--json")
    assert code == 0 and "NaN" not in text and "inf" not in text.lower()
    assert (json.loads(text)["labelled"] is None) == (name in _SILENT)
    # where the chances are known, no curve is of the prompts that happen to have every label
    values = {entry["value"] for entry in json.loads(text)["curves"]}
    assert values == {"reward"} or name == "no chance"


def test_dependent_draws_have_a_curve_and_no_choice(tmp_path: Path) -> None:
    write_log(tmp_path / "l.parquet", table(_rows(40, 12, 5)), {"facts": {"iid": False, "how": "beam search"}})
    curves = curve(tmp_path / "l.parquet")
    assert curves.labelled is not None and curves.record()["labelled"]["harmless_n"] is None
    assert not any("no-harm" in line for line in rests_on(curves))
