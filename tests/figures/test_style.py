"""The looks of methods: every entry of the table has one, told apart from the others; unknown keys are errors."""

from __future__ import annotations

import pytest
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from figures.style import LOOKS, look, looks_of
from gsi_theory.errors import UnknownName
from gsi_theory.methods import ALIASES, METHODS, Method


def test_every_method_has_the_label_and_a_look_of_the_table() -> None:
    axes = Figure().subplots()
    for key, method in METHODS.items():
        style = look(key)
        assert style.label == method.label and is_color_like(style.color)
        axes.plot([0, 1], [0, 1], color=style.color, linestyle=style.line, marker=style.marker)
        assert not method.look or method.look.split()[:2] == [style.color, style.marker]
    assert len({(LOOKS[key].color, LOOKS[key].marker) for key in METHODS}) == len(METHODS)
    assert all(look(old) == look(new) for old, new in ALIASES.items())


def test_a_new_entry_is_drawn_and_changes_no_other() -> None:
    mine = Method("mine", "my method", "M6", "–", "draft")
    looks = looks_of([*METHODS.values(), mine])
    assert looks.pop("mine").label == "my method"
    assert looks == looks_of(METHODS.values())


def test_an_unknown_key_is_an_error_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no look 'gis' \(did you mean 'gsi'"):
        look("gis")
