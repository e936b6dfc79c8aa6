"""Memory on the real pair: drawing and scoring 32 candidates of 16 tokens stays below 4 GB for everything together."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.real

STEP = """
import resource
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.collecting.collect import candidates_table
from llm_check.models.decoding.positions import Position
from llm_check.models.world import load_world

world = load_world("smollm2:medium", "smollm2", "graded", 16, task="sums", limit=1)
place = Position(world.prompts()[0])
table = candidates_table(Models(world.draft, world.base, world.reward_model), [place], (32, 32), world.rule, 0)
print(len(place.prefix), table.num_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def test_a_step_of_the_pair_takes_less_than_4_gb() -> None:
    run = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True)
    prefix, rows, peak = (float(number) for number in run.stdout.split())
    assert prefix >= 80 and rows == 64
    assert peak < 4.0
