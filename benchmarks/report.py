"""How long a run's report takes to make, how large it is, and how soon a browser shows it. Run by hand.

    python benchmarks/report.py results/test_default_20260102_101500

Makes the report (and with --charts the charts) of a stored run in a temporary folder, in a fresh process, and opens it
in headless Chromium without a network: until everything is loaded, and until every chart is drawn.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser_pages import running_browser  # noqa: E402

LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
DRAWN = "document.documentElement.dataset.drawn === 'true'"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--charts", action="store_true", help="write charts/ too, as `visualize` does by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        seconds = make(given.run, Path(place), charts=given.charts)
        page = Path(place) / "executive_report.html"
        print(f"made in          {seconds:6.2f} s (the whole command, interpreter included)")
        print(f"page             {page.stat().st_size / 1e6:6.2f} MB")
        print(f"report.md        {(Path(place) / 'report.md').stat().st_size / 1e6:6.2f} MB")
        loaded, drawn = opened(page)
        print(f"loaded in        {loaded:6.2f} s (headless Chromium, no network)")
        print(f"all charts after {drawn:6.2f} s")


def make(run: Path, place: Path, *, charts: bool) -> float:
    """Run `visualize` on a run folder and return the seconds it took."""
    command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "--quiet", "visualize", str(run), "-o", str(place)]
    start = time.perf_counter()
    subprocess.run(command if charts else [*command, "--reports-only"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def opened(page: Path) -> tuple[float, float]:
    """Return the seconds until the browser has loaded a page, and until its charts are drawn."""
    with running_browser() as browser:
        context = browser.new_context(viewport={"width": 1600, "height": 900}, offline=True)
        tab = context.new_page()
        start = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_function(DRAWN)
        drawn = time.perf_counter() - start
        return float(tab.evaluate(LOADED)), drawn


if __name__ == "__main__":
    main()
