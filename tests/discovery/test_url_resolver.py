"""One spelling for every base URL."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.discovery.url_resolver import is_loopback, local_url, normalise_url
from inference_bench.errors import ConfigError


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("gpu2", "http://gpu2"),
        ("HTTP://GPU2:80/", "http://gpu2"),
        ("https://Host.Example:443//", "https://host.example"),
        ("https://host:80", "https://host:80"),
        ("http://host/llm/Blue/", "http://host/llm/Blue"),
        ("::1", "http://[::1]"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("http://[FE80::1]:8000/", "http://[fe80::1]:8000"),
        ("  http://host:8000  ", "http://host:8000"),
    ],
)
def test_every_spelling_becomes_one(given_url: str, url: str) -> None:
    base = normalise_url(given_url)
    assert (base.url, base.notes) == (url, ())


@pytest.mark.parametrize("given_url", ["http://h:8000/v1", "h:8000/v1/", "http://h:8000//v1//"])
def test_a_trailing_v1_is_dropped_and_said(given_url: str) -> None:
    base = normalise_url(given_url)
    assert base.url == "http://h:8000"
    assert "/v1" in base.notes[0]


@pytest.mark.parametrize(
    "given_url",
    [
        "",
        "ftp://host",
        "http://",
        "http://user:hunter2@host",
        "hunter2@host:8000",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://host?key=hunter2",
        "http://host#hunter2",
        "http://ho st",
        "http://host\x1b[2J",
        "http://[::1",
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(given_url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        normalise_url(given_url)
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"


@given(
    st.sampled_from(["", "http://", "https://", "HTTP://"]),
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True),
    st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}")),
    st.sampled_from(["", "/", "/v1", "/v1/", "/a/b", "/a/v1"]),
)
def test_normalising_twice_changes_nothing(scheme: str, host: str, port: str, path: str) -> None:
    once = normalise_url(scheme + host + port + path)
    assert normalise_url(once.url).url == once.url
    assert normalise_url(once.url).notes == ()
    assert not urlsplit(once.url).path.endswith(("/", "/v1"))


def test_loopback_is_what_says_so_itself() -> None:
    assert all(map(is_loopback, ["http://localhost:1", "http://127.0.0.9", "http://[::1]:1", "http://a.localhost."]))
    assert not any(map(is_loopback, ["http://localhost.example", "http://10.0.0.1", "http://128.0.0.1"]))
    assert local_url(8000) == "http://127.0.0.1:8000"
