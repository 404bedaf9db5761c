"""Counts the tests of a JUnit file, prints each one that was skipped with its reason, and fails if one lacks leave.

Usage: python .ci/skips.py TESTS_XML ALLOWED_REASONS (a regular expression).
"""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree


def main(report: Path, allowed: re.Pattern[str]) -> int:
    """Print the counts and the skips; return 1 when a skip is not allowed or nothing was run, else 0."""
    if not report.is_file():
        print(f"skips: {report} was not written: the tests did not run to their end")
        return 1
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = [(case, mark) for case in cases for mark in case.iter("skipped")]
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    refused = 0
    for case, mark in skipped:
        reason = mark.get("message", "") or mark.get("type", "without a reason")
        verdict = "allowed" if allowed.search(reason) else "NOT ALLOWED"
        refused += verdict != "allowed"
        print(f"skipped ({verdict}): {case.get('classname')}::{case.get('name')}: {reason}")
    print(f"tests: {len(cases)}, failed: {len(failed)}, skipped: {len(skipped)}, skipped without leave: {refused}")
    return int(bool(refused) or not cases)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), re.compile(sys.argv[2])))
