"""What could be imported before files moved can still be, under its old name, with a warning that says where it is."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from gsi_theory.moved import MOVED, MOVED_NAMES, new_place

# module -> its public names (`__all__`) at release 0.1.0, before the folders of today
PUBLIC = json.loads((Path(__file__).parent / "public_names.json").read_text())


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_still_answers(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded = importlib.import_module(module)
        missing = [name for name in PUBLIC[module] if not hasattr(loaded, name)]
    assert not missing


def test_a_moved_module_is_the_new_one_and_says_where_it_is() -> None:
    code = (
        "import warnings; warnings.simplefilter('error'); import gsi_theory.laws.selection_law as new\n"
        "try: import gsi_theory.law\nexcept DeprecationWarning as told: print(told)\n"
        "warnings.simplefilter('ignore'); import gsi_theory.law as old"
        "; print(old.selection_law is new.selection_law, old.Law is new.Law)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, same = done.stdout.splitlines()
    assert "gsi_theory.law is now gsi_theory.laws.selection_law" in said
    assert same == "True True"


def test_a_moved_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "llm_check.pools.schema"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("prompt_id")


@pytest.mark.parametrize("old", MOVED)
def test_new_places_exist_and_do_not_move_again(old: str) -> None:
    assert importlib.util.find_spec(MOVED[old]) is not None
    assert new_place(MOVED[old]) is None


@pytest.mark.parametrize("old", MOVED_NAMES)
def test_new_names_exist(old: str) -> None:
    place, _, name = MOVED_NAMES[old].rpartition(".")
    assert hasattr(importlib.import_module(place), name)
