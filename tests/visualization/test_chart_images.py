"""Charts as PNG and SVG: real pictures through the browser, and a refusal before drawing when something is missing."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from browser_pages import browser_path
from drawn_runs import drawn_run
from inference_bench.visualization import BenchmarkVisualizer
from inference_bench.visualization.images import ImagesUnavailableError, check_images


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", browser_path())
    visualizer = BenchmarkVisualizer(drawn_run(tmp_path, services=("vllm",), requests=0))
    drawn = [chart.name for chart in visualizer.charts() if chart.figure is not None]
    paths = visualizer.write_images(tmp_path / "pictures", ("png", "svg"))
    assert sorted(path.name for path in paths) == sorted(f"{name}.{form}" for name in drawn for form in ("png", "svg"))
    for path in paths:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        else:
            assert ET.fromstring(path.read_text("utf-8")).tag.endswith("svg")
        assert path.stat().st_size > 3000


def test_without_the_extra_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    visualizer = BenchmarkVisualizer(drawn_run(tmp_path, services=("vllm",), requests=0))
    with pytest.raises(ImagesUnavailableError) as refused:
        visualizer.write_images(tmp_path / "pictures", ("png",))
    assert "[images]" in str(refused.value.hint)
    assert not (tmp_path / "pictures").exists()


def test_without_a_browser_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImagesUnavailableError, match="none was found"):
        check_images()
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    with pytest.raises(ImagesUnavailableError, match="BROWSER_PATH"):
        check_images()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    visualizer = BenchmarkVisualizer(drawn_run(tmp_path, services=("vllm",), requests=0))
    with pytest.raises(ValueError, match="gif"):
        visualizer.write_images(tmp_path, ("gif",))
