"""Every format: its rows as written by hand, its facts, and what it refuses by line and field."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llm_check
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.logs.formats.field_maps import parse_maps
from llm_check.logs.formats.load_format import FORMATS
from llm_check.logs.formats.log_import import ImportChoices, import_log
from tests.llm_check.logs.formats.sample_logs import SAMPLES, Sample


def written(folder: Path, sample: Sample) -> Path:
    path = folder / sample.name
    path.write_text("".join(json.dumps(entry) + "\n" for entry in sample.objects))
    return path


def imported(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """(status, what was said on either stream); one line where it was refused."""
    with pytest.raises(SystemExit) as ended:
        main(["import", *arguments])
    said = capsys.readouterr()
    if ended.value.code:
        assert said.err.count("\n") == 1 and "Traceback" not in said.err
    return int(str(ended.value.code or 0)), " ".join((said.out + said.err).split())


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows as samples write them."""
    rows = [{k: v for k, v in row.items() if v is not None} for row in pq.read_table(path).to_pylist()]
    return [{k: v for k, v in row.items() if (k, v) not in (("step", 0), ("source", "one"))} for row in rows]


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_and_facts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample, out = SAMPLES[name], tmp_path / "out.parquet"
    code, said = imported(
        [str(written(tmp_path, sample)), "--out", str(out), "--from", sample.form, *sample.options], capsys
    )
    assert code == 0, said
    rows = rows_of(out)
    assert len(rows) == len(sample.rows)
    for row, expected in zip(rows, sample.rows, strict=True):
        assert (
            row == pytest.approx(expected)
            if not any(isinstance(v, list) for v in expected.values())
            else row == expected
        )
    log = llm_check.read_log(out)
    assert log.facts["format"] == sample.form
    for fact, value in (sample.facts or {}).items():
        assert log.facts[fact] == (pytest.approx(value) if isinstance(value, dict) else value), fact


def test_every_format_has_a_sample_and_help_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert {sample.form for sample in SAMPLES.values()} == set(FORMATS)
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    shown = "".join(capsys.readouterr().out.replace("│", "").split())
    assert all(name in shown for name in FORMATS)


# format, a change of the first sample's first object (a function of it), words of the one line
def _changed(name: str, change: Any) -> list[Any]:
    objects = json.loads(json.dumps(SAMPLES[name].objects))
    change(objects[0])
    return objects


REFUSED = [
    (
        "vllm completions",
        lambda o: o["choices"][1].update(token_ids=[7]),
        "2 log-probabilities of 1 tokens, give one each",
    ),
    (
        "vllm completions",
        lambda o: o["choices"][1]["logprobs"].update(token_logprobs=[-0.5, -0.25, 0.0, 0.0]),
        "4 log-probabilities of 2 tokens, padded with 0.0: cut it",
    ),
    (
        "vllm completions",
        lambda o: o["choices"][1].update(token_ids=[1] * 4, logprobs={"token_logprobs": [0.0] * 4}),
        "0.0 for every token: not scored, or greedy",
    ),
    ("vllm completions", lambda o: o["choices"][0].update(index=0), "an index stands twice"),
    ("vllm completions", lambda o: o.update(error={"message": "x"}), "line 1, error = .*the request failed"),
    ("vllm completions", lambda o: o.pop("choices"), "line 1: no field 'choices', is this the right --from"),
    (
        "vllm with scorings",
        lambda o: o["choices"][0].update(token_ids=[8]),
        "no prompt_logprobs of prompt and step, 3 tokens",
    ),
    (
        "vllm with scorings",
        lambda o: o["choices"][0].pop("token_ids"),
        "no field 'token_ids', scorings are joined by ids",
    ),
    (
        "vllm scorings alone",
        lambda o: o["choices"][0].update(
            prompt_logprobs=[None, {"1": {"logprob": -1.0, "rank": 1}, "2": {"logprob": -2.0, "rank": 2}}]
        ),
        "whose token it is shows no id",
    ),
    ("openai chat", lambda o: o["choices"][0]["logprobs"].update(content=[{"token": "a"}]), "logprobs.content.0"),
    (
        "openai chat",
        lambda o: o["choices"][0]["logprobs"]["content"][0].update(logprob=0.5),
        "line 1, logp_draft = 0.5",
    ),
    (
        "sglang kept tokens",
        lambda o: o["meta_info"].update(output_token_sampling_mask=[[9], [8]]),
        "sampling_mask.0 = .9.: the token drawn, 7, is not in it",
    ),
    ("sglang", lambda o: o.pop("meta_info"), "no field 'meta_info'"),
    ("tgi", lambda o: o.update(parameters={"best_of": 4}), "line 1: best_of 4 of TGI.*--not-iid takes them"),
    ("search-and-learn", lambda o: o.update(completion_tokens=[-1, -1]), "DVTS of search-and-learn.*--not-iid"),
    ("search-and-learn", lambda o: o.update(scores=[[0.5]]), "scores = .*: 1 values of 2 draws"),
    (
        "search-and-learn",
        lambda o: o.update(scores=[[], [0.5]]),
        "line 1, reward = null: 1 of 3 rows lack it; choose --miss",
    ),
    ("monkeys", lambda o: o.update(is_corrects=[True]), "1 values of 2 draws"),
    ("monkeys", lambda o: o.update(is_corrects=[True, "maybe"]), 'correct = "maybe": write it as bool'),
    ("lm-eval", lambda o: o.update(resps=[[[-1.5, False]]]), "log-likelihoods of given texts: nothing was drawn"),
    (
        "inspect",
        lambda o: o["scores"]["match"].update(value={"a": 1}),
        "several values: --map reward=scores.match.value.KEY",
    ),
    ("inspect", lambda o: o.update(epoch=2), "stands at line 1 too"),
    ("every-eval-ever", lambda o: o.pop("evaluation"), "no field 'evaluation'"),
    ("human-eval", lambda o: o.update(completion=3), "line 1, completion = 3: give text"),
    ("rsd", lambda o: o.update(token_counts=["3"]), "token_counts"),
    ("its-hub particles", lambda o: o, "a particle filter of its_hub: candidates are resampled.*--not-iid takes them"),
]


@pytest.mark.parametrize(("name", "change", "words"), REFUSED, ids=[f"{n}: {w[:30]}" for n, _, w in REFUSED])
def test_what_is_refused(name: str, change: Any, words: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    path = written(tmp_path, Sample(sample.form, _changed(name, change), [], name="log.jsonl"))
    maps = [word for before, word in zip(sample.options, sample.options[1:], strict=False) if before == "--map"]
    with pytest.raises(InputError, match=words) as caught:
        import_log(path, tmp_path / "out.parquet", ImportChoices(sample.form, tuple(parse_maps(maps))))
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < len(str(path)) + 320
    assert not (tmp_path / "out.parquet").exists()


def test_a_line_twice_is_no_second_draw(tmp_path: Path) -> None:
    for name in (
        "vllm completions",
        "openai chat",
        "sglang",
        "inspect",
        "lm-eval",
        "rsd",
        "monkeys",
        "search-and-learn",
    ):
        sample = SAMPLES[name]
        path = written(tmp_path, Sample(sample.form, [*sample.objects, sample.objects[0]], [], name="twice.jsonl"))
        with pytest.raises(InputError, match=rf"line {len(sample.objects) + 1}, .* stands at line 1 too"):
            import_log(path, tmp_path / "out.parquet", ImportChoices(sample.form))


def test_documents_of_several_tasks_are_several_prompts(tmp_path: Path) -> None:
    """lm-eval numbers documents by task, a file a task; the same task in two files is the same draws."""
    objects = SAMPLES["lm-eval"].objects[:2]
    names = ("samples_sums_2026-11-30T00-09-53.1.jsonl", "samples_of_facts_2026-11-30T00-09-53.1.jsonl")
    paths = [written(tmp_path, Sample("lm-eval", objects, [], name=name)) for name in names]
    log = import_log(paths, tmp_path / "out.parquet", ImportChoices("lm-eval"))
    assert set(log.table["prompt_id"].to_pylist()) == {"sums:0", "sums:1", "of_facts:0", "of_facts:1"}
    assert set(
        import_log(paths[0], tmp_path / "one.parquet", ImportChoices("lm-eval")).table["prompt_id"].to_pylist()
    ) == {
        "0",
        "1",
    }
    again = written(tmp_path, Sample("lm-eval", objects, [], name="samples_sums_2026-11-30T08-00-00.2.jsonl"))
    with pytest.raises(InputError, match=r'"sums:0": stands at line samples_sums_2026-11-30T00'):
        import_log([paths[0], again], tmp_path / "two.parquet", ImportChoices("lm-eval"))


def test_a_folder_is_no_log_of_an_engine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder: give the files in it, e.g. .*/\*"):
        import_log(tmp_path, tmp_path / "out.parquet", ImportChoices("inspect"))


def test_a_foreign_log_that_is_read_as_it_is_names_the_import(tmp_path: Path) -> None:
    path = written(tmp_path, Sample("table", [{"name": "a", "is_solved": True}] * 2, [], name="runs.jsonl"))
    with pytest.raises(InputError, match=r"no field 'prompt_id', .* candidate; gsi import reads other fields; 2 of 2"):
        llm_check.doctor(path)


def test_a_log_whose_prompts_are_graded_in_part_has_no_curve(tmp_path: Path) -> None:
    """lm-eval grades the filtered answer alone; nothing is drawn of dashes."""
    path = written(tmp_path, SAMPLES["lm-eval"])
    log = import_log(path, tmp_path / "out.parquet", ImportChoices("lm-eval"))
    with pytest.raises(InputError, match="every prompt has draws that nobody graded"):
        llm_check.curve(log)


def test_an_eval_file_is_its_samples(tmp_path: Path) -> None:
    """The header's facts, one row an epoch; what is no whole .eval file is refused."""
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in SAMPLES["inspect"].objects:
            archive.writestr(f"samples/{entry['id']}_epoch_{entry['epoch']}.json", json.dumps(entry))
        header = {"version": 2, "eval": {"model": "m", "model_generate_config": {"temperature": 0.5}}}
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", "[]")
    log = import_log(path, tmp_path / "o.parquet", ImportChoices("inspect"))
    expected = [row | {"sampling_temperature": 0.5} for row in SAMPLES["inspect"].rows]
    assert rows_of(tmp_path / "o.parquet") == expected and log.facts["temperature"] == 0.5
    content = path.read_bytes()
    for bad in (content[:-30], content[: len(content) // 2], b"PK\x03\x04", b""):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"is no whole \.eval file"):
            import_log(path, tmp_path / "x.parquet", ImportChoices("inspect"))


def _zstandard_zip(name: str, content: bytes) -> bytes:
    """A zip of one file packed by Zstandard (method 93), as recent versions of Inspect write: its three records."""
    packed = pa.Codec("zstd").compress(content, asbytes=True)
    sizes = struct.pack("<III", zlib.crc32(content), len(packed), len(content))
    label, start = name.encode(), b"\x3f\0\0\0\x5d\0\0\0\0\0"  # version, flags, method, time and date
    local = b"PK\3\4" + start + sizes + struct.pack("<HH", len(label), 0) + label + packed
    central = b"PK\1\2\x3f\0" + start + sizes + struct.pack("<HHHHHII", len(label), 0, 0, 0, 0, 0, 0) + label
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def test_eval_files_of_recent_versions(tmp_path: Path) -> None:
    sample = SAMPLES["inspect"]
    path = tmp_path / "log.eval"
    content = _zstandard_zip("samples/1_epoch_1.json", json.dumps(sample.objects[0]).encode())
    path.write_bytes(content)
    import_log(path, tmp_path / "o.parquet", ImportChoices("inspect"))
    assert rows_of(tmp_path / "o.parquet") == sample.rows[:1]
    for at in range(60, len(content) - 150, 17):  # of the packed bytes, one flipped
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(InputError, match=r"is no whole \.eval file"):
            import_log(path, tmp_path / "x.parquet", ImportChoices("inspect"))


def test_yaml_of_the_monkeys(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    for k in range(2):
        text = f"gt_answer: '4'\nsamples: [a, \"b\\n\"]\nis_correct: [true, {'false' if k else 'true'}]\n"
        (tmp_path / f"{k}.yaml").write_text(text)
    paths = [tmp_path / f"{k}.yaml" for k in range(2)]
    import_log(paths, tmp_path / "o.parquet", ImportChoices("monkeys"))
    assert [(row["prompt_id"], row["candidate"], row["correct"]) for row in rows_of(tmp_path / "o.parquet")] == [
        ("0.yaml:1", 0, True), ("0.yaml:1", 1, True), ("1.yaml:1", 0, True), ("1.yaml:1", 1, False),
    ]  # fmt: skip
    paths[0].write_text("a: [")
    with pytest.raises(InputError, match="no YAML"):
        import_log(paths, tmp_path / "x.parquet", ImportChoices("monkeys"))


def test_all_sequences_of_best_of_are_independent_draws(tmp_path: Path) -> None:
    """Sorted by their server, in every one of 40 answers, and yet all that were drawn."""
    objects = [json.loads(json.dumps(SAMPLES["tgi"].objects[0])) for _ in range(40)]
    path = written(tmp_path, Sample("tgi", objects, []))
    log = import_log(path, tmp_path / "o.parquet", ImportChoices("tgi"))
    assert llm_check.read_log(path, "tgi").table.equals(log.table)
    assert log.facts["iid"] is True and "best_of" in log.facts["order"] and log.draws == 80


@pytest.mark.parametrize("name", ["beam_search_completions.jsonl", "x-dvts--T-0.8.jsonl", "beam-search.jsonl"])
def test_searches_are_known_by_their_name(name: str, tmp_path: Path) -> None:
    sample = SAMPLES["search-and-learn"]
    path = written(tmp_path, Sample(sample.form, sample.objects, [], name=name))
    with pytest.raises(InputError, match=r"of search-and-learn: completions share prefixes: not independent draws"):
        import_log(path, tmp_path / "o.parquet", ImportChoices(sample.form))
    log = import_log(path, tmp_path / "o.parquet", ImportChoices(sample.form, not_iid=True))
    assert log.facts["iid"] is False and "share prefixes" in log.facts["how"]
