"""Whatever a file or a variable holds: settings, or one ConfigError that can be printed; never anything else."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_bench.config.loader import load_settings
from inference_bench.config.schema import all_keys
from inference_bench.config.vocabulary import Vocabulary
from inference_bench.errors import ConfigError

KEYS = sorted({str(part) for path in all_keys() for part in path if isinstance(part, str)})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["closed", "poisson", "built-in", "http://a", "vllm", "env:X", "unique"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), inner, max_size=5),
    ),
    max_leaves=25,
)
FUZZ = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def load(data: bytes, tmp_path: Path, environ: dict[str, str] | None = None) -> None:
    """Load bytes as a file; a ConfigError is an answer too, if it says something."""
    (tmp_path / "x.yaml").write_bytes(data)
    try:
        load_settings(
            Path("x.yaml"), overrides={}, environ=environ or {}, cwd=tmp_path, known=Vocabulary(engines=("vllm",))
        )
    except ConfigError as error:
        assert error.message
        assert all(line.isprintable() for line in error.message.splitlines()), error.message


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_structure_of_known_keys(tmp_path: Path, document: dict[str, object]) -> None:
    load(yaml.safe_dump(document, allow_unicode=True).encode(), tmp_path)


@FUZZ
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    load(data, tmp_path)


@FUZZ
@given(
    st.dictionaries(
        st.lists(st.sampled_from([*KEYS, "0", "1", "99", "", "*", "@a"]), min_size=1, max_size=4).map("__".join),
        st.text(max_size=20),
        max_size=4,
    )
)
def test_any_variables(tmp_path: Path, variables: dict[str, str]) -> None:
    load(b"", tmp_path, {f"VLLM_BENCHMARK__{name.upper()}": value for name, value in variables.items()})


@pytest.mark.parametrize("path", list(all_keys()), ids=lambda path: ".".join(str(part) for part in path))
def test_every_key_takes_or_refuses_every_kind_of_value(path: tuple[str | int, ...], tmp_path: Path) -> None:
    for value in (None, True, -1, 1.5, "text", [], [1], {}, {"a": 1}):
        document: object = value
        for part in reversed(path):
            document = {part: document} if isinstance(part, str) else [document]
        load(yaml.safe_dump(document).encode(), tmp_path)
