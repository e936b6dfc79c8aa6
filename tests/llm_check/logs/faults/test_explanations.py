"""Every finding has its paragraph, and `gsi doctor --explain` prints it or the nearest names."""

from __future__ import annotations

import pytest

from gsi_theory.cli import main
from llm_check.logs.pools.findings import FINDINGS


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


@pytest.mark.parametrize("rule", FINDINGS, ids=lambda rule: rule.id)
def test_every_finding_has_its_paragraph(rule, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    told = rule.explanation
    assert min(len(told.cause), len(told.picture), len(told.setting), len(rule.advice)) > 20
    # how each engine calls what is to be set
    assert all(name in told.setting for name in ("vLLM", "SGLang", "transformers")) or rule.id in ROWS_ALONE
    code, out, _ = _run(["doctor", "--explain", rule.id], capsys)
    words = " ".join(out.split())
    assert code == 0 and out.startswith(f"{rule.severity}: {rule.id}") and max(map(len, out.splitlines())) <= 80
    for part in (told.cause, told.picture, told.setting, rule.advice):
        assert " ".join(part.split()) in words


# made by no engine's setting alone
ROWS_ALONE = {"reward_noise", "reward_range", "equal_rewards", "short_favored"}


def test_ids_are_unlike() -> None:
    ids = [rule.id for rule in FINDINGS]
    assert len(set(ids)) == len(ids)


def test_an_unknown_finding_gets_the_nearest_names(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(["doctor", "--explain", "exchanged"], capsys)
    assert code == 2 and out == "" and "nearest first: exchanged_columns, " in " ".join(err.split())
    code, _, err = _run(["doctor"], capsys)
    assert code == 2 and "give the path of one" in err
