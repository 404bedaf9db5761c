"""The HTML report as text: one library, no address of elsewhere, everything escaped, every link has its place."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_runs import HOSTILE, PRICED, SCRIPT, hostile_run, small_run

from drawn_runs import drawn_run
from inference_bench.reporting.facts import comparison_report, run_report
from inference_bench.reporting.page import render
from inference_bench.results.comparing import compare_run
from inference_bench.results.folder import Run
from inference_bench.visualization import BenchmarkVisualizer
from inference_bench.visualization.page import library

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Read(HTMLParser):
    """What a page is made of; `open_tags` is empty at the end of a page whose elements are all closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.open_tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            self.links.append(str(found.get("href")))
        if tag == "script":
            self.scripts.append("" if "type" not in found else f"{found['type']}")
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] == "script" and not self.scripts[-1]:
            self.scripts[-1] = data
        elif self.open_tags and self.open_tags[-1] not in ("script", "style"):
            self.words.append(data)


def page_of(run: Run) -> str:
    return render(run_report(run), BenchmarkVisualizer(run).charts())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(drawn_run(tmp_path_factory.mktemp("page"), simulated=True, config=PRICED))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(hostile_run(tmp_path_factory.mktemp("hostile")))


def test_the_page_is_well_formed_and_every_link_leads_somewhere(page: str) -> None:
    read = Read(page)
    assert read.open_tags == []
    assert len(read.ids) == len(set(read.ids))
    assert read.links
    assert all(link.startswith("#") and link[1:] in read.ids for link in read.links), read.links
    assert read.tags.count("h1") == read.tags.count("main") == read.tags.count("nav") == 1
    assert read.tags.count("table") == read.tags.count("caption")


def test_the_page_holds_one_copy_of_the_library_and_all_charts(page: str) -> None:
    assert page.count(library()) == 1
    assert len(page) < 8_000_000
    assert page.count('class="plot" data-figure="figure-') == 11


def test_only_the_two_scripts_whose_hashes_it_names_may_run(page: str) -> None:
    scripts = [text for text in Read(page).scripts if text != "application/json"]
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert found is not None
    policy = found[1].replace("&#39;", "'")
    assert len(scripts) == 2
    for text in scripts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split(";")[1]


def test_nothing_comes_from_elsewhere(page: str) -> None:
    read = Read(page)
    addresses = [value or "" for name, value in read.attributes if name in ("src", "href", "data", "srcset", "action")]
    assert not [address for address in addresses if not address.startswith(("#", "data:"))]
    assert "@import" not in page.replace(library(), "")
    assert "url(" not in page.replace(library(), "")


def test_texts_of_others_are_text(hostile: str) -> None:
    own = hostile.replace(library(), "")
    read = Read(hostile)
    assert SCRIPT not in own
    assert "&lt;script&gt;document.title" in own
    assert "img" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert len([text for text in read.scripts if text != "application/json"]) == 2
    assert SCRIPT in " ".join(read.words)
    assert "[bold]loud[/bold]" in " ".join(read.words)


def test_control_and_direction_characters_do_not_reach_the_page(hostile: str) -> None:
    own = hostile.replace(library(), "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", own)
    assert "[31mred" in own


def test_simulated_is_said_in_the_title_above_and_below(page: str, hostile: str) -> None:
    assert page.count("<title>SIMULATED") == 1
    assert "SIMULATED" in page.rsplit("<footer>", 1)[1]
    assert "SIMULATED" not in hostile.replace(library(), "")


def test_without_a_chart_there_is_no_library_and_no_script_may_run(tmp_path: Path) -> None:
    text = render(run_report(small_run(tmp_path)))
    assert "<script" not in text
    assert "script-src &#39;none&#39;" in text
    assert Read(text).open_tags == []


def test_charts_that_cannot_be_drawn_say_why(tmp_path: Path) -> None:
    words = " ".join(Read(page_of(small_run(tmp_path, requests=0))).words)
    assert "Not drawn" in words
    assert "two load tests" in words


@pytest.mark.parametrize("services", [["vllm"], ["vllm", "tgi"]])
def test_every_state_gives_a_well_formed_page(tmp_path: Path, services: list[str]) -> None:
    states: tuple[dict[str, Any], ...] = ({"failing": ["vllm"]}, {"blocks": 0, "requests": 0}, {"failing": services})
    for place, fields in enumerate(states):
        read = Read(page_of(small_run(tmp_path / str(place), services=services, **fields)))
        assert read.open_tags == []
        assert all(link[1:] in read.ids for link in read.links)


def test_a_comparison_alone_has_a_page(tmp_path: Path) -> None:
    comparison = compare_run(small_run(tmp_path).folder)
    read = Read(render(comparison_report(comparison, HOSTILE)))
    assert read.open_tags == []
    assert all(link[1:] in read.ids for link in read.links)
    assert "script" not in read.tags
    assert "How sure" in read.words
