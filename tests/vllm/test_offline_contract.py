"""The real vLLM engine, offline, on the embedded pair: the contract of every engine."""

from __future__ import annotations

from typing import Any

import pytest

from llm_check.models.engines.token_engine import TokenEngine
from tests.llm_check.models.engines.contract_suite import CONTRACT, Pair


@pytest.fixture(scope="module")
def pair(offline: dict[str, TokenEngine], modules: dict[str, Any]) -> Pair:
    return Pair(offline["draft"], offline["base"], modules["draft"], modules["base"])


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)
