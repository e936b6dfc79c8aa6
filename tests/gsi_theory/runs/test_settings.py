"""Settings: what each kind accepts, one wording of errors, and their form on the command line."""

from __future__ import annotations

import re

import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.settings import RunSetting, checked, read_pairs, set_options, values

SETTINGS = {
    "draws": RunSetting(10, range(1, 101)),
    "families": RunSetting("zipf", ("dirichlet", "zipf", "few")),
    "beta": RunSetting(5.0, values(float, lambda beta: beta >= 0.0, "a number of at least 0")),
    "ns": RunSetting((1, 2), values(int, lambda n: n >= 1, "a whole number from 1", several=True)),
    "words": ("x", lambda value, place: f"{place}: {value}"),
}


def test_defaults_are_checked_like_what_is_given() -> None:
    assert checked(SETTINGS, {}, " of the test") == {
        "draws": 10,
        "families": ("zipf",),
        "beta": 5.0,
        "ns": (1, 2),
        "words": "setting words of the test: x",
    }


def test_text_and_values_are_read_alike() -> None:
    texts = {"draws": "7", "families": "few, dirichlet,few", "beta": "0.5", "ns": "4,1,4", "words": "y"}
    typed = {"draws": 7.0, "families": ["few", "dirichlet"], "beta": 0.5, "ns": (4, 1), "words": "y"}
    assert checked(SETTINGS, texts) == checked(SETTINGS, typed)
    assert checked(SETTINGS, texts)["families"] == ("dirichlet", "few")  # in the order of the table
    assert checked(SETTINGS, texts)["ns"] == (4, 1)  # as given, each once


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"draw": "1"}, "setting 'draw' of the test (did you mean 'draws'?): give one of draws, families,"),
        ({"draws": "0"}, "setting draws of the test = '0': give a whole number from 1 to 100"),
        ({"draws": 1.5}, "setting draws of the test = 1.5: give a whole number"),
        ({"draws": True}, "setting draws of the test = True: give a whole number"),
        ({"draws": "9" * 5000}, "...: give a whole number"),
        ({"draws": None}, "= None: give a whole number"),
        ({"families": "zip"}, "families of the test = 'zip' names 'zip' (did you mean 'zipf'?): give some of"),
        ({"families": ""}, "names '': give some of dirichlet, zipf, few, comma separated"),
        ({"beta": "nan"}, "setting beta of the test = 'nan': give a number of at least 0"),
        ({"beta": "1,2"}, "setting beta of the test = '1,2': give a number of at least 0"),
        ({"ns": "1,x"}, "setting ns of the test = '1,x': give a whole number from 1, several with commas"),
    ],
)
def test_errors_name_the_setting_the_value_and_what_is_allowed(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as error:
        checked(SETTINGS, given, " of the test")
    assert len(str(error.value)) < 250


def test_pairs_of_the_command_line_come_back_quoted() -> None:
    assert read_pairs(["a=1", "b=x=y z"]) == {"a": "1", "b": "x=y z"}
    assert set_options({"a": "1", "b": "x=y z"}) == " --set a=1 --set 'b=x=y z'"
    for wrong in ("a", "=1"):
        with pytest.raises(InputError, match="give key=value"):
            read_pairs([wrong])


def test_names_that_are_no_text_are_the_records_fault() -> None:
    with pytest.raises(InputError, match=r"allows 1 .int.: give names as text"):
        checked({"n": ("1", (1, 2))}, {})
