"""The page of `demo --web` as its viewers meet it: the real command, real browsers, and requests made by hand."""

import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from front_door import PATIENCE, Running, start
from playwright.sync_api import Browser, Page

_MS = 1e3 * PATIENCE
FIGURES = ("place", "ttft", "rate", "count", "elapsed", "state", "time", "why")


@dataclass
class Served:
    """A running `demo --web`: its address with the token, and who answers it."""

    running: Running
    address: str

    @property
    def port(self) -> int:
        """The port it listens on."""
        found = urlsplit(self.address).port
        assert found is not None
        return found

    @property
    def token(self) -> str:
        """What starts races."""
        return urlsplit(self.address).fragment

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Make one request by hand; its status, its headers in small letters, its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def start(self, body: object, **headers: str) -> int:
        """Ask for a race as the page does, or as `headers` change that (None in them leaves one out)."""
        given = {"content-type": "application/json", "x-race-token": self.token}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", "/start", raw, {name: value for name, value in given.items() if value})[0]


@contextmanager
def serving_page(*args: str, cwd: Path) -> Iterator[Served]:
    """Run `demo --web` with these arguments until the block ends."""
    with start("demo", "--web", *args, cwd=cwd) as running:
        address = running.until(lambda: _address(running), "the address of the page")
        yield Served(running, address)


def _address(running: Running) -> str | None:
    found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/#[\w-]{20,})\n", running.stdout.read_text())
    return found[1] if found else None


@dataclass
class Viewer:
    """A browser that looks at the page. `asked` are all addresses it asked for, `complaints` what its console said."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            self.page.keyboard.press(key)

    def phase(self, *names: str) -> None:
        """Wait until the page says that it is in one of these phases."""
        chosen = ", ".join(f'#phase[data-phase="{name}"]' for name in names)
        self.page.wait_for_selector(chosen, timeout=_MS)

    def begins(self, act: Callable[[], object]) -> None:
        """Do this, and wait until a race has begun: the page itself takes note, however soon it is over again."""
        self.page.evaluate(_AWAIT_BEGIN)
        act()
        self.page.wait_for_function("() => window.begun", timeout=_MS)

    def race(self, *keys: str) -> None:
        """Press these keys, and wait until the race they start is over."""
        before = self.page.inner_text("#title")
        self.press(*keys)
        changed = "before => document.querySelector('#title').innerText !== before"
        self.page.wait_for_function(changed, arg=before, timeout=_MS)
        self.phase("over")

    def seen(self, selector: str) -> str:
        """Return the text there; empty for what is hidden."""
        return self.page.locator(selector).inner_text().strip()

    def lane(self, name: str) -> dict[str, str]:
        """Return what a lane shows, by the names in FIGURES, and its whole text."""
        root = self.page.locator(f'.lane[aria-label="{name}"]')
        shown = {part: " ".join(root.locator(f".{part}").inner_text().split()) for part in FIGURES}
        return {**shown, "text": root.locator(".text").text_content() or ""}

    def lengths(self, name: str) -> list[int]:
        """Return the lengths that a lane's text had since `watch`, one for each change."""
        found = self.page.evaluate("name => window.watched[name]", name)
        return [int(length) for length in found]

    def watch(self) -> None:
        """Note every change of every lane's text from here on."""
        self.page.evaluate(_WATCH)


_AWAIT_BEGIN = """() => {
  window.begun = false;
  const phase = document.querySelector("#phase");
  new MutationObserver(() => {
    window.begun ||= phase.dataset.phase === "on";
  }).observe(phase, { attributes: true, attributeFilter: ["data-phase"] });
}"""

_WATCH = """() => {
  window.watched = {};
  for (const lane of document.querySelectorAll(".lane")) {
    const lengths = window.watched[lane.getAttribute("aria-label")] = [];
  }
  new MutationObserver((changes) => {
    for (const change of changes) {
      const text = change.target.parentElement?.closest(".text");
      if (text) window.watched[text.closest(".lane").getAttribute("aria-label")]?.push(text.textContent.length);
    }
  }).observe(document.querySelector("#lanes"), { subtree: true, characterData: true });
}"""


@contextmanager
def viewer(browser: Browser, address: str, *, width: int = 1600, height: int = 900, **more: Any) -> Iterator[Viewer]:
    """Open the page in a browser window of its own and wait for its lanes."""
    context = browser.new_context(viewport={"width": width, "height": height}, **more)
    try:
        page = context.new_page()
        made = Viewer(page)
        page.on("request", lambda request: made.asked.append(request.url))
        page.on("console", lambda said: made.complaints.append(said.text) if said.type != "log" else None)
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector(".lane", timeout=_MS)
        yield made
    finally:
        context.close()


def recorded(path: Path) -> list[Sequence[Any]]:
    """Return the events of a recording as they stand on its lines, without its head."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]
