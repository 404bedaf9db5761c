"""An API key is named, never written: it reaches the engine and nothing else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from front_door import Running, benchmark, read_json, start, users, write_config

from inference_bench.results.journal import read_journal
from inference_bench.simulator.launcher import SimulatorProcess

KEY = "sk-e2e-5fbd11c0ffee4242"
WRONG = "sk-e2e-wrong0000deadbeef"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_ENGINE_KEY", KEY)
        with SimulatorProcess(["openai,ttft-ms=30,itl-ms=20,api-key-env=E2E_ENGINE_KEY"]) as simulator:
            yield simulator.urls["openai"]


class Onlooker(threading.Thread):
    """Looks again and again at what `ps` shows of the command and its children."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self._running = running
        self.seen: set[str] = set()

    def run(self) -> None:
        while self._running.process.returncode is None:
            for process in self._running.look():
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.NoSuchProcess:
                    continue


def test_a_key_opens_the_engine_and_is_written_nowhere(url: str, tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, duration_seconds=2)])
    args = ["--verbose", "benchmark", "-c", "c.yaml", "--url", f"openai={url}", "--api-key-env", "openai=E2E_KEY"]
    with start(*args, cwd=tmp_path, environ={"E2E_KEY": KEY}) as running:
        onlooker = Onlooker(running)
        onlooker.start()
        folder = running.folder()
        running.until(lambda: list(read_journal(folder / "journal")), "a first batch")
        early = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        done = running.finish()
        onlooker.join()
    assert done.code == 0, done.said()
    service = read_json(folder / "summary.json")["tests"][0]["services"]["openai"]
    assert service["requests"]["ok"] > 0
    assert service["requests"]["failed"] == 0

    texts = {"stdout": done.out, "stderr": done.err, "ps": "\n".join(onlooker.seen)}
    texts["journal"] = early.decode("latin-1")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            packed = path.suffix == ".parquet"
            content = str(pq.read_table(path).to_pylist()) if packed else path.read_bytes().decode("latin-1")
            texts[path.name] = content
    assert {name for name, text in texts.items() if KEY in text} == set()
    assert any("inference_bench.testing.worker" in line for line in onlooker.seen)
    assert "E2E_KEY" in texts["test_manifest.json"]  # its name is no secret


def test_a_wrong_key_is_refused_without_being_repeated(url: str, tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, requests=2)])
    args = ["-c", "c.yaml", "--url", f"openai={url}", "--api-key-env", "openai=E2E_KEY"]
    done = benchmark(*args, cwd=tmp_path, environ={"E2E_KEY": WRONG})
    assert done.code == 3, done.said()
    (error,) = done.errors
    assert error.startswith("Error: openai answered not a single request (http_4xx: HTTP 401")
    assert "--api-key-env openai=VARIABLE" in done.err
    assert WRONG not in done.out + done.err
    unset = benchmark(*args, cwd=tmp_path)
    assert unset.code == 2, unset.said()
    assert "E2E_KEY" in unset.errors[0]
