"""The explorable page: its numbers are gsi_theory's, its lessons say what its sliders show, its links lead on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, divergence, gsi_law, limits
from gsi_theory.claims import CLAIMS
from gsi_theory.instance import tilted_policy, tilted_reward
from gsi_theory.runs.theory_chapters import CHAPTERS, STATEMENT
from gsi_theory.types import Record
from tests.figures.browser import driven, needs_browser
from tests.figures.test_report import OVERFLOW

DOCS = Path(__file__).parents[2] / "docs"
GATES = ("none", "tilted_reward", "score")
RULES = ("softmax", "race", "max", "regularized")
BY_ORDER = ("max", "regularized")


def widget() -> str:
    """The page's own markup."""
    text = (DOCS / "explorable" / "index.md").read_text(encoding="utf-8")
    found = re.search(r"^```\{raw\} html\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("explorable")
    (place / "_static").mkdir()
    for name in ("explorable.js", "explorable.css"):
        (place / "_static" / name).write_bytes((DOCS / "_static" / name).read_bytes())
    head = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    (place / "page").mkdir()
    (place / "page" / "index.html").write_text(f"{head}<body>{widget()}", encoding="utf-8")
    return place


# The setting

_ENDLESS = '(key, x) => (Object.is(x, Infinity) ? "inf" : Object.is(x, -Infinity) ? "-inf" : x !== x ? "nan" : x)'


def evaluated(folder: Path, settings: list[Record]) -> list[Record]:
    """What the page's script computes at each setting's n."""
    script = f"""
      const {{ evaluate }} = view.eval("gsiLaws");
      for (const setting of {json.dumps(settings)}) {{
        log.push(JSON.stringify(evaluate(setting, [setting.n]), {_ENDLESS}));
      }}
    """

    def number(value: Any) -> Any:
        return float(value) if value in ("inf", "-inf", "nan") else value

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else number(value)

    return [plain(json.loads(line)) for line in driven(folder, "page/index.html", script)["log"]]


def random_settings(number: int, seed: int = 21) -> list[Record]:
    """Sizes 3 to 6, β from 0 to 50, n to 10⁶; masses of zero, equal ratios, equal rewards, rewards on the threshold."""
    rng = np.random.default_rng(seed)
    settings: list[Record] = []
    while len(settings) < number:
        k, rule = int(rng.integers(3, 7)), RULES[len(settings) % 4]
        weights = rng.integers(1, 101, size=(2, k)).astype(float)
        match rng.integers(5):
            case 0:
                weights = rng.dirichlet(np.full(k, 0.3), size=2) + 1e-6
            case 1 | 2:
                weights[rng.random((2, k)) < 0.25] = 0.0
            case 3:
                weights[1] = np.r_[weights[0, :2], weights[0, :1:-1]]  # log-ratios of exactly zero
        if not weights.any(axis=1).all():
            continue
        draft, base = weights / weights.sum(axis=1, keepdims=True)
        reward = rng.integers(0, 6, size=k) / 5 if rng.random() < 0.5 else rng.random(k)
        gate = GATES[int(rng.integers(3 if rule == "race" else 2))]
        u = float(reward[0]) if rng.random() < 0.3 else float(rng.uniform(-0.5, 2.0))
        beta = float(rng.choice([0.0, rng.uniform(0.0, 50.0), 10 ** rng.uniform(-1.0, 1.0)], p=[0.15, 0.4, 0.45]))
        n = int(rng.choice([1, 2, 10**6, int(10 ** rng.uniform(0.0, 6.0))], p=[0.05, 0.05, 0.05, 0.85]))
        settings.append({
            "draft": draft.tolist(), "base": base.tolist(), "reward": reward.tolist(), "beta": beta, "n": n,
            "rule": rule, "m": [1, 2, 4, 64][int(rng.integers(4))], "gate": gate, "u": u,
        })  # fmt: skip
    return settings


def scheme_of(setting: Record, gated: bool = True) -> Scheme:
    rule = f"regularized:{setting['m']}" if setting["rule"] == "regularized" else setting["rule"]
    cut, gate = (setting["u"], setting["gate"]) if gated and setting["gate"] != "none" else (None, "tilted_reward")
    return Scheme(setting["beta"], setting["n"], cut, rule, gate=gate)


def expected(setting: Record) -> Record:
    """The numbers of the page by gsi_theory."""
    instance = Instance.from_probabilities(setting["draft"], setting["base"], setting["reward"])
    pi, scheme = tilted_policy(instance, setting["beta"]), scheme_of(setting)
    law, ungated = gsi_law(instance, scheme), gsi_law(instance, scheme_of(setting, gated=False))
    covered = not instance.uncovered and setting["rule"] not in BY_ORDER

    def right_side(name: str) -> float | None:
        return CLAIMS[name].evaluate(instance, scheme).rhs if covered else None

    share = float(np.exp(pi)[tilted_reward(instance, setting["beta"]) >= setting["u"]].sum())
    limit = covered and setting["gate"] == "tilted_reward"
    reward = instance.reward
    return {
        "pi": pi, "q": ungated.log_prob, "g": law.log_prob, "pAccept": law.p_accept,
        "tvQ": divergence.tv(ungated.log_prob, pi), "tvG": divergence.tv(law.log_prob, pi),
        "klQ": divergence.kl(pi, ungated.log_prob), "klG": divergence.kl(pi, law.log_prob),
        "rewardQ": ungated.expectation(reward), "rewardG": law.expectation(reward),
        "leastTv": limits.best_tv(pi, instance.log_draft, setting["n"]),
        "tvBound": right_side("M10-tv"), "klMean": right_side("M11-mean"), "klChi2": right_side("M11-chi2"),
        "klTheorem": right_side("M12b"), "klDraft": divergence.kl(pi, instance.log_draft),
        "chi2": divergence.chi2(pi, instance.log_draft), "share": share if limit else None,
        "bias": share * (1.0 - share) if limit else None,
        "rewards": [float(np.exp(log) @ reward) for log in (instance.log_draft, instance.log_base, pi)],
    }  # fmt: skip


def off(ours: Any, theirs: Any) -> float:
    """How far apart: relative to what is above one, absolutely below."""
    if ours is None or theirs is None:
        return 0.0 if ours is theirs else np.inf
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    same = (a == b) | ((a < -600.0) & (b < -600.0))  # a probability below 1e-260 is none that a page shows
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(b)))))


@needs_browser
def test_the_numbers_are_those_of_gsi_theory(folder: Path) -> None:
    settings = random_settings(200)
    assert {(s["rule"], s["gate"]) for s in settings} == {
        (rule, gate) for rule in RULES for gate in GATES if gate != "score" or rule == "race"
    }
    assert {len(s["draft"]) for s in settings} == {3, 4, 5, 6}
    assert {s["rule"] for s in settings if 0.0 in s["draft"]} == {s["rule"] for s in settings if 0.0 in s["base"]}
    assert sum(0.0 in s["draft"] for s in settings) > 20 and sum(0.0 in s["base"] for s in settings) > 20
    tied = [s for s in settings if s["gate"] == "tilted_reward" and s["draft"][0] == s["base"][0] > 0.0]
    tied = [s for s in tied if s["u"] == s["reward"][0]]
    assert {s["beta"] == 0.0 for s in tied} == {True, False}
    made = evaluated(folder, settings)
    worst: dict[str, float] = {}
    for setting, whole in zip(settings, made, strict=True):
        ours = {**whole, **whole["laws"][0]}
        for name, theirs in expected(setting).items():
            apart = off(ours[name], theirs)
            assert apart <= 1e-9, (name, ours[name], theirs, setting)
            if name.startswith(("tv", "kl")) and theirs not in (None, np.inf) and theirs > 1e-11:
                assert ours[name] == pytest.approx(theirs, rel=1e-4), (name, setting)
            worst[name] = max(worst.get(name, 0.0), apart)
    assert all(error <= 1e-9 for error in worst.values()), worst


# The page

_READ = """
  const text = (id) => page.getElementById(id).textContent;
  const cells = (id) => [...page.getElementById(id).querySelectorAll("td")].filter((cell) => !cell.hidden)
    .map((cell) => cell.textContent);
  const move = (id, value) => {
    const control = page.getElementById(id); control.value = value;
    control.dispatchEvent(new view.Event("input", { bubbles: true }));
    control.dispatchEvent(new view.Event("change", { bubbles: true }));
  };
  const say = () => log.push({
    rule: page.getElementById("e-rule").value, n: text("o-n"), beta: text("o-beta"), tv: cells("e-tv"),
    kl: cells("e-kl"), accept: cells("e-accept"), least: text("e-least"), bias: text("e-bias"), aim: cells("e-law-aim"),
    draft: cells("e-law-draft"), own: cells("e-law-own"), mean: text("e-kl-mean-says"),
    theorem: text("e-kl-theorem-says"), hash: view.location.hash,
    lesson: [...page.querySelectorAll(".e-now")].map((each) => each.textContent.slice(0, 30)),
  });
  const lesson = (i) => page.querySelectorAll("button[data-state]")[i].click();
"""


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("∞", "inf"))


@needs_browser
def test_the_page_shows_what_its_address_asks(folder: Path) -> None:
    asked = "draft=50,30,15,5&base=25,25,25,25&reward=10,40,70,100&beta=4&n=30&rule=race&gate=score&u=0.9"
    (said,) = driven(folder, f"page/index.html#{asked}", _READ + "say();")["log"]
    setting = {
        "draft": [0.5, 0.3, 0.15, 0.05], "base": [0.25] * 4, "reward": [0.1, 0.4, 0.7, 1.0], "beta": 4.0, "n": 30,
        "rule": "race", "m": 4, "gate": "score", "u": 0.9,
    }  # fmt: skip
    theirs = expected(setting)
    assert [number(cell) for cell in said["tv"]] == pytest.approx([theirs["tvQ"], theirs["tvG"]], rel=6e-3)
    assert [number(cell) for cell in said["kl"]] == pytest.approx([theirs["klQ"], theirs["klG"]], rel=6e-2)
    assert number(said["accept"][1]) == pytest.approx(theirs["pAccept"], rel=6e-3)
    assert [number(cell) for cell in said["aim"]] == pytest.approx(np.exp(theirs["pi"]), abs=6e-4)
    assert (said["n"], said["beta"], said["rule"]) == ("30", "4", "race")


@needs_browser
def test_sliders_move_the_numbers_and_the_address(folder: Path) -> None:
    moves = 'say(); move("e-rule", "max"); move("e-gate", "none"); move("e-n", 9); move("e-draft-0", 0); say();'
    before, after = driven(folder, "page/index.html", _READ + moves)["log"]
    assert before["tv"] != after["tv"] and after["tv"][1] == "–" and after["n"] == "10" and after["draft"][0] == "0.000"
    for part in ("draft=0,30,10", "rule=max", "gate=none", "n=10"):
        assert part in after["hash"]


@needs_browser
@pytest.mark.parametrize(
    "asked", ["draft=<b>&n=NaN&beta=-3&u=1e999", "draft=0,0,0&base=0,0,0&reward=x", "gate=score&lesson=99"]
)
def test_an_address_that_makes_no_sense_still_shows_numbers(folder: Path, asked: str) -> None:
    (said,) = driven(folder, f"page/index.html#{asked}", _READ + "say();")["log"]
    assert 0.0 <= number(said["tv"][0]) <= 1.0 and "NaN" not in json.dumps({**said, "hash": ""})


@needs_browser
def test_the_lessons_say_what_their_sliders_show(folder: Path) -> None:
    last = 'const million = page.getElementById("e-n").max;'
    steps = """
      lesson(0); say(); move("e-beta", 20); say();
      lesson(1); say(); move("e-n", 0); say(); move("e-n", million); say(); move("e-u", -20); say();
      lesson(2); say(); move("e-rule", "softmax"); say(); move("e-rule", "max"); move("e-n", million); say();
      lesson(3); move("e-n", million); say(); move("e-draft-2", 1);
      for (const i of [15, 17, 29]) { move("e-n", i); say(); }
      move("e-draft-2", 0); move("e-n", 19); move("e-gate", "tilted_reward"); say();
      lesson(4); move("e-n", million); say(); move("e-n", 4); say();
      lesson(4); move("e-beta", 7); move("e-n", 40); say();
    """
    said = iter(driven(folder, "page/index.html", _READ + last + steps)["log"])
    one, tilted, gate, few, many, all_kept = (next(said) for _ in range(6))
    race, softmax, best, missed, rare, ended, near, written = (next(said) for _ in range(8))
    large, small, mild = said
    assert one["own"] == one["draft"] == tilted["own"] and one["aim"] != tilted["aim"] and one["n"] == "1"
    assert gate["lesson"] == ["What the gate does. Move n. Wi"] and number(gate["tv"][0]) < number(gate["tv"][1])
    assert number(few["tv"][1]) < number(few["tv"][0])
    assert number(many["tv"][1]) == pytest.approx(number(many["bias"]), rel=1e-2) and number(many["tv"][0]) < 1e-4
    assert all_kept["tv"][0] == all_kept["tv"][1] and all_kept["accept"][1] == "1"
    assert number(race["tv"][0]) < 0.5 * number(softmax["tv"][0])
    assert max(best["own"]) == "1.000" and number(best["tv"][0]) > 0.1
    assert number(missed["least"]) == pytest.approx(number(missed["aim"][2]), abs=1e-3) and missed["kl"][0] == "∞"
    assert number(missed["tv"][0]) == pytest.approx(number(missed["least"]), rel=1e-3)
    assert missed["theorem"] == missed["mean"] == "does not apply"
    assert number(rare["least"]) > 0.05 and number(ended["least"]) == 0.0 and number(ended["tv"][0]) > 0.05
    assert (rare["n"], ended["n"], near["n"]) == ("40", "60", "1,000") and number(near["tv"][0]) < 0.02
    assert number(written["tv"][1]) < number(written["least"])
    assert large["n"] == "1,000,000" and large["theorem"] == "vacuous" and large["mean"] == "not vacuous"
    assert small["n"] == "5" and small["mean"] == "not vacuous"
    assert mild["theorem"] == "not vacuous"


@needs_browser
def test_nothing_moves_but_the_numbers(folder: Path) -> None:
    """Of a page 400 pixels wide: no control, plot or table shifts when a slider is moved or a lesson chosen."""
    steps = """
      const places = () => log.push([...page.querySelectorAll("input, select, svg, tr, button")]
        .filter((each) => each.offsetParent)
        .map((each) => Math.round(each.getBoundingClientRect().top + view.scrollY)));
      places(); move("e-n", 40); places(); move("e-beta", 25); places(); move("e-u", 60); places();
      move("e-rule", "regularized"); places(); move("e-draft-0", 0); places();
      lesson(0); places(); lesson(4); lesson(1); places();
    """
    first, *rest = driven(folder, "page/index.html", _READ + steps)["log"]
    assert len(first) > 20 and all(places == first for places in rest)


@needs_browser
def test_nothing_is_wider_than_a_telephone(folder: Path) -> None:
    assert driven(folder, "page/index.html", OVERFLOW)["log"] == [400, []]
    six = "page/index.html#draft=1,2,3,4,5,6&base=6,5,4,3,2,1&reward=0,1,2,3,4,5&rule=regularized"
    assert driven(folder, six, OVERFLOW)["log"] == [400, []]


@needs_browser
def test_every_control_has_a_name(folder: Path) -> None:
    unnamed = """
      for (const each of page.querySelectorAll("input, select, button")) {
        const said = each.getAttribute("aria-label") || each.labels?.[0]?.textContent || each.textContent;
        log.push([each.id, each.tabIndex, said.trim()]);
      }
    """
    rows = driven(folder, "page/index.html", unnamed)["log"]
    assert len(rows) > 30 and [row for row in rows if row[1] != 0 or len(row[2]) < 4] == []


def test_the_page_links_each_number_to_its_statement() -> None:
    links = re.findall(r'href="\.\./theory/(\w+)\.html#(m\w+)">(M\w+)<', widget())
    assert len(links) >= 20
    stated = {(name, match[1]) for name, text in CHAPTERS.items() for match in STATEMENT.finditer(text)}
    for chapter, anchor, said in links:
        assert (chapter, said) in stated and anchor == said.lower()


def test_the_page_asks_nothing_of_the_network() -> None:
    script = (DOCS / "_static" / "explorable.js").read_text(encoding="utf-8")
    assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|https?://(?!www\.w3\.org/2000/svg)", script + widget())
