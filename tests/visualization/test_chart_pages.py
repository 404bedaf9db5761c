"""Every chart in a real browser without a network: drawn, not blank, nothing cut off, no complaint, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser_pages import WIDTHS, Scheme, look_at, running_browser
from drawn_runs import drawn_run
from inference_bench.visualization import BenchmarkVisualizer

CHARTS = 11


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    run = drawn_run(tmp_path_factory.mktemp("pages"), simulated=True)
    paths = BenchmarkVisualizer(run).write_html(tmp_path_factory.mktemp("html"))
    assert len(paths) == CHARTS
    return paths


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (800, "dark"), (1600, "light")])
def test_every_chart_is_drawn(browser: Browser, pages: list[Path], width: int, scheme: Scheme) -> None:
    assert width in WIDTHS
    for path in pages:
        looked = look_at(browser, path, width=width, scheme=scheme)
        assert not looked.complaints, (path.name, looked.complaints)
        assert looked.drawn, path.name
        assert looked.scroll_width <= width, path.name
        assert all(looked.marks), (path.name, looked.marks)
        assert all(colours > 8 for colours in looked.colours), (path.name, looked.colours)
        assert "SIMULATED" in looked.text, path.name


@pytest.mark.timeout(120)
def test_the_look_sees_a_blank_plot_and_a_complaint(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "blank.html"
    page.write_text(
        "<!doctype html><html data-drawn='true'><body><div class='plot' style='width:700px;height:90px'></div>"
        "<script>console.error('no'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script></body></html>",
        "utf-8",
    )
    looked = look_at(browser, page, width=360)
    assert looked.marks == [0]
    assert looked.colours == [1]
    assert looked.scroll_width > 360
    assert any("no" in complaint for complaint in looked.complaints)
    assert any("asked for http" in complaint for complaint in looked.complaints)
