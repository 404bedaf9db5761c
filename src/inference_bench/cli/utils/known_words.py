"""What exists that a configuration may name: engines, and the values of a summary. Gathered from the rooms below."""

from inference_bench.api.clients import client_names
from inference_bench.config.vocabulary import Vocabulary
from inference_bench.results.values import LIMITED, PRIMARIES


def known_words() -> Vocabulary:
    """Return the names that a configuration is checked against."""
    return Vocabulary(engines=client_names(), limited=LIMITED, primaries=PRIMARIES)
