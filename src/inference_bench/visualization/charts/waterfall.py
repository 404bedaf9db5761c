"""The client's time against what the server itself told: parts that add up, or medians side by side.

Where what the server told is of the very requests that we measured, its means are parts of ours (see `server_parts`).
Else the medians of what single answers told stand beside TTFT and the stream.
"""

from typing import Final, NamedTuple

import plotly.graph_objects as go

from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.summary_parts import UpperTail
from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.charts.server_parts import reconciled_test, server_parts
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import NEUTRAL, WAITING, ServiceStyle

NAME, TITLE = "client_server_waterfall", "Where the time goes: our clock and the server's own"
_TOLD: Final = (
    ("server_load_ms", "model load", "#CC79A7"),
    ("server_queue_ms", "queue", "#E69F00"),
    ("server_prefill_ms", "prefill", "#56B4E9"),
    ("server_decode_ms", "decode", "#009E73"),
)
_WHOLE: Final = (("server_ttft_ms", "first token"), ("server_total_ms", "total"))


class _Part(NamedTuple):
    row: str
    label: str
    start: float
    length: float
    colour: str


def client_server_waterfall(data: RunData, _styles: dict[str, ServiceStyle]) -> Chart:
    """Return the parts that add up, of the heaviest test that has them, else medians of the first that tells some."""
    reconciled = reconciled_test(data)
    if reconciled is not None:
        return server_parts(data, reconciled, NAME, TITLE)
    for test in data.tests:
        told = [service for service in data.services if service in test.services and _tells(test.services[service])]
        if told:
            return _chart(data, test, told)
    return missing(NAME, TITLE, "no server told its own times in its answers" if data.tests else data.no_test)


def _tells(service: ServiceSummary) -> bool:
    return any(_median(service, metric) is not None for metric, *_ in (*_TOLD, *_WHOLE))


def _median(service: ServiceSummary, metric: str) -> float | None:
    found = service.metrics.get(metric)
    return found.p50 if isinstance(found, UpperTail) else None


def _chart(data: RunData, test: TestSummary, told: list[str]) -> Chart:
    parts: list[_Part] = []
    for service in told:
        parts += _client(test.services[service], shown(service)) + _server(test.services[service], shown(service))
    counts = [f"{shown(service)} n = {test.services[service].requests.ok:,}" for service in told]
    parts_said = [f"test {shown(test.name)}", "medians", *counts]
    made = figure(height=190 + 110 * len(told), parts=parts_said, simulated=data.simulated)
    for label in dict.fromkeys(part.label for part in parts):
        mine = [part for part in parts if part.label == label]
        made.add_trace(
            go.Bar(
                y=[part.row for part in mine],
                base=[part.start for part in mine],
                x=[part.length for part in mine],
                orientation="h",
                marker={"color": mine[0].colour},
                name=label,
                hovertemplate="%{x:.2f} ms<extra>" + label + "</extra>",
            )
        )
    made.update_layout(barmode="overlay")
    made.update_yaxes(autorange="reversed")
    made.update_xaxes(title=axis_title("ms, median"), rangemode="tozero")
    silent = [service for service in data.services if service not in told]
    caption = (
        "Above, what the client saw: until the first token, then the stream. Below, what the server told in its own "
        "answers, laid end to end; medians of each part, so that they need not add up. What is not told is not drawn."
        + (f" {', '.join(silent)} told nothing." if silent else "")
    )
    return Chart(NAME, f"{TITLE} ({test.name})", made, caption)


def _client(service: ServiceSummary, name: str) -> list[_Part]:
    ttft, whole = _median(service, "ttft_ms"), _median(service, "e2e_ms")
    row = f"{name}<br>client"
    made = [] if ttft is None else [_Part(row, "client: TTFT", 0.0, ttft, WAITING)]
    if ttft is not None and whole is not None:
        made.append(_Part(row, "client: stream", ttft, max(0.0, whole - ttft), NEUTRAL))
    return made


def _server(service: ServiceSummary, name: str) -> list[_Part]:
    row, at = f"{name}<br>server", 0.0
    made: list[_Part] = []
    for metric, label, colour in _TOLD:
        length = _median(service, metric)
        if length is not None:
            made.append(_Part(row, f"server: {label}", at, length, colour))
            at += length
    if made:
        return made
    ttft, total = _median(service, "server_ttft_ms"), _median(service, "server_total_ms")
    if ttft is not None:
        made.append(_Part(row, "server: first token", 0.0, ttft, "#56B4E9"))
    if total is not None:
        made.append(_Part(row, "server: total", ttft or 0.0, max(0.0, total - (ttft or 0.0)), "#009E73"))
    return made
