"""The worked examples in docstrings give the numbers that they show."""

from __future__ import annotations

import doctest
import importlib
import math

import pytest


@pytest.mark.parametrize("name", ["gsi_theory.rules.softmax_cells", "gsi_theory.laws.weights"])
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    names = {**vars(module), "math": math, "selection_law": importlib.import_module("gsi_theory").selection_law}
    found = doctest.testmod(module, extraglobs=names)
    assert found.attempted >= 5
    assert found.failed == 0
