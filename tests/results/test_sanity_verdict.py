"""The same figures, sound and not: what looks garbled or wildly short in the records costs the verdict."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compared_runs import Speed, names, stored_run
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparison import Pair
from inference_bench.results.folder import RunFolder
from inference_bench.results.summary import read_summary
from inference_bench.testing.analyzers import write_summaries

FAST, SLOW = Speed(ttft=40, e2e=240), Speed(ttft=80, e2e=480)


def with_column(folder: RunFolder, name: str, service: str, mine: object, others: object) -> None:
    """Write a column of requests.parquet anew: one value for a service, another for the others."""
    path = folder.file("requests.parquet")
    table = pq.read_table(path)
    values = [mine if one == service else others for one in table.column("service").to_pylist()]
    field = table.schema.field(name)
    plain = pa.array(values, type=pa.string() if pa.types.is_dictionary(field.type) else field.type)
    changed = table.set_column(table.schema.get_field_index(name), field, plain.cast(field.type))
    pq.write_table(changed, path)


def with_equal_work(folder: RunFolder) -> None:
    """Let the services have been asked the same in each block."""
    path = folder.file("requests.parquet")
    table = pq.read_table(path)
    position = table.schema.get_field_index("index")
    blocks = table.column("block").cast(pa.int64())
    pq.write_table(table.set_column(position, table.schema.field(position), blocks), path)


def deciding(folder: RunFolder) -> Pair:
    write_summaries(folder)
    (pair,) = [one for one in compare_run(folder).primary_pairs if one.test == "ttft"]
    return pair


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return stored_run(tmp_path, names("ab", a=FAST, b=SLOW), rounds=None)


def test_the_fast_one_wins_while_its_answers_are_sound(folder: RunFolder) -> None:
    with_column(folder, "text_check", "a", "sound", "sound")
    assert (deciding(folder).verdict, deciding(folder).better) == ("better", "a")
    summary = read_summary(folder)
    assert summary is not None
    assert {one.sanity.sound_rate for one in summary.tests[0].services.values() if one.sanity is not None} == {1.0}


@pytest.mark.parametrize("look", ["broken_characters", "few_characters", "repeated"])
def test_garbled_it_does_not(folder: RunFolder, look: str) -> None:
    with_column(folder, "text_check", "a", look, "sound")
    pair = deciding(folder)
    assert (pair.verdict, pair.better) == ("not_comparable", None)
    assert "fewer of its answers are sound: 0 % against 100 %" in str(pair.reason)
    assert compare_run(folder).winners["overall"] is None


def test_wildly_short_it_does_not(folder: RunFolder) -> None:
    with_column(folder, "text_check", "a", "sound", "sound")
    with_equal_work(folder)
    with_column(folder, "max_tokens", "a", 64, 64)
    with_column(folder, "output_tokens", "a", 3, 60)
    pair = deciding(folder)
    assert (pair.verdict, pair.better) == ("not_comparable", None)
    assert "fewer of its answers are sound" in str(pair.reason)


def test_garbled_on_both_sides_the_figures_stand(folder: RunFolder) -> None:
    """A tiny model of random weights talks nonsense on every engine: that is no difference between them."""
    with_column(folder, "text_check", "a", "repeated", "repeated")
    assert deciding(folder).better == "a"


def test_a_run_of_a_version_that_did_not_look_keeps_its_verdict(folder: RunFolder) -> None:
    path = folder.file("requests.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["text_check"]), path)
    assert deciding(folder).better == "a"
    summary = read_summary(folder)
    assert summary is not None
    assert {one.sanity for one in summary.tests[0].services.values()} == {None}
