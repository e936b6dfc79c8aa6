"""The precision in which a processor is fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_check.models.engines.torch_threads import fastest_dtype
from llm_check.models.world import load_world


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("flags : fpu avx512f avx512_bf16 amx_bf16", "bfloat16"),
        ("Features : fp asimd bf16 i8mm", "bfloat16"),
        ("flags : fpu avx2 avx512f avx512_vnni", "float32"),
        ("", "float32"),
    ],
)
def test_half_precision_only_where_the_processor_has_it(
    flags: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: flags)
    assert fastest_dtype() == dtype


def test_without_a_list_of_flags_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert fastest_dtype() == "float32"


def test_auto_names_it_wherever_models_are_loaded() -> None:
    contract = load_world(dtype="auto", reward="python:math:fsum?low=0&high=1").draft.contract
    assert contract.dtype == fastest_dtype()
