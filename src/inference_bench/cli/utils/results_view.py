"""How runs look: the list, one run on the screen, and the same as plain data for --json. They are read elsewhere.

Names, versions and messages may come from servers: they are cleaned, and never read as markup.
"""

from collections import Counter
from typing import Final

from rich.table import Table
from rich.text import Text

from inference_bench.cli.utils.benchmark_end import print_failed_gates
from inference_bench.cli.utils.capacity_view import VERDICT_STYLE, print_capacity, print_sweep
from inference_bench.cli.utils.comparison_view import print_comparison
from inference_bench.cli.utils.console_utils import clean, display, fits, foreign, out, table
from inference_bench.results.comparison import read_comparison
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Listing, Run, shown_status
from inference_bench.results.gates import read_gates
from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.journal import count_requests
from inference_bench.results.server_facts import server_lines
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, read_summary
from inference_bench.results.summary_view import MISSING, rows, sanity_warnings
from inference_bench.results.sweep_rows import single_tests, sweeps_of
from inference_bench.results.tables import outcome_counts
from inference_bench.results.trust_view import trust_lines

SIMULATED: Final = "SIMULATED"
IMPORTED: Final = "IMPORTED"
_SERVICES_ABREAST: Final = 3  # as many as 80 columns hold beside the labels
_WIDEST_ID: Final = 40  # beside the other columns of the list, in 80 columns
_LONGEST_URL: Final = 2000
_KILO: Final = 1000
_STATUS_STYLE: Final = {"complete": "green", "running": "cyan", "partial": "yellow", "failed": "red"}


def listing_table(listing: Listing) -> Table:
    """Return the list of runs as a table; ids that leave no room for the rest stand on a line of their own."""
    if any(len(run.folder.test_id) > _WIDEST_ID for run in listing.runs):
        made = table("Run")
        for run in listing.runs:
            below = Text(", ").join([_state(run, " "), Text(f"requests {_requests_text(run)}"), _service_names(run)])
            made.add_row(Text.assemble(run.folder.test_id, "\n  ", below))
        return made
    made = table("Run", "Status", "Requests", "Services", right=("Requests",))
    for column in made.columns[:3]:
        column.no_wrap = True  # an id is there to be copied; the services give way
    for run in listing.runs:
        made.add_row(Text(run.folder.test_id), _state(run, "\n"), Text(_requests_text(run)), _service_names(run))
    return made


def _state(run: Run, between: str) -> Text:
    status = shown_status(run.manifest)
    state = Text(status, style=_STATUS_STYLE[status])
    if run.manifest.imported is not None:
        state.append(f"{between}{IMPORTED}", style="bold yellow")
    return state.append(f"{between}{SIMULATED}", style="bold magenta") if run.manifest.simulated else state


def _service_names(run: Run) -> Text:
    return foreign(", ".join(service.name for service in run.manifest.services) or MISSING)


def listing_json(listing: Listing) -> dict[str, object]:
    """Return the list of runs as plain data."""
    return {
        "runs": [
            {
                "test_id": run.folder.test_id,
                "name": run.manifest.name,
                "created": run.manifest.created.isoformat(),
                "status": shown_status(run.manifest),
                "simulated": run.manifest.simulated,
                "imported": None if run.manifest.imported is None else run.manifest.imported.tool,
                "services": [service.name for service in run.manifest.services],
                "requests": saved_requests(run),
                "requests_in_journal": journal_requests(run),
                "path": str(run.folder.path),
            }
            for run in listing.runs
        ],
        "damaged": [{"path": str(path), "reason": reason} for path, reason in listing.damaged],
    }


def run_json(run: Run) -> dict[str, object]:
    """Return one run as plain data: status as it really is, manifest; summary, comparison, gates (null without one)."""
    summary, comparison, gates = read_summary(run.folder), read_comparison(run.folder), read_gates(run.folder)
    return {
        "test_id": run.folder.test_id,
        "status": shown_status(run.manifest),
        "simulated": run.manifest.simulated,
        "requests": saved_requests(run),
        "requests_in_journal": journal_requests(run),
        "manifest": run.manifest.model_dump(mode="json"),
        "summary": None if summary is None else summary.model_dump(mode="json"),
        "comparison": None if comparison is None else comparison.model_dump(mode="json"),
        "gates": None if gates is None else gates.model_dump(mode="json"),
    }


def saved_requests(run: Run) -> int | None:
    """Return how many requests requests.parquet holds; None while there is none, or if only figures were imported."""
    facts, imported = run.manifest.files.get(REQUESTS), run.manifest.imported
    if imported is not None and not imported.with_requests:
        return None
    return None if facts is None else facts.rows


def journal_requests(run: Run) -> int | None:
    """Return how many requests the run's journal holds; None when there is no journal."""
    return count_requests(run.folder.journal) if run.folder.journal.is_dir() else None


def bytes_text(size: int) -> str:
    """Return a size as people read it."""
    value = float(size)
    for unit in ("bytes", "kB", "MB"):
        if value < _KILO:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:.1f} GB"


def print_stored_run(run: Run) -> None:
    """Print everything that a run folder says: the run, who is better, and what became of its gates."""
    print_run(run)
    comparison = read_comparison(run.folder)
    if comparison is not None:
        print_comparison(comparison)
    gates = read_gates(run.folder)
    if gates is not None:
        failed = len(gates.failed)
        style = "bold red" if failed else "green"
        out().print(Text(f"\nGates: {len(gates.results) - failed} of {len(gates.results)} passed", style=style))
        if failed:
            print_failed_gates(out(), gates)


def print_run(run: Run) -> None:
    """Print one run: what it is, its figures per test, its files."""
    console = out()
    for line in _heading(run):
        console.print(line, soft_wrap=True)
    if run.manifest.services:
        _print_services(run)
    summary = read_summary(run.folder)
    if summary is not None:
        _print_tests(summary)
    elif run.folder.file(REQUESTS).is_file():
        console.print(_outcome_table(run))
    if run.manifest.files:
        console.print(_files_table(run))


def _print_tests(summary: Summary) -> None:
    """Print every test; sweeps and capacities in a table each, their single loads in full only with --verbose."""
    for test in summary.tests if display.verbose else single_tests(summary):
        print_test(test)
    for name, points in sweeps_of(summary).items():
        print_sweep(name, points, simulated=summary.simulated)
        for point in points if not display.verbose else ():
            _print_trust(point, before=f"{point.name} ")
    for facts in summary.capacity:
        print_capacity(facts, simulated=summary.simulated)
    if not display.verbose and len(single_tests(summary)) < len(summary.tests):
        out().print(Text("Each load of these in full: --verbose, the report", style="dim"))


def print_test(test: TestSummary) -> None:
    """Print one test's figures: a row per figure, a column per service; its verdict first when it is not valid."""
    console = out()
    console.print(Text.assemble(("\n" + clean(test.name), "bold"), f" ({test.kind}, rounds {test.rounds})"))
    if test.validity.verdict != "valid":
        style = VERDICT_STYLE[test.validity.verdict]
        console.print(Text(test.validity.verdict.upper(), style=style))
        for reason in test.validity.reasons:
            console.print(Text(f"  {clean(reason, limit=500)}", style=style.removeprefix("bold ")), soft_wrap=True)
    _print_trust(test, before="  ")
    for warning in sanity_warnings(test):
        console.print(Text(f"NOT SOUND  {clean(warning, limit=500)}", style="bold red"), soft_wrap=True)
    services = list(test.services.items())
    for start in range(0, len(services), _SERVICES_ABREAST):
        console.print(_figures_table(test, dict(services[start : start + _SERVICES_ABREAST])))
    for line in server_lines({name: service.server for name, service in services}):
        console.print(Text(clean(line, limit=500)), soft_wrap=True)


def _print_trust(test: TestSummary, *, before: str) -> None:
    """Print what there is to say of a test beside its verdict, a line each, `before` at its beginning."""
    for label, text in trust_lines(test):
        said = f"{label.lower() if before.strip() else label}: {text}"
        out().print(Text(before + clean(said, limit=800)), soft_wrap=True)


def _figures_table(test: TestSummary, services: dict[str, ServiceSummary]) -> Table:
    names = [clean(name) for name in services]
    made = table("", *names, right=names)
    for label, cells in rows(test.model_copy(update={"services": services})):
        style = VERDICT_STYLE if label == "Validity" else {}
        made.add_row(Text(label), *(foreign(cell, style=style.get(cell, "")) for cell in cells))
    return made


def _heading(run: Run) -> list[Text]:
    manifest = run.manifest
    status = shown_status(manifest)
    lines = [Text(run.folder.test_id, style="bold")]
    if manifest.simulated:
        lines.append(Text(f"{SIMULATED}: figures of simulated engines, not of real ones", style="bold magenta"))
    if manifest.imported is not None:
        said = clean(imported_words(manifest.imported).removeprefix("imported "), limit=500)
        lines.append(Text(f"{IMPORTED} {said}: measured by another client, which nobody watched", style="bold yellow"))
    if clean(manifest.name):
        lines.append(Text(f"Name     {clean(manifest.name)}"))
    described = manifest.config.get("benchmark")
    if isinstance(described, dict) and described.get("description"):
        lines.append(Text(f"About    {clean(str(described['description']), limit=500)}"))
    where = clean(manifest.environment.host) if manifest.imported is None else "a machine that is not told"
    lines.append(Text(f"Created  {manifest.created:%Y-%m-%d %H:%M:%S} UTC on {where}"))
    lines.append(Text.assemble("Status   ", (status, _STATUS_STYLE[status])))
    held = journal_requests(run)
    if held is not None and status == "partial":
        lines.append(
            Text(f"         it ended early; its journal holds {held:,} requests: `results recover` saves them")
        )
    elif held is not None and status == "running":
        lines.append(Text(f"         its journal holds {held:,} requests so far"))
    lines.append(Text(f"Folder   {clean(str(run.folder.path), limit=_LONGEST_URL)}"))
    lines += [Text(f"Note     {clean(text, limit=500)}") for text in manifest.notes]
    return lines


def _print_services(run: Run) -> None:
    """Print the services; where their URLs do not fit beside the rest, each has a line of its own, to be copied."""
    console = out()
    whole = _services_table(run, urls=True)
    if fits(whole):
        console.print(whole)
        return
    console.print(_services_table(run, urls=False))
    for service in run.manifest.services:
        line = Text.assemble((clean(service.name), "bold"), "  ", clean(service.url, limit=_LONGEST_URL))
        console.print(line, soft_wrap=True)


def _services_table(run: Run, *, urls: bool) -> Table:
    made = table("Service", "Engine", "Model", *(["URL"] if urls else []))
    for column in made.columns:
        column.no_wrap = column.header in ("Service", "URL")  # to be copied
    for service in run.manifest.services:
        engine = " ".join(filter(None, [service.product or service.engine, service.version]))
        cells = (service.name, engine, service.model, *([service.url] if urls else []))
        made.add_row(*(foreign(cell or MISSING, limit=_LONGEST_URL) for cell in cells))
    return made


def _outcome_table(run: Run) -> Table:
    """Show what a run without a summary holds: good and failed requests, warm-ups left out."""
    counts: dict[tuple[str, str], Counter[bool]] = outcome_counts(run.folder)
    made = table("Test", "Service", "Good", "Failed", right=("Good", "Failed"))
    for (test, service), found in counts.items():
        made.add_row(foreign(test), foreign(service), Text(f"{found[True]:,}"), Text(f"{found[False]:,}"))
    return made


def _files_table(run: Run) -> Table:
    made = table("File", "Bytes", "Rows", right=("Bytes", "Rows"))
    for name, facts in run.manifest.files.items():
        made.add_row(Text(name), Text(f"{facts.bytes:,}"), Text("" if facts.rows is None else f"{facts.rows:,}"))
    return made


def _requests_text(run: Run) -> str:
    held = journal_requests(run)
    if held is not None:
        return f"{held:,} in journal"
    saved = saved_requests(run)
    return MISSING if saved is None else f"{saved:,}"
