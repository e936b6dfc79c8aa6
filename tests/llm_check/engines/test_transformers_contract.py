"""The transformers engine satisfies the contract of every engine."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from llm_check.engines.transformers_engine import TransformersEngine
from llm_check.tiny import checkpoint_path
from tests.llm_check.engines.contract_suite import CONTRACT, Pair


def module_of(name: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(checkpoint_path(name), dtype="float32").eval()


@pytest.fixture(scope="module")
def pair() -> Pair:
    engines = [TransformersEngine.load(checkpoint_path(name)) for name in ("draft", "base")]
    return Pair(engines[0], engines[1], module_of("draft"), module_of("base"))


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)
