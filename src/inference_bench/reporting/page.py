"""The report as one HTML page that needs no network: the templates filled, styles and scripts inside.

Every text is escaped by the environment, and control and direction characters are dropped on the way out. The page's
own content security policy lets nothing in from elsewhere and runs no script but the two whose hashes it names.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from inference_bench import __version__
from inference_bench.reporting.text import slug
from inference_bench.reporting.view import Report
from inference_bench.visualization import page as chart_page
from inference_bench.visualization.chart import Chart
from inference_bench.visualization.theme import service_styles

_STYLES: Final = ("report.css", "tables.css")
_SCRIPT: Final = re.compile(r"<script>(.*)</script>", re.DOTALL)
Contents = Sequence[tuple[str, str, Sequence[tuple[str, str]]]]


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as the page shows it: its fragment."""

    anchor: str
    title: str
    fragment: Markup


@dataclass(frozen=True, slots=True)
class _Charts:
    """The drawn charts of each test and section, the others, and (title, reason) of those that cannot be drawn."""

    of_tests: Mapping[str, Sequence[DrawnChart]]
    of_sections: Mapping[str, Sequence[DrawnChart]]  # by anchor: of sweeps and capacities
    others: Sequence[DrawnChart]
    absent: Sequence[tuple[str, str]]

    @property
    def any(self) -> bool:
        return bool(self.others or any(self.of_tests.values()) or any(self.of_sections.values()))


def render(report: Report, charts: Sequence[Chart] = ()) -> str:
    """Return the page, with one copy of the chart library when there is a chart to draw."""
    placed = _placed(report, charts)
    library, script = (chart_page.library(), chart_page.page_script()) if placed.any else ("", "")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            version=__version__,
            style=Markup(_style(report)),  # ours, and colours that we made
            policy=_policy(library, script),
            library=Markup(library),
            page_script=Markup(script),
            scripts=placed.any,
            charts=placed.others,
            absent=placed.absent,
            test_charts=placed.of_tests,
            section_charts=placed.of_sections,
            contents=_contents(report, placed),
        )
        + "\n"
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("inference_bench.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def _finalize(value: object) -> object:
    """Drop what no reader should meet in text that others sent; markup that we made passes as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "".join(letter for letter in value if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return value


def _placed(report: Report, charts: Sequence[Chart]) -> _Charts:
    """Put each chart where it belongs: with its test, or among those about the whole run."""
    of_tests: dict[str, list[DrawnChart]] = {test.name: [] for test in report.tests}
    sections = {found.chart: found.anchor for found in report.capacities}
    sections |= {chart: sweep.anchor for sweep in report.sweeps for chart in sweep.charts}
    of_sections: dict[str, list[DrawnChart]] = {anchor: [] for anchor in sections.values()}
    others: list[DrawnChart] = []
    absent: list[tuple[str, str]] = []
    first_ttft = next((test.name for test in report.tests if test.kind.startswith("TTFT")), None)
    homes = {f"load_{name}": name for name in of_tests}
    if first_ttft is not None:
        homes["ttft_analysis"] = first_ttft
    for chart in charts:
        if chart.figure is None:
            absent.append((chart.title, chart.reason or "it cannot be drawn"))
            continue
        made = DrawnChart(slug(chart.name), chart.title, Markup(chart_page.fragment(chart)))  # escaped where it is made
        if chart.name in sections:
            of_sections[sections[chart.name]].append(made)
        else:
            home = homes.get(chart.name)
            (others if home is None else of_tests[home]).append(made)
    return _Charts(of_tests, of_sections, others, absent)


def _contents(report: Report, charts: _Charts) -> Contents:
    """Return (anchor, words, what stands below) for every section that the page has."""
    tests = [(test.anchor, test.name) for test in report.tests]
    found: list[tuple[str, str, Sequence[tuple[str, str]], bool]] = [
        ("verdict", "Verdict", (), True),
        ("figures", "Figures behind it", (), bool(report.contests or report.bars)),
        *(
            (one.anchor, f"{words} {one.name}", (), True)
            for words, views in (("Capacity", report.capacities), ("Sweep", report.sweeps))
            for one in views
        ),
        ("fairness", "Fairness", (), bool(report.fairness) or len(report.numbers) > 1),
        ("validity", "Can it be trusted", (), bool(report.validity or report.gates_said)),
        ("cost", "Cost", (), report.cost is not None),
        (tests[0][0] if tests else "", "Tests", tests, bool(tests)),
        ("charts", "Charts", [(f"chart-{one.anchor}", one.title) for one in charts.others], _any(charts)),
        ("scores", "Scores", (), bool(report.scores or report.score_notes)),
        ("services", "Services", (), bool(report.services)),
        ("method", "Method", (), bool(report.method or report.environment)),
        ("definitions", "Definitions", (), bool(report.definitions)),
        ("limits", "What it cannot say", (), bool(report.limits)),
    ]
    return [(anchor, words, below) for anchor, words, below, there in found if there]


def _any(charts: _Charts) -> bool:
    return bool(charts.others or charts.absent)


def _style(report: Report) -> str:
    folder = resources.files("inference_bench.reporting").joinpath("templates")
    sheets = [folder.joinpath(name).read_text(encoding="utf-8") for name in _STYLES]
    names = sorted(report.numbers, key=lambda name: report.numbers[name])
    styles = service_styles(names)
    own = [f".s{report.numbers[name]} {{ background: {styles[name].colour}; }}" for name in names]
    return "\n".join([*sheets, *own])


def _policy(*scripts: str) -> str:
    hashes = [f"'sha256-{_sha256(found[1])}'" for text in scripts if (found := _SCRIPT.fullmatch(text)) is not None]
    allowed = " ".join(hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    # A browser hashes what its parser made of the source: line ends are line feeds there.
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return base64.b64encode(hashlib.sha256(plain.encode()).digest()).decode()
