"""The page of a pool: what it shows is the plan's and the estimators', hostile text stays text, the explorer works."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from figures.pool_page import build_pool_page
from gsi_theory import InputError, Scheme
from gsi_theory.cli import main
from gsi_theory.runs.artifact import read_artifact
from llm_check.logs.pools.pool import Pool, pool_from_columns, read_pool, write_pool
from llm_check.logs.pools.tails import pool_coverage
from llm_check.logs.prediction import predict_position
from tests.benches.plan import WORLDS
from tests.figures.browser import driven, needs_browser, output, served, shown
from tests.figures.test_report import OVERFLOW, Reader

HOSTILE = "</script><script>alert(1)</script>&<b>"
ASKED = ["--beta", "1,4", "--n", "1,2,4", "--min-gain", "0.1"]


@pytest.fixture(scope="module")
def pool() -> Pool:
    made = WORLDS["plain"](np.random.default_rng(0), 60).pool(40, 24, 1)
    columns = {name: made.table[name].to_pylist() for name in made.table.column_names}
    columns["prompt_id"] = [HOSTILE + str(name) for name in columns["prompt_id"]]
    return pool_from_columns(columns)


@pytest.fixture(scope="module")
def folder(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    file = place / "<i>drafts.parquet"
    write_pool(file, pool.table, {})
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(file), *ASKED, "--page", str(place / "out")])
    assert ended.value.code == 0
    return place / "out"


def test_the_page_says_what_the_bound_on_the_unseen_rests_on(pool: Pool, folder: Path, tmp_path: Path) -> None:
    page = " ".join((folder / "index.html").read_text(encoding="utf-8").split())
    most = f"{np.max(pool.table['reward'].to_numpy()):.3g}"
    assert f"is bounded up to reward {most}, the largest of this pool: of larger ones, which no draw has shown" in page
    write_pool(tmp_path / "pool.parquet", pool.table, {})
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tmp_path / "pool.parquet"), *ASKED, "--reward-range", "0", "2", "--page", str(tmp_path)])
    page = " ".join((tmp_path / "index.html").read_text(encoding="utf-8").split())
    assert ended.value.code == 0 and "is bounded up to reward 2, the largest there is as stated" in page


def cells(folder: Path, name: str = "explorer") -> list[dict[str, Any]]:
    table = read_artifact(folder / "pool_page.json", "pool_page").tables[name]
    return [{key: column[i] for key, column in table.items()} for i in range(len(table["n"]))]


def test_the_grid_is_what_the_estimators_say(folder: Path) -> None:
    """Mean over positions of the unbiased prediction (M31) of each scheme: another way through the same pool."""
    pool = read_pool(folder.parent / "<i>drafts.parquet")
    found = [c for c in cells(folder) if not c["method"].startswith("soft_bon")]
    assert {c["gate"] for c in found} == {"none", "tilted_reward", "score"} and {c["n"] for c in found} == {1, 2, 4}
    some = found[:: len(found) // 6]
    schemes = [
        Scheme(c["beta"], c["n"], c["threshold"], c["rule"], c["n_base"],
               "tilted_reward" if c["gate"] == "none" else c["gate"])
        for c in some
    ]  # fmt: skip
    at = [
        predict_position(pool.draft_candidates(*key), pool.base_candidates(*key), schemes) for key in pool.arrays.names
    ]
    for k, cell in enumerate(some):
        np.testing.assert_allclose(cell["reward"], np.mean([p.value[k, 0] for p in at]), rtol=1e-9)
        np.testing.assert_allclose(cell["p_accept"], np.mean([p.p_accept[k] for p in at]), rtol=1e-9, atol=1e-12)


def test_coverage_is_the_pools(folder: Path) -> None:
    pool = read_pool(folder.parent / "<i>drafts.parquet")
    table = read_artifact(folder / "pool_page.json", "pool_page").tables["coverage"]
    for i, (step, beta) in enumerate(zip(table["step"], table["beta"], strict=True)):
        own = [c for c in pool_coverage(pool, beta) if c.step == step]
        assert table["positions"][i] == len(own) == 40
        ranked = np.sort([c.tilted.ess / c.tilted.size for c in own])
        np.testing.assert_allclose(table["ess_share_median"][i], ranked[len(own) // 2])
        np.testing.assert_allclose(table["chi2_pair_q1"][i], np.sort([c.base_chi2[0] for c in own])[len(own) // 4])
        assert table["tail_seen"][i] == np.mean([c.tail.speaks for c in own])


def test_the_page_is_whole_and_its_text_is_text(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert not page.open and page.tags.count("script") == 2 and page.tags.count("svg") == 11
    assert all(address.startswith(("#", "theory.html#M")) for _, address in page.addresses)
    assert len(page.ids) == len(set(page.ids))
    assert "<i>drafts" not in text and "&lt;i&gt;drafts.parquet" in text
    record = read_artifact(folder / "pool_page.json", "pool_page")
    told = record.provenance["command"]
    assert told == "gsi plan '<i>drafts.parquet' --min-gain 0.1 --beta 1,4 --n 1,2,4 --page FOLDER"
    said = html.unescape(text)
    assert "at 95\u00a0% for all" in said  # numbers keep their units beside them
    assert html.escape(record.summary["reason"][1:], quote=False) in said.replace("\u00a0", " ")
    chosen = record.summary["recommendation"]
    assert f"n = {chosen['n']}, β = {chosen['beta']:g}" in said.replace("\u00a0", " ")


def test_only_the_explorers_script_may_run(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'content="(default-src[^"]*)"', text)
    assert policy is not None and re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/]+='; base-uri 'none'; "
        "form-action 'none'", policy[1],
    )  # fmt: skip


def test_a_hostile_column_stays_inside_the_data(folder: Path, tmp_path: Path) -> None:
    """Names of value columns reach the script's data: no markup there may end the script."""
    body = json.loads((folder / "pool_page.json").read_text(encoding="utf-8"))
    body["summary"]["reason"] = HOSTILE
    body["tables"]["findings"] = {
        "id": [HOSTILE],
        "severity": ["error"],
        "evidence": [{HOSTILE: 1.0}],
        "advice": [HOSTILE],
    }
    body["summary"]["cost_unit"] = HOSTILE
    (tmp_path / "p.json").write_text(json.dumps(body), encoding="utf-8")
    text = build_pool_page(tmp_path / "p.json", tmp_path / "index.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert page.tags.count("script") == 2 and "b" not in page.tags[page.tags.index("main") :]
    assert "alert(1)</script>" not in text


def test_a_missing_column_is_named(folder: Path, tmp_path: Path) -> None:
    body = json.loads((folder / "pool_page.json").read_text(encoding="utf-8"))
    del body["tables"]["explorer"]["p_accept"]
    (tmp_path / "p.json").write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(InputError, match="table 'explorer' of artifact 'pool_page' has no column 'p_accept'"):
        build_pool_page(tmp_path / "p.json", tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with served(folder) as place:
        yield place


def of_gsi(cell: dict[str, Any]) -> bool:
    """Whether drafts are selected by reward and ratio; among one nothing is selected."""
    return cell["method"].startswith("gsi") or cell["method"] == "draft"


def numbers(folder: Path, **scheme: Any) -> dict[str, Any]:
    own = [c for c in cells(folder) if of_gsi(c) and all(c[k] == v for k, v in scheme.items())]
    assert len(own) == 1
    return own[0]


@needs_browser
@pytest.mark.parametrize("rule, gate", [("softmax", "none"), ("softmax", "tilted_reward"), ("race", "score")])
def test_the_explorer_shows_the_cell_of_its_address(folder: Path, address: str, rule: str, gate: str) -> None:
    cuts = [c["threshold"] for c in cells(folder) if (c["rule"], c["gate"], c["beta"]) == (rule, gate, 4.0)]
    cut = sorted(set(cuts))[1] if gate != "none" else None
    cell = numbers(folder, rule=rule, gate=gate, beta=4.0, n=2, threshold=cut)
    asked = f"rule={rule}&gate={gate}&beta=4&n=2" + (f"&u={cut}" if cut is not None else "")
    text = shown(f"{address}/index.html#{asked}")
    mean, error = map(float, output(text, "o-value").split(" ± "))
    assert mean == pytest.approx(cell["reward"], rel=2e-4) and error == pytest.approx(cell["reward_se"], rel=2e-2)
    assert float(output(text, "o-cost").split()[0]) == pytest.approx(cell["cost"], rel=5e-3)
    accepted = output(text, "o-accept")
    assert accepted == "–" if cut is None else float(accepted) == pytest.approx(cell["p_accept"], rel=5e-3)
    assert output(text, "o-n") == "2" and output(text, "o-beta") == "4" and 'class="dot"' in text


_MOVES = """
  const shown = ["o-beta", "o-n", "o-u", "o-value"];
  const note = () => log.push(shown.map((id) => page.getElementById(id).textContent));
  const move = (id, value) => {
    const control = page.getElementById(id); control.value = value;
    control.dispatchEvent(new view.Event("input")); note();
  };
  move("x-n", 2); move("x-beta", 1); move("x-rule", "race"); move("x-gate", "score"); move("x-u", 2);
"""
START = "index.html#rule=softmax&gate=none&beta=1&n=1"


@needs_browser
def test_sliders_and_lists_change_what_is_shown(folder: Path) -> None:
    told = driven(folder, START, _MOVES)
    cut = sorted({c["threshold"] for c in cells(folder) if c["gate"] == "score" and c["beta"] == 4.0})[2]
    steps = [
        {"rule": "softmax", "gate": "none", "beta": 1.0, "n": 4},
        {"rule": "softmax", "gate": "none", "beta": 4.0, "n": 4},
        {"rule": "race", "gate": "none", "beta": 4.0, "n": 4},
        None,
        {"rule": "race", "gate": "score", "beta": 4.0, "n": 4, "threshold": cut},
    ]  # fmt: skip
    for scheme, (beta, n, u, value) in zip(steps, told["log"], strict=True):
        if scheme is None:
            continue
        cell = numbers(folder, **scheme)
        assert (float(beta), int(n)) == (scheme["beta"], scheme["n"])
        assert float(value.split(" ± ")[0]) == pytest.approx(cell["reward"], rel=2e-4)
        assert u == "no gate" if scheme["gate"] == "none" else float(u) == pytest.approx(cut, rel=1e-3)
    assert told["hash"].startswith("#rule=race&gate=score&beta=4&n=4&value=reward&u=")


@needs_browser
def test_every_slider_has_a_name(folder: Path) -> None:
    names = """
      for (const id of ["x-beta", "x-n", "x-u"]) log.push(page.getElementById(id).labels[0]?.textContent.split(" ")[0]);
    """
    assert driven(folder, START, names)["log"] == ["β", "n", "threshold"]


@needs_browser
def test_hostile_text_runs_nowhere(folder: Path, address: str) -> None:
    text = shown(f"{address}/index.html#value=%3Cscript%3Ealert(1)%3C/script%3E&n=abc&beta=<b>&u=NaN")
    assert "±" in output(text, "o-value") and "NaN" not in output(text, "o-value")


_BUTTONS = """
  const texts = () => ["o-value", "o-front", "o-command"].map((id) => page.getElementById(id).textContent);
  log.push(texts());
  const better = page.getElementById("x-better");
  log.push(better.hidden); better.click(); log.push(texts());
  page.getElementById("x-back").click(); log.push(texts());
"""


@needs_browser
def test_the_explorer_leads_to_the_front_and_back_to_the_recommendation(folder: Path) -> None:
    """And its command is one that `gsi plan` takes."""
    ungated = [c for c in cells(folder) if c["gate"] == "none" and of_gsi(c)]
    worst = next(c for c in ungated if any(o["cost"] <= c["cost"] and o["reward"] > c["reward"] for o in ungated))
    address = f"index.html#rule={worst['rule']}&gate=none&beta={worst['beta']:g}&n={worst['n']}"
    here, hidden, there, back = driven(folder, address, _BUTTONS)["log"]
    assert here[1].startswith("below it: ") and hidden is False and there[1] == "on it"
    assert float(there[0].split(" ± ")[0]) > float(here[0].split(" ± ")[0])
    record = read_artifact(folder / "pool_page.json", "pool_page").summary["recommendation"]
    assert back[2].endswith(f"--beta {record['beta']:g} --n {record['n']}") == (record["threshold"] is None)
    words = shlex.split(here[2])
    assert words[:3] == ["gsi", "plan", "<i>drafts.parquet"]
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(folder.parent / words[2]), *words[3:]])
    assert ended.value.code == 0


@needs_browser
def test_nothing_is_wider_than_a_telephone(folder: Path) -> None:
    assert driven(folder, "index.html", OVERFLOW)["log"] == [400, []]


def test_the_figure_and_the_table_of_tails_agree(folder: Path, tmp_path: Path) -> None:
    """What all positions show together and what single ones show are told apart, each β in the sentence that holds."""
    body = json.loads((folder / "pool_page.json").read_text(encoding="utf-8"))
    betas, coverage = body["tables"]["tails"]["beta"], body["tables"]["coverage"]
    for seen, words in (
        (True, "the drafts of all positions together show the tail"),
        (False, "they do not show it even"),
    ):
        body["tables"]["tails"]["seen"] = [seen] * len(betas)
        coverage["tail_seen"] = [0.25] * len(coverage["beta"])
        (tmp_path / "p.json").write_text(json.dumps(body), encoding="utf-8")
        page = build_pool_page(tmp_path / "p.json", tmp_path / "index.html").read_text(encoding="utf-8")
        said = " ".join(page.replace("\u00a0", " ").split())
        assert f"At β = {', '.join(f'{b:g}' for b in betas)} {words}" in said
        assert said.count('<td class="r">25 %</td>') == 0 and said.count(">25 %</td>") == len(betas)
