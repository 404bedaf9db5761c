"""The report as Markdown, for a terminal or a merge request: the same content, every foreign text escaped, no HTML."""

from collections.abc import Iterator, Sequence

from inference_bench import __version__
from inference_bench.reporting.view import Cell, Definition, Point, Report, Table, TestView
from inference_bench.results.markdown import escaped

_TOLD_ALREADY = "The charts stand in the HTML report beside this one and, when asked for, in charts/."


def report_markdown(report: Report) -> str:
    """Return the document."""
    blocks = [
        f"# {escaped(report.title)}",
        f"{escaped(report.subtitle)}  \n`{report.test_id.replace('`', '')}`",
        *_opening(report),
        *_figures(report),
        *_loads(report),
        *_fairness(report),
        *_trust(report),
        *(block for test in report.tests for block in _test(test)),
        *_closing(report),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(report: Report) -> Iterator[str]:
    for banner in report.banners:
        title = banner.title.upper() if banner.tone == "simulated" else banner.title
        yield f"> **{escaped(title)}:** {escaped(banner.text)}"
    yield f"## {escaped(report.verdict.headline)}"
    yield " ".join(escaped(said) for said in report.verdict.sentences)
    if report.verdict.sure:
        yield _points(report.verdict.sure)


def _figures(report: Report) -> Iterator[str]:
    if report.contests or report.bars:
        yield "## The figures behind it"
    if report.contests:
        lines = [
            f"- **{escaped(one.test)}**, {escaped(one.metric)}: {escaped(one.sentence)}" for one in report.contests
        ]
        yield "\n".join(lines)
    for group in report.bars:
        title = f"{group.title} ({group.direction})" if group.direction else group.title
        lines = [f"**{escaped(title)}**", ""]
        target = f" ({escaped(group.target.text)})" if group.target else ""
        lines += [f"- {escaped(bar.name)}: **{escaped(bar.text)}** {escaped(bar.below)}".rstrip() for bar in group.bars]
        lines[0] += target
        yield "\n".join(lines)


def _loads(report: Report) -> Iterator[str]:
    for found in report.capacities:
        yield f"## Capacity under the promises: {escaped(found.name)}"
        yield " ".join(escaped(said) for said in (f"Promise: {found.promise}", found.sentence) if said)
        yield _table(found.table)
        yield _points(found.limits)
        yield _table(found.probes)
        yield " ".join(escaped(said) for said in (found.note, found.rule) if said)
    for sweep in report.sweeps:
        yield f"## Sweep: {escaped(sweep.name)}"
        yield f"{escaped(sweep.words)}. {escaped(sweep.note)}"
        yield _table(sweep.table)
        if sweep.doubts:
            yield "\n".join(f"- {escaped(doubt)}" for doubt in sweep.doubts)


def _fairness(report: Report) -> Iterator[str]:
    if report.fairness:
        yield "## Fairness"
        lines = []
        for note in report.fairness:
            mark = "**Warning:** " if note.weight == "warning" else ""
            where = f"{escaped(note.test)}: " if note.test else ""
            lines.append(f"- {mark}{where}{escaped(note.text)}")
        yield "\n".join(lines)
    elif len(report.numbers) > 1:
        yield "## Fairness"
        yield "Nothing was found that makes the services unlike each other."


def _trust(report: Report) -> Iterator[str]:
    if report.validity is not None or report.gates_said:
        yield "## Can it be trusted"
    if report.validity is not None:
        yield _table(report.validity)
    if report.gates_said:
        yield f"**{escaped(report.gates_said)}**"
    if report.gates is not None:
        yield _table(report.gates)
    if report.cost is not None:
        yield "## Cost"
        yield _table(report.cost.table)
        yield "\n".join(f"- {escaped(note)}" for note in report.cost.notes)


def _test(test: TestView) -> Iterator[str]:
    yield f"## {escaped(test.kind)}: {escaped(test.name)}"
    said = [f"{escaped(test.load)}."] if test.load else []
    if test.validity and test.validity != "valid":
        said.append(f"**{test.validity.upper()}: {escaped('; '.join(test.reasons))}**")
    said += [f"**{escaped(text)}**" for text in test.silent]
    if said:
        yield " ".join(said)
    for title, table in (
        ("Targets, promises, gates", test.promises),
        ("Compared", test.comparison),
        ("Errors", test.errors),
        ("Do the answers make sense", test.sanity),
        ("All figures", test.figures),
    ):
        if table is not None:
            yield f"### {title}"
            yield _table(table)
    if test.remarks:
        yield "\n".join(f"- {escaped(remark)}" for remark in test.remarks)


def _closing(report: Report) -> Iterator[str]:
    if report.scores is not None:
        yield "## Scores"
        yield _table(report.scores)
    if report.score_notes:
        yield "\n".join(f"- {escaped(note)}" for note in report.score_notes)
    if report.services:
        yield "## Services"
    for service in report.services:
        yield f"### {escaped(service.name)}"
        yield _points((*service.rows, *service.told))
    if report.method:
        yield "## Method"
        yield _points(report.method)
    if report.environment:
        yield "### Where it was measured"
        yield _points(report.environment)
    if report.definitions:
        yield "## Definitions"
        rows = [("Metric", "What it is", "Formula", "Unit", "Source", "Missing when")]
        rows += [(one.id, one.words, one.formula, _unit(one), one.source, one.missing) for one in report.definitions]
        yield _rows(rows, right=False)
    if report.limits:
        yield "## What it cannot say"
        yield "\n".join(f"- {escaped(limit)}" for limit in report.limits)
    yield f"Made by vllm-benchmark {__version__}. {_TOLD_ALREADY}"


def _unit(one: Definition) -> str:
    return f"{one.unit}, {one.better}" if one.better else one.unit


def _points(points: Sequence[Point]) -> str:
    return "\n".join(f"- {escaped(point.label)}: {escaped(point.text)}" for point in points)


def _table(table: Table) -> str:
    width = len(table.heads)
    rows = [tuple(head.text for head in table.heads)]
    lines = _lines(rows, right=table.numeric)
    for row in table.rows:
        if row.cells:
            label = f"**{escaped(row.label)}**" if row.strong else escaped(row.label)
            lines.append(_line([label, *(_cell(cell) for cell in row.cells)]))
        else:
            lines.append(_line([f"**{escaped(row.label)}**", *[""] * (width - 1)]))
    return "\n".join(lines)


def _rows(rows: Sequence[tuple[str, ...]], *, right: bool) -> str:
    lines = _lines(rows[:1], right=right)
    return "\n".join([*lines, *(_line([escaped(cell) for cell in row]) for row in rows[1:])])


def _lines(head: Sequence[tuple[str, ...]], *, right: bool) -> list[str]:
    names = [escaped(name) for name in head[0]]
    return [_line(names), "|---|" + ("---:|" if right else "---|") * (len(names) - 1)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.tone in ("bad", "good") else escaped(cell.text)
    return f"{text} ({escaped(cell.below)})" if cell.below else text
