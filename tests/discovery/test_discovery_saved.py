"""A saved configuration says the same as what was found, and holds no secret."""

import asyncio
from pathlib import Path

import pytest

from engine_servers import ollama_pages, self_signed, serving, tgi_pages, vllm_pages
from inference_bench.config.loader import load_settings
from inference_bench.config.models import Settings
from inference_bench.discovery.saved import configuration_text
from inference_bench.discovery.service_finder import find_services
from inference_bench.discovery.services import FoundService
from inference_bench.discovery.sources import ConfiguredSource


def find(settings: Settings, environ: dict[str, str]) -> tuple[FoundService, ...]:
    sources = [ConfiguredSource(settings.services.endpoints)]
    return asyncio.run(find_services(settings, environ=environ, sources=sources))


def test_a_saved_configuration_finds_the_same_services_again(tmp_path: Path) -> None:
    environ = {"KEY": "sekret"}
    with (
        serving(vllm_pages(), key="sekret") as one,
        serving(tgi_pages()) as two,
        serving(ollama_pages("a", "b")) as three,
    ):
        endpoints = [
            {"url": one.url, "name": "blue", "api_key_env": "KEY", "headers": {"X-Pass": "env:KEY"}},
            {"url": two.url},
            {"url": three.url, "model": "b"},
        ]
        settings = Settings.model_validate({"services": {"endpoints": endpoints}})
        found = find(settings, environ)
        text = configuration_text(found)
        assert "sekret" not in text
        file = tmp_path / "found.yaml"
        file.write_text(text, encoding="utf-8")
        loaded = load_settings(file, overrides={}, environ={}, cwd=tmp_path)
        again = find(loaded.settings, environ)
    assert [(s.name, s.dialect, s.url, s.model) for s in again] == [(s.name, s.dialect, s.url, s.model) for s in found]
    assert [s.endpoint.headers for s in again] == [s.endpoint.headers for s in found]
    assert loaded.settings.services.endpoints[1].model is None


def test_how_certificates_are_checked_is_saved_so_that_it_holds_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    self_signed(tmp_path)
    monkeypatch.chdir(tmp_path)
    endpoints = [
        {"url": "https://127.0.0.1:1", "engine": "vllm", "insecure_skip_verify": True},
        {"url": "https://127.0.0.1:1", "engine": "tgi", "ca_file": "cert.pem"},
    ]
    settings = Settings.model_validate({"services": {"endpoints": endpoints, "health_check_retries": 0}})
    text = configuration_text(find(settings, {}))
    assert "insecure_skip_verify: true" in text
    assert f"ca_file: {tmp_path / 'cert.pem'}" in text
