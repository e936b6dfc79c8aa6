"""The ids that end a solution: what generation_config.json may say of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.delimiter import end_of_sequence_ids
from llm_check.models.decoding.solutions import SolutionRun


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("{}", {1}),
        ('{"eos_token_id": null}', {1}),
        ('{"eos_token_id": 7}', {1, 7}),
        ('{"eos_token_id": [7, 2]}', {1, 2, 7}),
    ],
)
def test_ids_of_the_tokenizer_and_of_the_file(text: str, ids: set[int], tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(text)
    assert end_of_sequence_ids(SimpleNamespace(eos_token_id=1, name_or_path=str(tmp_path))) == ids


@pytest.mark.parametrize(
    "value", ["1e999", "NaN", "2.5", "true", '"7"', "[1, null]", "[[1]]", "{}", "9" * 5001, "[" * 100_000],
    ids=["infinite", "nan", "half", "true", "text", "null", "nested", "object", "digits", "deep"],
)  # fmt: skip
def test_other_ids_are_refused(value: str, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(f'{{"eos_token_id": {value}}}')
    with pytest.raises(InputError, match=r"generation_config\.json"):
        end_of_sequence_ids(SimpleNamespace(eos_token_id=1, name_or_path=str(tmp_path)))


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"holds \[1\], no JSON object"):
        end_of_sequence_ids(SimpleNamespace(eos_token_id=1, name_or_path=str(tmp_path)))


def test_a_plan_of_solutions_has_no_negative_zero() -> None:
    plan = SolutionRun(("gsi",), -0.0, 2, -0.0)
    assert f"{plan.beta} {plan.threshold}" == "0.0 0.0"
