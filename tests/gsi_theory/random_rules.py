"""Rules of the table that take a random number of draws (M24); one that does not refuses it."""

from __future__ import annotations

import numpy as np

from gsi_theory import InputError, selection_law
from gsi_theory.laws.draws import Draws
from gsi_theory.rules.table import RULES


def _takes(rule: str) -> bool:
    try:
        selection_law(np.log([0.5, 0.5]), np.array([0.0, 1.0]), Draws(0, 1.0), rule)
    except InputError:
        return False
    return True


RANDOM_RULES = tuple(filter(_takes, RULES))
assert {"softmax", "race", "max"} <= set(RANDOM_RULES)
