"""What a release says of itself, in the places where packagers read it: one version, the same dependencies everywhere.

That the wheel holds what it needs and runs is in tests/test_wheel.py.
"""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gsi_theory import cli
from gsi_theory.moved import GONE
from tests.test_cli_help import said

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION: str = PROJECT["project"]["version"]
# packages that conda-forge calls otherwise
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _parts(requirement: str) -> tuple[str, str]:
    """(name, bounds) of a requirement of pip or conda."""
    name, bounds = re.fullmatch(r"([\w.-]+) *(.*)", requirement).groups()  # type: ignore[union-attr]
    return name, bounds


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    citation = _yaml("CITATION.cff")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\d+\.\d+\.\d+)(?: \((\d{4}-\d\d-\d\d)\))?$", changelog, re.MULTILINE)[0]
    assert newest == (VERSION, str(citation["date-released"]))
    assert citation["version"] == VERSION
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^  version += \{(.*)\}", readme, re.MULTILINE) == [VERSION]


def test_names_that_moved_answer_until_the_release_that_drops_them() -> None:
    assert _release(VERSION) < _release(GONE), "remove what gsi_theory/moved.py lists, then name the release after"


def test_the_conda_recipe_asks_for_what_the_project_asks_for() -> None:
    recipe = _yaml("conda/recipe.yaml")
    project = PROJECT["project"]
    assert recipe["context"]["version"] == VERSION
    assert recipe["package"]["name"] == project["name"]
    python = _parts(f"python {project['requires-python']}")
    asked = [_parts(line) for line in project["dependencies"]]
    wanted = [python, *((CONDA_NAMES.get(name, name), bounds) for name, bounds in asked)]
    assert [_parts(line) for line in recipe["requirements"]["run"]] == wanted
    host = [_parts(line) for line in recipe["requirements"]["host"]]
    assert host == [python, ("pip", ""), *map(_parts, PROJECT["build-system"]["requires"])]
    assert recipe["build"]["noarch"] == "python"
    scripts = [f"{name} = {place}" for name, place in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts


def test_exact_versions_are_within_what_the_project_asks_for() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-").splitlines()
    exact = dict(line.split("==") for line in lines if "==" in line)
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *(each for extra in ("llm", "real", "dev") for each in extras[extra])]
    pairs = [each.split(">=") for each in asked if not each.startswith("gsi-theory[")]
    assert len(pairs) > 20
    for name, least in pairs:
        assert _release(exact[name]) >= _release(least), name


def test_a_release_is_published_by_trust_after_the_tests() -> None:
    jobs = _yaml(".github/workflows/release.yml")["jobs"]
    publish = jobs["publish"]
    assert set(publish["needs"]) == {"build", "test"}
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    ran = re.findall(r"make (\S+)", " ".join(step.get("run", "") for step in jobs["test"]["steps"]))
    assert ran == ["test", "test-wheel"] and set(ran) <= set(targets)


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "llm"), ("math_verify", "llm"), ("huggingface_hub", "llm"), ("gguf", "real")]
)
def test_a_command_without_its_extra_says_which(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError(f"No module named '{module}.inner'", name=f"{module}.inner")

    monkeypatch.setattr(cli, "load_command", missing)
    code, out, err = said(["decode"], capsys)
    assert (code, out) == (2, "")
    assert err == f"gsi decode: package {module!r} is missing: pip install 'gsi-theory[{extra}]'\n"


def test_what_takes_minutes_asks_for_its_packages_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    absent = ("transformers", "distributed")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else find(name, *rest))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSI_CACHE", str(tmp_path / "cache"))
    for line, name, extra in (
        ("report", "transformers", "llm"),
        ("simulate best_of_n_limit --cluster tcp://127.0.0.1:8786", "distributed", "cluster"),
        ("models smollm2", "transformers", "real"),
    ):
        code, _, err = said(line.split(), capsys)
        assert code == 2 and name in err and err.endswith(f"pip install 'gsi-theory[{extra}]'\n"), err
    assert not list(tmp_path.iterdir())


def test_a_package_that_no_extra_brings_is_an_error_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")

    monkeypatch.setattr(cli, "load_command", missing)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["decode"])
