"""What a step costs (M33): tokens, operations and seconds agree about which model does what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import write_artifact
from gsi_theory.runs.costs import (
    DEVICES,
    MEASURED,
    OVERHEADS,
    SHAPES,
    Overhead,
    Shape,
    Sizes,
    Slowdown,
    Trio,
    drawing_seconds,
    gsi_seconds,
    reading_seconds,
    soft_bon_seconds,
    step_cost,
)
from llm_check.logs.planner.calibration import Timing, calibrate, fitted_overhead
from llm_check.logs.planner.recommendation import Setup, option_costs
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.setup import stated_setup

TRIO = Trio(SHAPES["qwen2.5-math-1.5b"], SHAPES["qwen2.5-math-7b"], SHAPES["qwen2.5-math-prm-7b"])
H100 = DEVICES["h100"]


def test_one_draft_without_a_gate_takes_the_time_of_drafting_alone() -> None:
    alone = gsi_seconds(TRIO, H100, 1, 1, 0.0, 40.0, 40.0, alone=True)
    passes = 40 * (2.0 * 1.54e9 + (500.0 + 20.0 + 1.0) * TRIO.draft.cache_bytes) / 3.35e12
    assert alone == pytest.approx(passes)
    slower = gsi_seconds(TRIO, H100, 1, 1, 0.0, 40.0, 40.0, calibration=Slowdown(1.0, 100.0), alone=True)
    assert slower == pytest.approx(passes)
    both = gsi_seconds(TRIO, H100, [1, 1], 1, 0.0, 40.0, 40.0, alone=[True, False])
    assert both[0] == pytest.approx(passes) and both[1] > both[0]


def test_seconds_of_one_option_do_not_depend_on_the_others() -> None:
    lengths = np.array([10.0, 4000.0])
    together = gsi_seconds(TRIO, H100, 16, 16, 0.5, lengths, lengths)
    apart = [float(gsi_seconds(TRIO, H100, 16, 16, 0.5, length, length)) for length in lengths]
    assert together == pytest.approx(apart, rel=1e-12)


def test_a_plan_counts_seconds_of_the_models_that_see_tokens() -> None:
    options = [
        Option("softmax", "none", 1, 1, 5.0, None), Option("softmax", "none", 2, 2, 5.0, None),
        Option("softmax", "tilted_reward", 1, 1, 5.0, 0.5), Option("softmax", "none", 1, 1, 5.0, None, "base"),
        Option("softmax", "none", 2, 2, 5.0, None, "soft_bon_draft"),
        Option("max", "none", 2, 2, 5.0, None, "best_of_n_draft"),
        Option("softmax", "none", 2, 2, 5.0, None, "soft_bon_base"),
        Option("softmax", "reward", 1, 1, 5.0, 0.5, "rsd"),
    ]  # fmt: skip
    reject = np.array([0.0, 0.0, 0.25, 1.0, 0.0, 0.0, 1.0, 0.25])
    table = SimpleNamespace(
        options=options, reject=reject, reject_tokens=40.0 * reject, base_tokens=40.0, draft_tokens=40.0
    )
    quick, slow = (Setup(device=H100, trio=TRIO, calibration=Slowdown(1.0, factor)) for factor in (1.0, 2.0))
    cost, seconds = option_costs(table, quick)  # type: ignore[arg-type]
    later = option_costs(table, slow)[1]  # type: ignore[arg-type]
    assert seconds is not None and later is not None
    seen = cost.scored + cost.judged > 0
    assert seen.tolist() == [False, True, True, False, True, True, True, True]
    # selected by the reward alone no draft is scored by the base, and RSD judges its draft alone
    assert cost.scored.tolist() == [0.0, 80.0, 40.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert cost.judged.tolist() == [0.0, 80.0, 50.0, 0.0, 80.0, 80.0, 80.0, 40.0]
    assert cost.decoded.tolist() == [0.0, 0.0, 10.0, 40.0, 0.0, 0.0, 80.0, 10.0]
    # twice as slow a base and reward model: a difference exactly where they see tokens, or write them
    assert (later > seconds).tolist() == (seen | (cost.decoded > 0)).tolist()
    # what a draft selects by the reward is as quick as on a base of its shape
    same = Setup(device=H100, trio=Trio(TRIO.base, TRIO.base, TRIO.reward))
    alike = option_costs(table, same)[1]  # type: ignore[arg-type]
    assert alike is not None and alike[4] == pytest.approx(alike[6]) and seconds[4] < seconds[6]


@pytest.mark.parametrize("tokens", [-5.0, float("nan"), float("inf"), 1e306])
def test_no_cost_is_negative_or_infinite(tokens: float) -> None:
    sizes = Sizes(1e9, 7e9, 7e9)
    for lengths in ((tokens, 10.0), (10.0, tokens)):
        with pytest.raises(InputError, match="give"):
            step_cost(4, 4, 0.5, *lengths, sizes)
    assert step_cost(4, 4, 0.5, 0.0, 0.0, sizes).flops == 0.0


@pytest.mark.parametrize("context", [-1.0, float("nan"), float("inf"), 1e308])
def test_no_time_is_negative_or_infinite(context: float) -> None:
    with pytest.raises(InputError, match="give"):
        gsi_seconds(TRIO, H100, 4, 4, 0.5, 10.0, 10.0, context)
    with pytest.raises(InputError, match="give"):
        soft_bon_seconds(TRIO, H100, 4, 10.0, context)
    with pytest.raises(InputError, match="give"):
        calibrate(TRIO, H100, 1.0, 1.0, 4, context)


@pytest.mark.parametrize(
    ("draft", "base", "n", "said"),
    [
        (float("inf"), 1.0, 4, "draft timing inf"),
        (1.0, float("nan"), 4, "base timing nan"),
        (-1.0, 1.0, 4, "draft timing -1.0"),
        (1.0, 1e308, 4, "base passes scaled by inf"),
        (1.0, 1.0, 0, "n = 0: give a whole number"),
        (1.0, 1.0, 4.5, "n = 4.5: give a whole number"),
        (1.0, 1.0, float("nan"), "n = nan: give a whole number"),
    ],
)
def test_timings_that_cannot_be_measured_are_refused(draft: float, base: float, n: float, said: str) -> None:
    with np.errstate(over="ignore"), pytest.raises(InputError, match=said):
        calibrate(TRIO, H100, draft, base, n, 500.0)


def test_overheads_are_found_from_exact_timings_of_two_settings() -> None:
    """Non-negative least squares of as many equations as unknowns; and of a model that never draws."""
    shape, truth = Shape(1e8, 0.0, 5e4), Overhead(call=0.04, step=0.05, drawn=0.004, read=0.003)
    timings = []
    for n, tokens, context in ((2, 4.0, 60.0), (16, 16.0, 130.0)):
        for drawn, seconds in ((True, drawing_seconds), (False, reading_seconds)):
            took = float(seconds(shape, MEASURED, truth, n, tokens, context, tokens))
            timings.append(Timing(drawn, n, tokens, context, tokens, took))
    found = fitted_overhead(shape, timings)
    for name in ("call", "step", "drawn", "read"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=1e-9)
    judge = fitted_overhead(shape, [timing for timing in timings if not timing.drawn])
    assert (judge.step, judge.drawn) == (0.0, 0.0) and judge.read == pytest.approx(truth.read)
    # a model that reads the context again with every candidate: one candidate beside several shows it
    again = Overhead(call=0.06, read=0.0027, again=True)
    sizes = [(n, 16.0, 130.0) for n in (16, 1)] + [(n, 4.0, 60.0) for n in (2, 1)]
    judged = [Timing(False, *s, s[1], float(reading_seconds(shape, MEASURED, again, *s, s[1]))) for s in sizes]
    seen = fitted_overhead(shape, judged)
    assert seen.again and (seen.call, seen.read) == pytest.approx((0.06, 0.0027))
    assert not fitted_overhead(shape, timings).again
    with pytest.raises(InputError, match=r"a timing of 0.0 s: give measured seconds"):
        fitted_overhead(shape, [Timing(True, 1, 2.0, 3.0, 0.0, 0.0)])


def measured(folder: Path, **changes: object) -> Path:
    """What `gsi check lm_seconds` writes, as far as a plan reads it."""
    roles = ["draft", "base", "reward"]
    zeros: dict[str, object] = dict.fromkeys(("cache_bytes", "attention", "step", "drawn", "read"), [0.0] * 3)
    zeros["again"] = [False] * 3
    models = {"role": roles, "parameters": [1e6, 2e6, 3e6], "call": [1.0, 10.0, 100.0], **zeros} | changes
    record = {"command": "gsi check lm_seconds", "seed": 0, "versions": {}, "commit": None}
    return write_artifact(folder / "lm_seconds.json", "lm_seconds", record, {"selection": 1000.0}, {"models": models})


def test_a_plan_reads_measured_seconds(tmp_path: Path) -> None:
    setup = stated_setup("seconds", None, None, None, 200.0, 40.0, costs=measured(tmp_path))
    assert (setup.sizes.draft, setup.sizes.base, setup.sizes.reward, setup.context) == (1e6, 2e6, 3e6, 200.0)
    assert setup.trio is not None and setup.device == MEASURED
    took = soft_bon_seconds(setup.trio, setup.device, 4, 40.0, 200.0, overheads=setup.overheads)
    assert float(took) == pytest.approx(1110.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": "h100"}, "--costs with --device"),
        ({"models": "1e9,2e9,3e9"}, "--costs with --device"),
        ({"costs": "absent.json"}, "absent.json holds no measured seconds"),
    ],
)
def test_measured_seconds_that_will_not_do(given: dict[str, str], said: str, tmp_path: Path) -> None:
    options = {"device": None, "models": None, "timings": None, "context": 200.0, "tokens": 40.0}
    costs = tmp_path / given.pop("costs") if "costs" in given else measured(tmp_path)
    with pytest.raises(InputError, match=said):
        stated_setup("seconds", **(options | given), costs=costs)  # type: ignore[arg-type]
    for changes in ({"call": [-1.0, 0.0, 0.0]}, {"parameters": ["x", 1.0, 1.0]}):
        with pytest.raises(InputError, match="holds no measured seconds"):
            stated_setup("seconds", **options, costs=measured(tmp_path, **changes))  # type: ignore[arg-type]


def test_an_engine_is_named_with_its_device() -> None:
    served = stated_setup("seconds", "h100", None, None, 500.0, 64.0, engine="vllm")
    assert served.overheads == OVERHEADS["vllm"]
    with pytest.raises(InputError, match=r"--engine 'vlm' .did you mean 'vllm'"):
        stated_setup("seconds", "h100", None, None, 500.0, 64.0, engine="vlm")
    with pytest.raises(InputError, match="--engine 'vllm' without --device"):
        stated_setup("flops", None, None, None, 500.0, 64.0, engine="vllm")
