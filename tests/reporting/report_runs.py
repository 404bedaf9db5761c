"""Runs for reports: with hostile texts, with other verdicts on validity. Nothing here asserts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from drawn_runs import drawn_run, opened
from inference_bench.results.folder import Run
from inference_bench.results.manifest import Manifest
from inference_bench.results.summary import Summary, Validity, read_summary, write_summary

ESCAPE = "\x1b[31mred\x1b[0m"
SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = f"{SCRIPT} [bold]loud[/bold] {ESCAPE} a|b `code` <img src=x onerror=alert(1)> *x* \u202egnp.exe\n# head"
PRICED: Mapping[str, object] = {
    "pricing": {"currency": "EUR", "per_hour": {"vllm": 3.6, "tgi": 1.8}},
    "slo": {"per_request": {"ttft_ms": 60.0}, "attainment": 0.9},
}
SMALL: Mapping[str, int] = {"blocks": 12, "requests": 12}


def small_run(directory: Path, **fields: object) -> Run:
    """Make a run that is just large enough to be compared."""
    return drawn_run(directory, **{**SMALL, **fields})  # type: ignore[arg-type]


def hostile_run(directory: Path) -> Run:
    """Make a run in which every text that others can set tries to be more than text."""
    run = small_run(directory, services=("vllm", "tgi"))

    def spoil(manifest: Manifest) -> Manifest:
        services = tuple(
            facts.model_copy(update={"version": HOSTILE, "model": HOSTILE, "product": HOSTILE, "said": said})
            for facts, said in zip(
                manifest.services, ({HOSTILE: HOSTILE, "x": [HOSTILE]}, {"root": HOSTILE * 50}), strict=True
            )
        )
        return manifest.model_copy(update={"name": HOSTILE, "notes": (HOSTILE,), "services": services})

    run.folder.update(spoil)
    judge(run, Validity(verdict="suspect", reasons=(HOSTILE,)))
    return opened(run.folder)


def judge(run: Run, validity: Validity, tests: Sequence[str] | None = None) -> None:
    """Say of a run's tests, or of some, that they are of this validity."""
    summary = summary_of(run)
    judged = tuple(
        test.model_copy(update={"validity": validity}) if tests is None or test.name in tests else test
        for test in summary.tests
    )
    write_summary(run.folder, summary.model_copy(update={"tests": judged}))


def summary_of(run: Run) -> Summary:
    """Return a run's summary."""
    summary = read_summary(run.folder)
    assert summary is not None
    return summary
