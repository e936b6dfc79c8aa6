"""Signs of dependence have the chance that they say (M48): by counting all orders of small logs."""

from __future__ import annotations

import math
from itertools import permutations, product

import pyarrow as pa
import pytest

from llm_check.logs.pools import independence
from llm_check.logs.pools.independence import sign_of_dependence


def log(name: str, sets: list[tuple[float, ...]]) -> pa.Table:
    rows = [(str(p), k, value) for p, values in enumerate(sets) for k, value in enumerate(values)]
    prompts, candidates, values = zip(*rows, strict=True)
    columns = {"prompt_id": prompts, "candidate": candidates, name: values}
    return pa.table(columns | {"step": [0] * len(rows), "source": ["one"] * len(rows)})


# what is looked at, and the values of each prompt
WORLDS = [
    ("reward", [(0.5, 0.25, 0.75), (1.0, 2.0)]),
    ("reward", [(0.5, 0.5, 0.75, 0.1), (3.0,)]),
    ("logp_draft", [(-1.0, -2.0), (-1.5, -2.5), (-3.0, -3.5)]),
    ("correct", [(True, False, False, False), (True,), (False, True)]),
    ("correct", [(True, True, False, False), (True, False)]),
    ("reward", [(1.0, 0.0, 0.0), (1.0, 0.0)]),
]


@pytest.mark.parametrize(("name", "sets"), WORLDS)
def test_the_chance_of_a_sign(name: str, sets: list[tuple[float, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all orders of the draws within their prompts, equally many when independent, so many show the sign."""
    orders = [list(order) for order in product(*(list(permutations(values)) for values in sets))]
    monkeypatch.setattr(independence, "_EVIDENCE", 1e-9)
    shown = sum(sign_of_dependence(log(name, order)) is not None for order in orders)
    chance = shown / len(orders)
    assert 0 < chance < 1
    signed = next(order for order in orders if sign_of_dependence(log(name, order)))
    for evidence, found in ((-math.log(chance) - 1e-6, True), (-math.log(chance) + 1e-6, False)):
        monkeypatch.setattr(independence, "_EVIDENCE", evidence)
        assert (sign_of_dependence(log(name, signed)) is not None) == found


def test_rows_that_stand_for_one_draw_each_tell_an_order() -> None:
    prompts = [name for name in "abcd" for _ in range(10)]
    columns = {"prompt_id": prompts, "step": [0] * 40, "source": ["one"] * 40, "candidate": [*range(10)] * 4}
    table = pa.table(columns | {"reward": [0.95 - 0.1 * k for k in range(10)] * 4})
    for count, said in (([1] * 40, "reward"), ([None] * 40, "reward"), ([1] * 39 + [2], None)):
        counted = table.append_column("count", pa.array(count, pa.int64()))
        assert independence.sorted_by(counted, 10.0) == said
