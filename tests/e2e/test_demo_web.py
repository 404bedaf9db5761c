"""`demo --web` in a real browser: a race by keyboard, its figures those of the recording, to the digit."""

import re
import signal
import socket
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from front_door import run
from playwright.sync_api import Browser
from web_race import Served, Viewer, recorded, serving_page, viewer

from browser_pages import running_browser
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.workloads.canned import canned_prompts

TOKENS = 40
NAMES = ("vllm-quick", "tgi-slow")
SERVE = ["vllm,name=quick,ttft-ms=60,itl-ms=20", "tgi,name=slow,ttft-ms=120,itl-ms=35"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with SimulatorProcess(SERVE) as simulator:
        yield ["--url", f"vllm/quick={simulator.urls['quick']}", "--url", f"tgi/slow={simulator.urls['slow']}"]


@pytest.fixture
def served(urls: list[str], tmp_path: Path) -> Iterator[Served]:
    with serving_page(*urls, "--max-tokens", str(TOKENS), "--record", "race.jsonl", cwd=tmp_path) as page:
        yield page


def ended(served: Served) -> str:
    """End the command as a user does; return what it said on stderr."""
    served.running.signal(signal.SIGINT)
    done = served.running.finish()
    assert done.code == 130, done.said()
    assert served.running.left_behind() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", served.port)) != 0
    assert "Traceback" not in done.err
    assert "Error" not in done.err  # the first signal is the only one that arrives
    return done.err


def figures(path: Path, heat: int) -> dict[str, dict[str, str]]:
    """Return what the page must show of a recorded heat: worked out here from the lines of the file alone."""
    events = recorded(path)
    begins = [place for place, event in enumerate(events) if event[1] == "heat"]
    mine = events[begins[heat - 1] : [*begins, len(events)][heat]]
    names = [lane["name"] for lane in mine[0][2]["lanes"]]
    ends = {event[2]: event[3] for event in mine if event[1] == "finished"}
    chunks = {lane: [event for event in mine if event[1] == "chunk" and event[2] == lane] for lane in ends}
    tokens = min(end["output_tokens"] for end in ends.values())
    shown: dict[str, dict[str, str]] = {}
    times: dict[int, float] = {}
    for lane, end in ends.items():
        totals = accumulate(chunk[6] for chunk in chunks[lane])
        reached = next(chunk[0] for chunk, total in zip(chunks[lane], totals, strict=True) if total >= tokens)
        times[lane] = (reached - end["sent_ns"]) / 1e6
        spent = end["last_token_ns"] - end["first_token_ns"]
        later = end["output_tokens"] - end["first_chunk_tokens"]
        shown[names[lane]] = {
            "ttft": f"{(end['first_token_ns'] - end['sent_ns']) / 1e6:,.1f} ms",
            "rate": f"{1000 / (spent / 1e6 / later):.1f} tokens/s",
            "count": f"{end['output_tokens']} tokens",
            "elapsed": f"{(end['last_token_ns'] - end['sent_ns']) / 1e9:.2f} s",
            "state": f"done ({end['finish_reason']})",
            "time": f"{times[lane]:,.1f} ms to {tokens} tokens",
            "why": "",
            "text": "".join(chunk[5] + chunk[4] for chunk in chunks[lane]),
        }
    for place, lane in enumerate(sorted(times, key=times.__getitem__), start=1):
        shown[names[lane]]["place"] = f"{place}{['st', 'nd'][place - 1]}"
    return shown


def test_a_race_by_keyboard_shows_the_stored_figures(browser: Browser, served: Served, tmp_path: Path) -> None:
    with viewer(browser, served.address) as looking:
        assert looking.seen("#simulated") == "SIMULATED ENGINES"
        assert looking.page.url == f"http://127.0.0.1:{served.port}/"  # the token is out of sight
        looking.watch()
        looking.begins(lambda: looking.press("2", "Space"))
        assert looking.seen("#prompt") == canned_prompts()[1].prompt
        looking.phase("over")
        for name in NAMES:
            assert len(set(looking.lengths(name))) > 5  # it moved: it did not come all at once
            assert looking.lengths(name) == sorted(looking.lengths(name))
        first = {name: looking.lane(name) for name in NAMES}
        assert looking.seen("#simulated") == "SIMULATED ENGINES"
        looking.race("Enter")
        second = {name: looking.lane(name) for name in NAMES}
        origin = f"http://127.0.0.1:{served.port}/"
        assert looking.complaints == []
        assert {url for url in looking.asked if not url.startswith(origin)} == set()
        said = ended(served)
        looking.phase("off")
        assert looking.seen("#phase") == "the program has ended"
        assert looking.page.locator("#start").is_disabled()
    assert first == figures(tmp_path / "race.jsonl", 1)
    assert second == figures(tmp_path / "race.jsonl", 2)
    prompts = [event[2]["prompt"] for event in recorded(tmp_path / "race.jsonl") if event[1] == "heat"]
    assert prompts == [canned_prompts()[1].prompt] * 2
    assert said.count("Race 1: ") == said.count("Race 2: ") == 2  # its beginning and its result
    assert f"Race 1: 1st {NAMES[0]} {first[NAMES[0]]['time'].partition(' ')[0]} ms" in said


def test_two_viewers_and_a_late_one_see_the_same_race(browser: Browser, served: Served) -> None:
    with viewer(browser, served.address) as one, viewer(browser, served.address) as other:
        other.watch()
        other.begins(lambda: one.press("Space"))
        with viewer(browser, served.address) as late:  # in the middle of it
            late.phase("on", "over")
            for looking in (one, other, late):
                looking.phase("over")
            with viewer(browser, served.address.partition("#")[0]) as afterwards:  # by an address without the token
                afterwards.phase("over")
                assert "looking on only" in afterwards.seen("#trouble")
                assert afterwards.page.locator("#start").is_disabled()
                for name in NAMES:
                    seen = [looking.lane(name) for looking in (one, other, late, afterwards)]
                    assert seen[0]["ttft"].endswith(" ms")
                    assert all(what == seen[0] for what in seen)
                afterwards.press("Space")
                assert afterwards.seen("#title") == "Race 1"
        assert len(set(other.lengths(NAMES[1]))) > 5
        assert other.seen("#rule") == one.seen("#rule") != ""
        other.race("Space")  # whoever has the address can start
        assert one.seen("#title") == other.seen("#title") == "Race 2"


def test_ones_own_prompt_is_typed_and_raced(browser: Browser, served: Served, tmp_path: Path) -> None:
    own = "1 2 3 p / <b>bold</b> \u05e9\u05dc\u05d5\u05dd?"
    with viewer(browser, served.address) as looking:
        looking.press("3", "/")
        looking.page.keyboard.type(own[:5])
        looking.press("Escape", "p")  # leaves the field, and comes back to it
        looking.page.keyboard.type(own[5:])
        assert looking.seen("#prompt") == own  # its keys were letters, none of them a command
        looking.race("Enter")
        assert looking.seen("#prompt") == own
        looking.press("4")
        assert looking.seen("#prompt") == canned_prompts()[3].prompt
        looking.page.get_by_role("button", name=canned_prompts()[4].title).click()
        looking.begins(lambda: looking.page.locator("#start").click())
        looking.phase("over")
        ended(served)
    heats = [event[2]["prompt"] for event in recorded(tmp_path / "race.jsonl") if event[1] == "heat"]
    assert heats == [own, canned_prompts()[4].prompt]


def test_who_looks_away_sees_everything_on_return(browser: Browser, served: Served) -> None:
    away = """away => {
      Object.defineProperty(document, "hidden", { value: away, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with viewer(browser, served.address) as one, viewer(browser, served.address) as other:
        other.page.evaluate(away, True)
        one.race("Space")
        assert other.seen("#title") == "Race"  # nothing reaches it
        other.page.evaluate(away, False)
        other.phase("over")
        assert [other.lane(name) for name in NAMES] == [one.lane(name) for name in NAMES]
        other.race("Space")
        one.phase("over")
        assert [other.lane(name) for name in NAMES] == [one.lane(name) for name in NAMES]


def test_an_interrupted_race_is_kept_and_ends_well(browser: Browser, served: Served, tmp_path: Path) -> None:
    with viewer(browser, served.address) as looking:
        looking.begins(lambda: looking.press("Space"))
        said = ended(served)
        looking.phase("off")
        assert looking.seen("#phase") == "the program has ended"
    classes = [event[3]["error_class"] for event in recorded(tmp_path / "race.jsonl") if event[1] == "finished"]
    assert classes == ["interrupted"] * 2
    assert "Race 1: " in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1600, 3840])
def test_the_page_fits_in_every_width(browser: Browser, finished: Served, scheme: str, width: int) -> None:
    height = {360: 700, 800: 1000, 1600: 900, 3840: 2160}[width]
    with viewer(browser, finished.address, width=width, height=height, color_scheme=scheme) as looking:
        looking.phase("over")
        sizes = looking.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        assert sizes[0] == width
        assert sizes[1] == height or width < 900  # one screen where there is room for it
        assert looking.page.evaluate(_LOST) == []
        assert contrast(looking) >= 7
        dark = looking.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", dark))) < 150) == (scheme == "dark")


# Figures and words of a lane that reach out of it.
_LOST = """() => [...document.querySelectorAll(".lane")].flatMap((lane) => {
  const edge = lane.getBoundingClientRect();
  return [...lane.querySelectorAll("h2, dd, .place, .status, .text")].filter((part) => {
    const own = part.getBoundingClientRect();
    return own.width && (own.left < edge.left || own.right > edge.right + 0.5 || own.bottom > edge.bottom + 0.5);
  }).map((part) => part.className || part.tagName);
})"""


def contrast(looking: Viewer) -> float:
    """Return the contrast of the largest figure with its ground, by the formula of WCAG 2."""
    pair = looking.page.evaluate(
        "[getComputedStyle(document.querySelector('.ttft')).color,"
        " getComputedStyle(document.querySelector('.lane')).backgroundColor]"
    )

    def luminance(colour: str) -> float:
        parts = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(map(luminance, pair))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def finished(urls: list[str], browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page whose race is over."""
    with serving_page(*urls, "--max-tokens", "12", cwd=tmp_path_factory.mktemp("over")) as page:
        with viewer(browser, page.address) as looking:
            looking.race("Space")
        yield page


def test_a_recording_is_played_and_says_so_all_the_way(browser: Browser, served: Served, tmp_path: Path) -> None:
    with viewer(browser, served.address) as looking:
        looking.race("Space")
        live = {name: looking.lane(name) for name in NAMES}
    ended(served)
    with (
        serving_page("--replay", "race.jsonl", "--speed", "2", cwd=tmp_path) as again,
        viewer(browser, again.address) as looking,
    ):
        words = ("RECORDING", "SIMULATED ENGINES")
        assert (looking.seen("#recording"), looking.seen("#simulated")) == words
        assert "played 2 times as fast" in looking.seen("#source")
        assert looking.page.locator("#canned, #own").filter(visible=True).count() == 0
        looking.watch()
        looking.begins(lambda: looking.press("1", "p", "Space"))
        assert (looking.seen("#recording"), looking.seen("#simulated")) == words
        looking.phase("over")
        assert len(set(looking.lengths(NAMES[1]))) > 3
        assert {name: looking.lane(name) for name in NAMES} == live
        looking.begins(lambda: looking.press("Space"))
        looking.phase("over")
        assert {name: looking.lane(name) for name in NAMES} == live
        assert (looking.seen("#recording"), looking.seen("#simulated")) == words
        assert looking.complaints == []
        assert again.start({"canned": 1}) == 400  # there is nothing to ask
        assert "RECORDING: recorded " in ended(again)


def test_a_recording_that_was_cut_short_comes_to_an_end(browser: Browser, served: Served, tmp_path: Path) -> None:
    with viewer(browser, served.address) as looking:
        looking.race("Space")
    ended(served)
    lines = (tmp_path / "race.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[: len(lines) // 2]))
    with (
        serving_page("--replay", "cut.jsonl", cwd=tmp_path) as again,
        viewer(browser, again.address) as looking,
    ):
        looking.race("Space")
        assert looking.seen("#rule") == "It did not end; there are no places."
        assert looking.page.locator("#start").is_enabled()
        ended(again)


def test_what_does_not_go_with_the_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for options, word in (
        (["--simulate", "--runs", "3"], "--runs"),
        (["--simulate", "--save", "x.json"], "--save"),
        (["--simulate", "--mode", "chat"], "--mode chat"),
        (["--simulate", "--prompt", "77"], "77"),
        (["--replay", "empty.jsonl"], "empty.jsonl"),
        (["--replay", "none.jsonl"], "none.jsonl"),
    ):
        done = run("demo", "--web", *options, cwd=tmp_path)
        assert done.code == 2, done.said()
        assert word in done.err
        assert done.out == ""
