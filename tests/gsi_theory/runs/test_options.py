"""Lists of the command line: each member once, whatever the command."""

from __future__ import annotations

import pytest

from gsi_theory import InputError
from gsi_theory.runs.options import distinct, listed
from llm_check.models.checks.check_settings import read_settings
from sims.worlds import checked_worlds


def test_each_member_once_in_the_order_of_first_appearance() -> None:
    assert listed("4,1, 4,2,1", int, "n") == (4, 1, 2)
    assert listed("1,1.0,0,-0.0", float, "beta") == (1.0, 0.0)
    assert listed("race, softmax,race", str, "rule") == ("race", "softmax")
    assert distinct([3, 3, 1]) == (3, 1) and distinct([]) == ()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [("1,x", int, "'1,x': give whole numbers separated by commas"), ("1.5", int, "give whole numbers"),
     ("", float, "'': give numbers"), ("race,,max", str, "give names"), ("9" * 5001, int, "9…': give whole numbers")],
)  # fmt: skip
def test_what_is_no_list_is_refused_in_one_short_line(text: str, kind: type, said: str) -> None:
    with pytest.raises(InputError) as error:
        listed(text, kind, "n")
    assert said in str(error.value) and str(error.value).startswith("--n ") and len(str(error.value)) < 130


def test_settings_that_hold_lists_hold_each_member_once() -> None:
    assert read_settings({"ns": "4,1,4"}, {"ns": (1, 2)}) == {"ns": (4, 1)}
    assert len(checked_worlds("strong, strong", "worlds")) == 1
