"""What went wrong: failed requests by class and service, over all tests."""

import plotly.graph_objects as go

from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import ServiceStyle

NAME, TITLE = "errors", "What went wrong"


def error_breakdown(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return bars of failed requests by class; no chart, and words, when nothing failed."""
    if not data.tests:
        return missing(NAME, TITLE, data.no_test)
    counts: dict[str, dict[str, int]] = {service: {} for service in data.services}
    sent = dict.fromkeys(data.services, 0)
    for test in data.tests:
        for service, figures in test.services.items():
            sent[service] = sent.get(service, 0) + figures.requests.sent
            for kind, number in figures.requests.errors.items():
                counts.setdefault(service, {})[kind] = counts.get(service, {}).get(kind, 0) + number
    kinds = sorted({kind for found in counts.values() for kind in found})
    if not kinds:
        said = ", ".join(f"{service} {number:,}" for service, number in sent.items())
        return missing(NAME, TITLE, f"no request failed (sent in steady windows: {said})")
    parts = [f"{shown(service)} n = {number:,} sent" for service, number in sent.items()]
    made = figure(height=360, parts=["all tests", *parts], simulated=data.simulated)
    for service, found in counts.items():
        numbers = [found.get(kind, 0) for kind in kinds]
        made.add_trace(
            go.Bar(
                x=kinds,
                y=numbers,
                name=shown(service),
                marker=styles[service].fill,
                text=[f"{number:,}" if number else "" for number in numbers],
                textposition="auto",
                hovertemplate="%{x}: %{y:,} failed<extra>" + shown(service) + "</extra>",
            )
        )
    made.update_yaxes(title=axis_title("failed requests"), rangemode="tozero")
    caption = "Requests of the steady windows that failed, by class. They count in no latency figure."
    return Chart(NAME, TITLE, made, caption)
