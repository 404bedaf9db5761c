"""The report of a run in a real browser without a network: drawn, not blank, nothing cut off, no complaint."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browser_pages import WIDTHS, Looked, Scheme, look_at, running_browser
from drawn_runs import drawn_run, opened
from inference_bench.reporting.documents import ComparisonDocuments, write_documents
from inference_bench.results.comparing import compare_run
from inference_bench.results.folder import Run
from inference_bench.results.manifest import Manifest
from inference_bench.results.summary import Validity, read_summary, write_summary

PRICED = {
    "pricing": {"currency": "EUR", "per_hour": {"vllm": 3.6, "tgi": 1.8}},
    "slo": {"per_request": {"ttft_ms": 60.0}, "attainment": 0.9},
}
HOSTILE = "<script>document.title='owned'</script> [bold]loud[/bold] \x1b[31mred <img src=x onerror=alert(1)>"
LONG = "a-service-with-a-very-long-name-that-nobody-would-give"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(drawn_run(tmp_path_factory.mktemp("report"), simulated=True, config=PRICED))


def report_of(run: Run) -> Path:
    return write_documents(opened(run.folder), charts=False, report=True)[0]


def sound(looked: Looked) -> None:
    assert not looked.complaints
    assert looked.scroll_width <= looked.width
    assert all(looked.marks), looked.marks
    assert all(colours > 8 for colours in looked.colours), looked.colours


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(width, scheme) for width in WIDTHS for scheme in ("light", "dark") if (width, scheme) != (800, "light")],
)
def test_the_report_is_whole_at_every_width(browser: Browser, page: Path, width: int, scheme: Scheme) -> None:
    looked = look_at(browser, page, width=width, scheme=scheme)
    sound(looked)
    assert looked.drawn
    assert len(looked.marks) == 11
    for words in ("SIMULATED", "vllm is better", "HOW SURE", "Fairness", "Cost", "Definitions", "run-to-run"):
        assert words.lower() in looked.text.lower(), words


@pytest.mark.timeout(120)
def test_text_of_others_stays_text(browser: Browser, tmp_path: Path) -> None:
    run = drawn_run(tmp_path, services=("vllm", "tgi"), blocks=12, requests=0)

    def spoil(manifest: Manifest) -> Manifest:
        services = tuple(
            facts.model_copy(update={"version": HOSTILE, "model": HOSTILE, "said": {HOSTILE: HOSTILE}})
            for facts in manifest.services
        )
        return manifest.model_copy(update={"name": HOSTILE, "services": services, "notes": (HOSTILE,)})

    run.folder.update(spoil)
    looked = look_at(browser, report_of(run), width=360)
    sound(looked)
    assert "<script>document.title='owned'</script> [bold]loud[/bold] [31mred <img src=x" in looked.text
    assert "\x1b" not in looked.text


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("tgi did not answer", {"failing": ["tgi"]}),
        ("No service answered", {"failing": ["vllm", "tgi", "ollama"], "requests": 0}),
        ("One service was measured", {"services": [LONG], "requests": 0}),
        ("Nothing was measured", {"blocks": 0, "requests": 0}),
    ],
)
def test_every_state_has_a_page_that_says_it(
    browser: Browser, tmp_path: Path, words: str, fields: dict[str, object]
) -> None:
    run = drawn_run(tmp_path, **{"blocks": 12, "requests": 12, **fields})  # type: ignore[arg-type]
    looked = look_at(browser, report_of(run), width=360)
    sound(looked)
    assert words in looked.text


@pytest.mark.timeout(120)
def test_an_invalid_run_stands_under_a_banner_and_names_no_winner(browser: Browser, tmp_path: Path) -> None:
    run = drawn_run(tmp_path, blocks=12, requests=0)
    summary = read_summary(run.folder)
    assert summary is not None
    bad = Validity(verdict="invalid", reasons=("clock step of 22 ms",))
    tests = tuple(test.model_copy(update={"validity": bad}) for test in summary.tests)
    write_summary(run.folder, summary.model_copy(update={"tests": tests}))
    looked = look_at(browser, report_of(run), width=800)
    sound(looked)
    assert "No verdict: the run is invalid" in looked.text
    assert "clock step of 22 ms" in looked.text
    assert "Overall winner" not in looked.text
    assert "better on" not in looked.text


@pytest.mark.timeout(120)
def test_the_report_of_a_comparison_alone_is_whole(browser: Browser, tmp_path: Path) -> None:
    comparison = compare_run(drawn_run(tmp_path / "run", blocks=12, requests=0).folder)
    page = ComparisonDocuments(comparison, tmp_path, "monday").write_report()[0]
    looked = look_at(browser, page, width=360)
    sound(looked)
    assert len(looked.marks) == 1


@pytest.mark.timeout(120)
def test_the_words_can_be_read_without_the_scripts(browser: Browser, page: Path) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 900}, java_script_enabled=False, offline=True)
    try:
        tab = context.new_page()
        tab.goto(page.resolve().as_uri())
        text = tab.locator("body").inner_text()
    finally:
        context.close()
    assert "vllm is better" in text
    assert "first_token - sent" in text
