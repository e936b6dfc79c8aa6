"""The package as a user gets it: sdist and wheel built as for a release, installed into clean environments, and run
there outside of the repository. `make test-wheel`; the package index is asked for what the wheel depends on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from gsi_theory.cli import COMMANDS
from tests.docs.test_tutorials import TUTORIALS, cells

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gsi_theory", "sims", "llm_check", "figures")
MEGABYTES = 4.0
# what only a checkout has a use for
CHECKOUT = re.compile(r"\.git(hub/|ignore)")
# a command that needs packages of an extra -> the extra
NEEDY = {
    "decode --method gsi --problems 1": "llm",
    "pool drafts.parquet --problems 1 --candidates 1": "llm",
    "check lm_law": "llm",
    "conform lm generate:base": "llm",
    "models smollm2": "real",
    "report --out report": "llm",
    "simulate best_of_n_limit --cluster tcp://127.0.0.1:8786": "cluster",
}


def _tracked() -> list[str]:
    done = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def _run(words: list[object], folder: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command in `folder`, with nothing of this environment but what the system needs; its output, if it ends as it
    should."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "GSI_"))}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=outside | {"MPLBACKEND": "Agg"}, capture_output=True, text=True
    )
    assert done.returncode == status, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def _environment(folder: Path) -> Path:
    """A new environment with pip; its folder of commands."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel), the wheel built from the sdist, as `python -m build` does, of the tracked files alone."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in _tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source], out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def bare(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and what it depends on, and no extra."""
    commands = _environment(tmp_path_factory.mktemp("bare"))
    pip = [commands / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    _run([*pip, "--constraint", ROOT / "constraints.txt", built[1]], commands)
    return commands


@pytest.fixture(scope="module")
def with_models(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel, and beside it all that this environment has (torch too)."""
    folder = tmp_path_factory.mktemp("with_models")
    commands = _environment(folder)
    pip = [commands / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    _run([*pip, "--no-deps", built[1]], commands)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    return commands


def test_the_wheel_is_small_and_holds_the_packages_whole(built: tuple[Path, Path]) -> None:
    sdist, wheel = built
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.2f} MB; {sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB")
    assert size <= MEGABYTES
    tracked = _tracked()
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == {name for name in tracked if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    for needed in (
        "gsi_theory/theory/",
        "figures/templates/",
        "llm_check/models/tiny/checkpoints/",
        "gsi_theory/py.typed",
    ):
        assert any(name.startswith(needed) for name in inside), needed
    with tarfile.open(sdist) as files:
        held = {member.name.partition("/")[2] for member in files.getmembers() if member.isfile()}
    assert {name for name in tracked if not CHECKOUT.match(name)} <= held


def test_without_extras_every_command_has_its_help(bare: Path, tmp_path: Path) -> None:
    program = f"""
import importlib.util, subprocess, sys
assert not any(map(importlib.util.find_spec, ("torch", "transformers", "dask", "hypothesis", "pytest")))
for name in {list(COMMANDS)!r}:
    done = subprocess.run([{str(bare / "gsi")!r}, *name.split(), "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and f"Usage: gsi {{name}}" in done.stdout, (name, done)
"""
    _run([bare / "python", "-c", program], tmp_path)
    assert _run([bare / "gsi", "--version"], tmp_path).stdout.startswith("gsi ")


@pytest.mark.parametrize("line", NEEDY)
def test_without_its_extra_a_command_names_it_in_one_line(line: str, bare: Path, tmp_path: Path) -> None:
    done = _run([bare / "gsi", *line.split()], tmp_path, status=2)
    assert re.fullmatch(rf"gsi .*pip install 'gsi-theory\[{NEEDY[line]}\]'.*\n", done.stderr), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", ["law", "which_n"])
def test_without_extras_a_tutorial_runs(page: str, bare: Path, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("\n".join(cells(TUTORIALS / f"{page}.md")) + "\nfigure.savefig('page.png')\n")
    done = _run([bare / "python", "page.py"], tmp_path)
    assert done.stderr == ""
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_without_extras_commands_that_draw_find_their_templates(bare: Path, tmp_path: Path) -> None:
    rows = [{"prompt_id": f"p{p}", "candidate": c, "reward": (7 * p + 3 * c) % 11} for p in range(6) for c in range(8)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _run([bare / "gsi", "curve", "log.jsonl", "--page", "page"], tmp_path)
    assert any("</html>" in page.read_text(encoding="utf-8") for page in (tmp_path / "page").glob("*.html"))
    _run([bare / "gsi", "refute", "M7-gains", "--seconds", "5"], tmp_path)


def test_with_models_the_embedded_pair_comes_from_the_wheel(with_models: Path, tmp_path: Path) -> None:
    place = "import llm_check.models.tiny as tiny; print(tiny.checkpoint_path('base'))"
    folder = _run([with_models / "python", "-c", place], tmp_path).stdout.strip()
    assert Path(folder).is_relative_to(with_models.parent)
    line = "decode --method gsi --problems 2 --n 2 --json"
    assert len(json.loads(_run([with_models / "gsi", *line.split()], tmp_path).stdout)["solutions"]) == 2
