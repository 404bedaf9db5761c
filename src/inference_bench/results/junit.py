"""A run as JUnit XML, for CI systems: what passed, what failed, and the verdicts as text of passed cases.

A `testsuite` per test of the run, and one for the run itself. The elements and attributes are those that Jenkins,
GitLab and their kin read (testsuites, testsuite, properties, testcase, failure, error, system-out).
"""

import os
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from inference_bench.errors import RunFolderError, UsageError
from inference_bench.results.capacity import CapacityFacts, capacity_words
from inference_bench.results.capacity_rows import limit_words, promise_words
from inference_bench.results.comparison import Comparison, Pair, read_comparison
from inference_bench.results.comparison_words import metric_words, sentence, winner_sentence
from inference_bench.results.folder import RunFolder, shown_status
from inference_bench.results.gates import GateResult, Gates, cause_text, read_gates
from inference_bench.results.manifest import Manifest
from inference_bench.results.schema import TOOL
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, read_summary
from inference_bench.results.sweep_rows import measured_tests
from inference_bench.results.tables import outcome_counts

RUN_SUITE: Final = "run"
# What XML 1.0 does not allow, even escaped (section 2.2, Char).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_junit_path(path: Path) -> None:
    """Refuse, before a run begins, a place where the file cannot be written at its end. Raises UsageError."""
    problem = None
    if path.is_dir():
        problem = "it is a folder"
    elif path.exists() and not path.is_file():
        problem = "it is not a regular file"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}"
    else:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".junit-")
            os.close(handle)
            Path(name).unlink()
        except OSError as error:
            problem = error.strerror
    if problem is not None:
        raise UsageError(f"--junit cannot write {path}: {problem}")


def write_junit(path: Path, folder: RunFolder) -> None:
    """Write a finished run as JUnit XML.

    Raises:
        RunFolderError: the run has no summary or tables that can be read.
        OSError: the file cannot be written.
    """
    summary = read_summary(folder)
    if summary is None:
        raise RunFolderError(f"{folder.test_id} has no summary", hint="results recover makes one of what was measured")
    good = {key: counts[True] for key, counts in outcome_counts(folder).items()}
    document = junit_document(
        folder.read_manifest(),
        summary,
        answered={pair: count > 0 for pair, count in good.items()},
        comparison=read_comparison(folder),
        gates=read_gates(folder),
    )
    path.write_bytes(document)


def junit_document(
    manifest: Manifest,
    summary: Summary,
    *,
    answered: Mapping[tuple[str, str], bool],
    comparison: Comparison | None,
    gates: Gates | None,
) -> bytes:
    """Return the XML. `answered` says of (test, service) whether any measured request was answered."""
    root = ET.Element("testsuites", name=_text(f"vllm-benchmark {summary.test_id}"))
    results = gates.results if gates is not None else ()
    # The loads that a search for capacity tried are no tests: breaking the promises is how it finds their edge.
    tests = measured_tests(summary)
    for test in tests:
        suite = _suite(root, test.name, manifest, summary)
        for name, service in test.services.items():
            _answered(suite, test, name, service, answered=answered.get((test.name, name), False))
            _validity(suite, test, name, service)
        for result in results:
            if result.test == test.name:
                _gate(suite, test.name, result)
        if comparison is not None:
            for pair in (pair for pair in comparison.primary_pairs if pair.test == test.name):
                _verdict(suite, pair, comparison)
    suite = _suite(root, RUN_SUITE, manifest, summary)
    _completed(suite, manifest)
    for result in results:
        if result.test not in {test.name for test in tests}:
            _gate(suite, RUN_SUITE, result)
    for facts in summary.capacity:
        _capacity(suite, facts)
    if comparison is not None:
        _winner(suite, comparison)
    _count(root)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _suite(root: ET.Element, name: str, manifest: Manifest, summary: Summary) -> ET.Element:
    shown = f"{name} (SIMULATED)" if summary.simulated else name
    suite = ET.SubElement(root, "testsuite", name=_text(shown), timestamp=f"{manifest.created:%Y-%m-%dT%H:%M:%S}")
    suite.set("hostname", _text(manifest.environment.host))
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(manifest, summary):
        ET.SubElement(properties, "property", name=_text(key), value=_text(value))
    return suite


def _properties(manifest: Manifest, summary: Summary) -> Iterator[tuple[str, str]]:
    yield "test_id", summary.test_id
    yield "simulated", "true" if summary.simulated else "false"
    yield "status", shown_status(manifest)
    yield "tool", TOOL
    for service in manifest.services:
        known = (service.product or service.engine, service.version, service.model)
        yield f"service.{service.name}", " ".join(part for part in known if part)


def _case(suite: ET.Element, group: str, name: str, said: str = "") -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=_text(group), name=_text(name), time="0")
    if said:
        ET.SubElement(case, "system-out").text = _text(said)
    return case


def _broken(case: ET.Element, kind: str, message: str, what: str) -> None:
    # The schema wants failure and error before system-out.
    made = ET.Element(kind, message=_text(message), type=what)
    made.text = _text(message)
    case.insert(0, made)


def _answered(suite: ET.Element, test: TestSummary, name: str, service: ServiceSummary, *, answered: bool) -> None:
    facts = service.requests
    counts = f"{facts.ok} of {facts.sent} requests of the steady window were answered"
    errors = ", ".join(f"{kind} {count}" for kind, count in facts.errors.items())
    case = _case(suite, f"{test.name}.{name}", "answered", f"{counts}; {errors}" if errors else counts)
    if not answered:
        _broken(case, "failure", f"{name} answered not a single request" + (f" ({errors})" if errors else ""), "silent")


def _validity(suite: ET.Element, test: TestSummary, name: str, service: ServiceSummary) -> None:
    validity = service.validity
    said = "; ".join((validity.verdict, *validity.reasons))
    case = _case(suite, f"{test.name}.{name}", "validity", said)
    if validity.verdict == "invalid":
        _broken(case, "error", said, "invalid")


def _gate(suite: ET.Element, group: str, result: GateResult) -> None:
    prefix = "slo: " if result.source == "slo" else "fail if: "
    case = _case(suite, f"{group}.gates", f"{prefix}{result.expression}")
    if result.failed:
        _broken(case, "failure", "; ".join(cause_text(cause) for cause in result.causes), result.source)


def _verdict(suite: ET.Element, pair: Pair, comparison: Comparison) -> None:
    name = f"{pair.a} against {pair.b}: {metric_words(pair)}"
    _case(suite, f"{pair.test}.comparison", name, sentence(pair, comparison.design))


def _capacity(suite: ET.Element, facts: CapacityFacts) -> None:
    """Tell the answer for each service; there is none to fail."""
    for name, found in facts.services.items():
        said = f"{capacity_words(found, facts.unit)} under {promise_words(facts)}; {limit_words(found, facts)}"
        _case(suite, f"{facts.test}.{name}", "capacity", said)


def _completed(suite: ET.Element, manifest: Manifest) -> None:
    status = shown_status(manifest)
    case = _case(suite, RUN_SUITE, "completed")
    if status != "complete":
        _broken(case, "error", f"the run is {status}: it did not run to its end", status)


def _winner(suite: ET.Element, comparison: Comparison) -> None:
    if "overall" in comparison.winners:
        _case(suite, f"{RUN_SUITE}.comparison", "overall", winner_sentence(comparison))


def _count(root: ET.Element) -> None:
    """Give every suite, and the whole, its numbers."""
    total = {"tests": 0, "failures": 0, "errors": 0}
    for suite in root:
        found = {"tests": len(suite.findall("testcase"))}
        found |= {f"{kind}s": len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error")}
        for key, count in found.items():
            suite.set(key, str(count))
            total[key] += count
    for key, count in total.items():
        root.set(key, str(count))


def _text(value: str) -> str:
    """Return text that XML can carry: what a server sent may hold characters that no XML document may."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
