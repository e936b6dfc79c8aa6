"""The rooms of the mutation tester are there: a module that moves is still changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("room", ROOMS)
def test_every_place_of_a_room_exists(room: str) -> None:
    assert [place for place in ROOMS[room] if not (ROOT / place).exists()] == []
