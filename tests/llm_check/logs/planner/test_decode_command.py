"""The command that a plan prints: the decode command's own parser takes it, for every method a plan can recommend."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer

from gsi_theory import InputError
from llm_check.logs.planner.decode_command import EMBEDDED, decode_command
from llm_check.logs.planner.option_means import scheme_of
from llm_check.logs.planner.scheme_grid import Grid, Option, stated_option
from llm_check.models import command_decode
from llm_check.models.decoding.method_table import named_method

U = 0.1 + 0.2
GRID = Grid(("softmax", "race"), (1 / 3, 20.0), (1, 8), (1,), *2 * ({1 / 3: (-U,), 20.0: (U,)},), (U,))
NAMED: dict[str, Any] = {
    "draft": {"model": "owner/small draft"}, "base": {"model": "owner/large"}, "reward": {"name": "python:r.py:judge"},
    "task": "jsonl", "step": "delimiter:\\n\\n", "max_tokens": 18, "template": "bare",
}  # fmt: skip


def _parsed(command: str) -> dict[str, Any]:
    words = shlex.split(command)
    assert words[:2] == ["gsi", "decode"]
    parser = typer.main.get_command(command_decode.app)
    return dict(parser.make_context("decode", words[2:]).params)


def test_every_option_of_a_plan_is_played_as_it_is() -> None:
    options = GRID.options()
    assert {o.method for o in options} == {
        *("draft", "base", "gsi", "gsi_race", "gsi_score_gate", "gsi_ungated", "gsi_ungated_race", "rsd"),
        *("soft_bon_draft", "soft_bon_base", "best_of_n_draft", "best_of_n_base"),
    }
    for option in options:
        asked = _parsed(decode_command(option, NAMED))
        (name,) = asked["method"]
        method = named_method(name)
        played = method.scheme(asked["beta"], int(*asked["n"]), asked["threshold"], asked["n_base"])
        assert (name, method.rule, played.n) == (option.method, option.rule if option.n > 1 else method.rule, option.n)
        if option.has_beta:
            assert asked["beta"] == option.beta
        if option.threshold is not None:
            assert (asked["threshold"], played.base_draws) == (option.threshold, option.n_base), option
        else:
            assert not method.gated(played)
        if option.weighs_ratio:
            assert played == scheme_of(option)
        assert (asked["draft"], asked["base"], asked["reward"]) == (
            "owner/small draft", "owner/large", "python:r.py:judge",
        )  # fmt: skip
        assert (asked["task"], asked["step"], asked["max_tokens"]) == ("jsonl:FILE", "delimiter:\\n\\n", 18)


def test_what_a_pool_does_not_name_stands_in_capitals_and_the_embedded_world_needs_no_names() -> None:
    option = Option("softmax", "none", 8, 8, 5.0, None)
    bare = decode_command(option, {})
    assert bare == (
        "gsi decode --method gsi_ungated --n 8 --beta 5 --draft DRAFT --base BASE --reward REWARD --task TASK "
        "--step STEP"
    )
    known = {name: {"model": value, "name": value} for name, value in EMBEDDED.items()}
    own = decode_command(option, known | {"task": "arithmetic", "step": "tokens:8", "max_tokens": 8})
    assert own == "gsi decode --method gsi_ungated --n 8 --beta 5 --task arithmetic --step tokens:8"


def test_the_embedded_world_is_named_as_its_pools_name_it() -> None:
    from llm_check.models.collecting.provenance import checkpoint_parameters
    from llm_check.models.tiny import checkpoint_path

    for model in ("draft", "base"):
        folder = checkpoint_path(model)
        assert f"{folder.parent.name}/{folder.name}" == EMBEDDED[model]
        assert (checkpoint_parameters(folder) or 0) > 1000
    assert checkpoint_path("prm").name == EMBEDDED["reward"]


@pytest.mark.parametrize(
    "text", ["8", "x,5", "8,0", "0,5", "8,5,inf", "8,5,0.4,base", "8,5,none,gsi", "8,5,0.4,no", "8,5,0.4,gsi,1"]
)
def test_an_option_that_is_none_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(InputError, match=r"--decides .*give n,β"):
        stated_option(text)


def test_stated_options() -> None:
    assert stated_option("8,5").method == "gsi_ungated"
    assert stated_option("8, 5, -0.4").threshold == -0.4
    assert stated_option("8,5,0.4,gsi_score_gate") == Option("race", "score", 8, 8, 5.0, 0.4)
