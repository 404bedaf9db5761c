"""What a race of several heats ends in, for the terminal: figures, verdicts, what it is like, what a crowd does."""

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.cli.utils.console_utils import clean, foreign, table
from inference_bench.live.feeling import READING_SOURCE, SOURCE, pace_words, wait_words
from inference_bench.metrics.distribution import Distribution
from inference_bench.orchestration.race_orchestrator import RaceHeat
from inference_bench.orchestration.race_statistics import CrowdEffect, RacerFigures, RaceStatistics, ttft_of
from inference_bench.results.comparison import Pair
from inference_bench.results.comparison_words import percent_words, sentence
from inference_bench.testing.crowd import SETTLE_SECONDS

_LONG = 600
_MISSING = "-"


def race_report(found: RaceStatistics, *, simulated: bool) -> Iterable[RenderableType]:
    """Yield the blocks of the report, in order."""
    marked = "  SIMULATED: figures of simulated engines, not of real ones" if simulated else ""
    heats = f"{found.heats} heat{'' if found.heats == 1 else 's'}"
    yield Text.assemble((f"\nThe race, {heats} alone", "bold"), (marked, "bold magenta"))
    yield _figures_table(found.figures)
    yield from _doubts(found.figures)
    yield from _verdicts(found)
    if found.crowd:
        users = f"{found.crowd[0].users} background user{'' if found.crowd[0].users == 1 else 's'}"
        yield Text(f"\nIn the crowd: {users} on each service", style="bold")
        yield _crowd_table(found.crowd)
        yield from _doubts(found.crowd)
        yield from _crowd_notes(found.crowd)
    yield from _waiting(found)


def rounds_table(heats: Sequence[RaceHeat], names: Sequence[str]) -> Table:
    """Return the TTFT of every heat, a line for each and a column for each service, in ms."""
    shown = table("heat", "question", *names, title="TTFT by heat (ms)", right=names)
    for heat in heats:
        where = f" (crowd of {heat.coming.crowd})" if heat.coming.crowd else ""
        question = heat.coming.question
        label = clean(question.title or question.prompt, limit=40) + where
        cells = [_lane_cell(heat, name) for name in names]
        shown.add_row(str(heat.coming.number), Text(label), *cells)
    return shown


def _lane_cell(heat: RaceHeat, name: str) -> Text:
    value = ttft_of(heat, name)
    if value is not None:
        return Text(f"{value:,.1f}")
    outcome = heat.outcomes.get(name)
    return Text((outcome.error_class if outcome is not None else None) or _MISSING, style="red")


def _figures_table(figures: Sequence[RacerFigures]) -> Table:
    columns = ("good", "TTFT ms", "same tokens ms", "tok/s")
    shown = table("service", *columns, right=columns)
    for one in figures:
        shown.add_row(
            foreign(one.name),
            f"{one.ok}/{one.ok + one.failed}",
            _with_interval(one.ttft),
            _with_interval(one.finish),
            _MISSING if one.tokens_per_second.mean is None else f"{one.tokens_per_second.mean:,.1f}",
        )
    shown.caption = "means, with 95 % intervals over heats in brackets"
    shown.caption_justify = "left"
    return shown


def _with_interval(found: Distribution) -> str:
    if found.mean is None:
        return _MISSING
    interval = found.ci.get("mean")
    within = "" if interval is None else f" [{interval[0]:,.1f}, {interval[1]:,.1f}]"
    return f"{found.mean:,.1f}{within}"


def _doubts(figures: Sequence[RacerFigures | CrowdEffect]) -> Iterable[Text]:
    for one in figures:
        if one.validity.verdict != "valid":
            reasons = clean("; ".join(one.validity.reasons), limit=_LONG)
            yield Text.assemble((f"{one.name}: {one.validity.verdict}: ", "bold yellow"), reasons)


def _verdicts(found: RaceStatistics) -> Iterable[Text]:
    pairs = found.comparison.pairs
    if not pairs:
        return
    yield Text("\nVerdict (who needs less time to the same number of tokens; not a count of wins)", style="bold")
    yield from (_verdict(pair, found, "  ") for pair in pairs if pair.primary)
    yield Text("Beside it, exploratory:")
    yield from (_verdict(pair, found, "  ") for pair in pairs if not pair.primary)


def _verdict(pair: Pair, found: RaceStatistics, indent: str) -> Text:
    style = "bold green" if pair.verdict == "better" and pair.primary else ""
    return Text(indent + clean(sentence(pair, found.comparison.design), limit=_LONG), style=style)


def _crowd_table(effects: Sequence[CrowdEffect]) -> Table:
    columns = ("alone ms", "crowd ms", "times", "background answers")
    shown = table("service", *columns, title="TTFT, medians", right=columns)
    for one in effects:
        failed = f", {one.failures} failed" if one.failures else ""
        shown.add_row(
            foreign(one.name), _value(one.alone_ms), _value(one.crowd_ms), _times(one), f"{one.answers:,}{failed}"
        )
    return shown


def _times(one: CrowdEffect) -> str:
    if one.decision is not None:
        return f"{one.decision.ratio:.2f} [{one.decision.ci_low:.2f}, {one.decision.ci_high:.2f}]"
    if one.alone_ms and one.crowd_ms:
        return f"{one.crowd_ms / one.alone_ms:.2f}"
    return _MISSING


def _crowd_notes(effects: Sequence[CrowdEffect]) -> Iterable[Text]:
    if any(one.decision is not None for one in effects):
        yield Text(f"  in brackets the {percent_words(0.95)} interval of the ratio over pairs of heats", style="dim")
    for one in effects:
        if one.reason is not None:
            yield Text(f"  {clean(one.name)}: no interval for the ratio: {one.reason}", style="dim")
    unsettled = effects[0].unsettled
    if unsettled:
        yield Text(
            f"  {unsettled} heat{'' if unsettled == 1 else 's'} in the crowd began after {SETTLE_SECONDS:g} s, before "
            "the crowd had had its first answers: its load was still growing",
            style="yellow",
        )


def _waiting(found: RaceStatistics) -> Iterable[Text]:
    told = [one for one in found.figures if one.ttft.mean is not None]
    if not told:
        return
    yield Text("\nWhat it is like", style="bold")
    for one in told:
        wait, speed = one.ttft.mean or 0.0, one.tokens_per_second.mean
        pace = "" if speed is None else f"; then {pace_words(speed)}"
        yield Text(f"  {one.name}: {wait:,.1f} ms to first words: {wait_words(wait)}{pace}")
    if found.saving is not None:
        yield Text(f"  {found.saving.words}")
    elif len(told) > 1:
        yield Text("  no time saved is claimed: these heats do not show that the extremes differ in TTFT")
    yield Text(f"  {SOURCE}; {READING_SOURCE}", style="dim")


def _value(value: float | None) -> str:
    return _MISSING if value is None else f"{value:,.1f}"
