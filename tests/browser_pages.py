"""Pages in a real browser without a network: what they say on the console, what they draw, how wide they are."""

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Locator, Page, sync_playwright

WIDTHS = (360, 800, 1600)
Scheme = Literal["light", "dark"]
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# What Plotly draws data with: lines, bars, boxes, points, heat maps, polar shapes.
_MARKS = (
    ".plotly .scatterlayer path, .plotly .barlayer path, .plotly .boxlayer path, .plotly .heatmaplayer image, "
    ".plotly .polarlayer .scatterlayer path, .plotly .pointslayer path"
)


def browser_path() -> str:
    """Return the installed Chromium; the tests of pages need one."""
    for name in (os.environ.get("BROWSER_PATH", ""), "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name) if name else None
        if found is not None:
            return found
    raise AssertionError("tests of pages need Chromium on the PATH, or BROWSER_PATH")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a headless browser and end it with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Looked:
    """What an opened page showed. `marks` counts what was drawn, for each plot of the page in turn."""

    width: int
    scroll_width: int
    marks: list[int]
    colours: list[int]
    text: str
    drawn: bool
    complaints: list[str] = field(default_factory=list)


def look_at(
    browser: Browser, path: Path, *, width: int, scheme: Scheme = "light", picture: Path | None = None
) -> Looked:
    """Open a file without a network and look at it; `picture` is where to put a screenshot of the whole page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    complaints: list[str] = []
    try:
        page = context.new_page()
        page.on(
            "console", lambda said: complaints.append(f"{said.type}: {said.text}") if said.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"asked for {request.url}"))
        page.on("request", lambda asked: complaints.append(f"asked for {asked.url}") if _foreign(asked.url) else None)
        page.goto(path.resolve().as_uri())
        drawn = _wait(page)
        looked = Looked(
            width=width,
            scroll_width=int(page.evaluate("document.documentElement.scrollWidth")),
            marks=[plot.locator(_MARKS).count() for plot in page.locator(".plot").all()],
            colours=[colours_of(page, plot) for plot in page.locator(".plot").all()],
            text=page.locator("body").inner_text(),
            drawn=drawn,
            complaints=complaints,
        )
        if picture is not None:
            page.screenshot(path=str(picture), full_page=True)
        return looked
    finally:
        context.close()


def _foreign(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:", "about:"))


def _wait(page: Page) -> bool:
    """Wait until the page says that it has drawn all its charts; False when it has none to draw."""
    if not page.locator(".plot").count():
        return False
    page.wait_for_selector("html[data-drawn=true]", timeout=30_000, state="attached")
    return True


_COUNT_COLOURS = """async (picture) => {
  const image = new Image();
  image.src = "data:image/png;base64," + picture;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  return seen.size;
}"""


def colours_of(page: Page, plot: Locator) -> int:
    """Return how many different colours a plot shows on the screen; one is blank."""
    picture = base64.b64encode(plot.screenshot()).decode()
    return int(page.evaluate(_COUNT_COLOURS, picture))
