"""What a report says of a run's phases, of what came near a limit, and of what this machine itself adds."""

from collections.abc import Iterator, Sequence

from inference_bench.reporting.text import clean
from inference_bench.reporting.text import sentence as as_sentence
from inference_bench.reporting.view import Point
from inference_bench.results.summary import TestSummary
from inference_bench.results.trust_view import phases_words, trust_lines


def trust_points(tests: Sequence[TestSummary]) -> Iterator[Point]:
    """Yield a test's phases, service by service, and all there is to say of its trust beside its verdict."""
    for test in tests:
        for name, service in test.services.items():
            if test.kind == "load" and service.phases is not None:
                words = f"{name}: {phases_words(service.phases)}"
                yield Point(f"Phases, {clean(test.name, limit=80)}", as_sentence(clean(words, limit=500)))
        for label, text in trust_lines(test):
            yield Point(f"{label}, {clean(test.name, limit=80)}", as_sentence(clean(text, limit=700)))
