"""How far a test can be trusted, in words: the same sentences for the terminal and the report. No markup here."""

from typing import Final

from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.trust import CalibrationFacts, ErrorFigures, PhaseFacts, SignFacts

SIGN_NAMES: Final = {
    "send_lag": "send lag",
    "rate": "rate",
    "merged_reads": "merged",
    "worker_wait": "CPU wait",
    "clock_step": "clock",
    "window": "window",
    "stall": "stall",
    "unstamped": "stamps",
    "turn_wait": "turns",
    "turn_lag": "turn lag",
}


def trust_lines(test: TestSummary) -> list[tuple[str, str]]:
    """Return (what it is, sentence) for all there is to say of a test beside its verdict: what a closed loop left out,
    what came near a limit, what was not watched, what this machine was calibrated to add.
    """
    lines = [("Note", f"{name}: {text}") for name, service in test.services.items() for text in service.notes]
    near = [(text, name) for name, service in test.services.items() for text in service.validity.near]
    lines += [("Near a limit", line) for line in _with_names(near)]
    unseen = [(text, name) for name, service in test.services.items() for text in service.validity.not_watched]
    lines += [("Note", line) for line in _with_names(unseen)]
    if test.calibration is not None:
        lines.append(("Calibrated", calibration_words(test.calibration).removeprefix(f"{test.name}: ")))
    return lines


def _with_names(found: list[tuple[str, str]]) -> list[str]:
    """Return each text once, with the services that it is about."""
    names: dict[str, list[str]] = {}
    for text, name in found:
        names.setdefault(text, []).append(name)
    return [f"{', '.join(of)}: {text}" for text, of in names.items()]


def phases_text(found: PhaseFacts) -> str:
    """Return the requests of each phase: warm-up, ramp, steady, and those after the window where there are any."""
    after = f" / {found.after:,}" if found.after else ""
    return f"{found.warmup:,} / {found.ramp:,} / {found.steady:,}{after}"


def drain_text(found: PhaseFacts) -> str | None:
    """Return how long the drain took and how many requests were in flight when the window closed; None if not known."""
    return None if found.drain_s is None else f"{found.drain_s:.2f} ({found.in_flight_at_close:,})"


def phases_words(found: PhaseFacts) -> str:
    """Say the phases in a sentence."""
    parts = [
        f"{found.warmup:,} in the warm-up",
        f"{found.ramp:,} in the ramp",
        f"{found.steady:,} in the steady window",
    ]
    if found.after:
        parts.append(f"{found.after:,} after it")
    text = f"requests: {', '.join(parts)}"
    if found.ramp_s is None or found.steady_s is None or found.drain_s is None:
        return text
    return (
        f"{text}; its longest round: ramp {found.ramp_s:.1f} s, window {found.steady_s:.1f} s, drain "
        f"{found.drain_s:.1f} s with {found.in_flight_at_close:,} in flight when the window closed"
    )


def closest_sign(service: ServiceSummary) -> str | None:
    """Return the sign that came nearest to a limit, or is farthest beyond it: its value and the first limit."""
    judged = [sign for sign in service.validity.signs if sign.value is not None]
    if not judged:
        return None
    sign = max(judged, key=_way)
    return f"{SIGN_NAMES.get(sign.sign, sign.sign)} {_amount(sign.value, sign)} of {_amount(sign.suspect, sign)}"


def _way(sign: SignFacts) -> float:
    """Return how much of the way to being suspect a sign has gone; the limits of shares that fall are below 1."""
    value = sign.value or 0.0
    return (1 - value) / (1 - sign.suspect) if sign.suspect > sign.invalid else value / sign.suspect


def _amount(value: float | None, sign: SignFacts) -> str:
    size = value or 0.0
    return f"{100 * size:.3g} %" if sign.unit == "share" else f"{size:.3g} {sign.unit}"


def calibration_words(found: CalibrationFacts) -> str:
    """Say in a sentence what this machine adds at a test's load."""
    if found.ttft_error_ms is None:
        return f"{found.test}: at {found.load} the null server gave no good answer: {found.verdict}"
    text = f"{found.test}: at {found.load} this machine adds {_figures(found.ttft_error_ms)} to TTFT"
    if found.tpot_error_ms is not None:
        text += f" and {_figures(found.tpot_error_ms)} to TPOT"
    if found.server_late_ms is not None:
        text += f"; the null server itself was late by {_tail(found.server_late_ms)}"
    if found.send_lag_p99_ms is not None:
        text += f"; send lag {_ms(found.send_lag_p99_ms)} (p99)"
    if found.worker_cpu_share is not None:
        text += f"; busiest worker {100 * found.worker_cpu_share:.0f} % of a CPU"
    reasons = f" ({'; '.join(found.reasons)})" if found.reasons else ""
    return f"{text}: {found.verdict}{reasons}"


def _figures(found: ErrorFigures) -> str:
    return f"{_ms(found.p50)} (p50), {_tail(found)}"


def _tail(found: ErrorFigures) -> str:
    return f"{_ms(found.p99)} (p99)" if found.p99 is not None else f"{_ms(found.max)} (most of {found.n})"


def _ms(value: float) -> str:
    """Return a difference as people read it: a microsecond is as fine as it gets."""
    return "under 0.001 ms" if abs(value) < 0.001 else f"{value:.3f} ms" if abs(value) < 1 else f"{value:.1f} ms"
