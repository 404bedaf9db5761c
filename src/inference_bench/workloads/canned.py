"""Ready questions for people who want to see something at once, and the greeting of a quick test."""

from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter

from inference_bench.errors import UsageError
from inference_bench.workloads.choices import shown
from inference_bench.workloads.packaged import packaged_yaml

DEFAULT_TEST_PROMPT = "Hello! Please introduce yourself in one or two friendly sentences."
"""What `test` asks when no prompt is given: short to answer, and plainly wrong when the chat template is."""


@dataclass(frozen=True, slots=True)
class CannedPrompt:
    """A ready question and the few words that stand for it in a menu."""

    title: str
    prompt: str


_CANNED = TypeAdapter(tuple[CannedPrompt, ...])


@lru_cache(maxsize=1)
def canned_prompts() -> tuple[CannedPrompt, ...]:
    """Return the ready questions in the order of their numbers, which count from 1."""
    return packaged_yaml("canned.yaml", _CANNED)


def choose_prompt(text_or_number: str) -> str:
    """Return the prompt a user means: the number of a canned one, or the text itself.

    UsageError for an empty text and for a number that no canned prompt has; neither is replaced in silence.
    """
    wanted = text_or_number.strip()
    if not wanted:
        raise UsageError("the prompt is empty", hint="give some text, or the number of a canned prompt")
    if not (wanted.isascii() and wanted.isdigit()):
        return text_or_number
    prompts = canned_prompts()
    # Ever longer strings of digits are not turned into numbers: that costs time, and the answer is known.
    number = int(wanted) if len(wanted) <= 4 else 0
    if not 1 <= number <= len(prompts):
        raise UsageError(
            f"there is no canned prompt {shown(wanted)}; they are numbered 1 to {len(prompts)}",
            hint="canned prompts: " + ", ".join(f"{place} {one.title}" for place, one in enumerate(prompts, start=1)),
        )
    return prompts[number - 1].prompt
