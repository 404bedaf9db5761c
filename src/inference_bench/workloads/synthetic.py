"""Prompts composed of words to a given length in tokens, with beginnings that some of them share if that is wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads.composing import Composer, calibrated, uncounted
from inference_bench.workloads.exactness import (
    TEMPLATE_NOTE,
    UNCOUNTED_NOTE,
    Sample,
    exactness_note,
    sample_size,
)
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.lengths import LengthLaw, uniform_draw
from inference_bench.workloads.tokens import TokenCounter

if TYPE_CHECKING:
    from inference_bench.config.length_models import LengthSettings
    from inference_bench.config.workload_models import SharedPrefixSettings, WorkloadSettings

SYNTHETIC = "synthetic"
_LENGTHS_FOR_MEAN = 64


def composer_for(counter: TokenCounter | None) -> Composer:
    """Return the composer that this counter calibrates. Raises ConfigError when it cannot count."""
    return uncounted() if counter is None else calibrated(counter)


@dataclass(frozen=True, slots=True)
class SyntheticWorkload:
    """Composed prompts. Equal seed and index are equal work, on any machine, with an equal counter.

    Prompt and output lengths are drawn for each index; a share of the prompts starts with one of a few beginnings.
    `unique`: each request gets a unique prefix, for which room is left inside the prompt's length.
    """

    composer: Composer
    seed: int
    prompt: LengthLaw
    output: LengthLaw | None
    shared: "SharedPrefixSettings | None"
    unique: bool
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the work is: `synthetic, 512 tokens`."""
        return f"synthetic, {self.prompt.in_words()} tokens"

    @property
    def prefix_words(self) -> tuple[str, ...] | None:
        """The words its unique prefixes are made of."""
        return self.composer.prefix_words

    def tokens(self, index: int) -> int:
        """Return the length in tokens of the prompt with this index, unique prefix included."""
        return self.prompt.draw(self.seed, "prompt", index)

    def item(self, index: int) -> WorkItem:
        """Return the work with this index, for any index >= 0; a negative one raises IndexError."""
        if index < 0:
            raise IndexError(f"work is numbered from 0, there is no item {index}")
        text, shared = self._text(index)
        length = None if self.output is None else self.output.draw(self.seed, "output", index)
        return WorkItem((Message("user", text),), length, SYNTHETIC, shared)

    def _text(self, index: int) -> tuple[str, int]:
        tokens, key, composer = self.tokens(index), f"{self.seed}:body:{index}", self.composer
        beginning = self._beginning(index)
        if beginning is None:
            if not self.unique:
                return composer.beginning(key, tokens), 0
            return composer.lead + composer.run(key, tokens - composer.costs.prefix), 0
        start, left = beginning, tokens - (self.shared.tokens if self.shared else 0)
        if not self.unique:
            return start + composer.run(key, left), len(start)
        own = composer.lead + composer.run(key, left - composer.costs.later_prefix)
        return f"{start} {own}", len(start) + 1

    def _beginning(self, index: int) -> str | None:
        """Return the shared beginning of a prompt, None when it has none."""
        if self.shared is None or uniform_draw(self.seed, "share", index) >= self.shared.share:
            return None
        group = int(uniform_draw(self.seed, "group", index) * self.shared.groups)
        return self.composer.beginning(f"{self.seed}:shared:{group}", self.shared.tokens)


def synthetic_workload(settings: "WorkloadSettings", seed: int, counter: TokenCounter | None) -> SyntheticWorkload:
    """Return the composed prompts that `settings` describe, with a note on how exact their lengths are.

    Raises ConfigError when a prompt has no room for what it must hold, or the counter cannot count.
    """
    lengths = settings.prompt_tokens
    if lengths is None:
        raise ConfigError("workload.prompt_tokens: is needed by the kind synthetic", key="workload.prompt_tokens")
    composer, unique = composer_for(counter), settings.cache == "unique"
    check_room(lengths, settings.shared_prefix, composer, unique)
    prompt = LengthLaw(lengths, "prompt_tokens")
    output = None if settings.output_tokens is None else LengthLaw(settings.output_tokens, "output_tokens")

    def made(notes: tuple[str, ...]) -> SyntheticWorkload:
        return SyntheticWorkload(composer, seed, prompt, output, settings.shared_prefix, unique, notes)

    plain = made(())
    notes = (length_note(plain.item, plain.tokens, counter, composer=composer, unique=unique), TEMPLATE_NOTE)
    return made((*notes, *_shared_notes(settings.shared_prefix, unique)))


def length_note(
    item: Callable[[int], WorkItem],
    tokens: Callable[[int], int],
    counter: TokenCounter | None,
    *,
    composer: Composer,
    unique: bool,
    most: int | None = None,
) -> str:
    """Count the first prompts of a workload, `most` of them at most, and say how exact their lengths are."""
    if counter is None:
        return UNCOUNTED_NOTE
    first = range(_LENGTHS_FOR_MEAN if most is None else min(_LENGTHS_FOR_MEAN, most))
    size = sample_size(sum(tokens(index) for index in first) / len(first))
    samples = [Sample(item(index), tokens(index)) for index in range(size if most is None else min(size, most))]
    return exactness_note(samples, counter, unique=unique, words=composer.prefix_words)


def _shared_notes(shared: "SharedPrefixSettings | None", unique: bool) -> tuple[str, ...]:
    if shared is None:
        return ()
    groups = "one beginning" if shared.groups == 1 else f"one of {shared.groups} beginnings"
    after = "; the unique prefix stands behind it" if unique else ""
    return (f"{shared.share:.0%} of the prompts share {groups} of {shared.tokens} tokens{after}",)


def check_room(
    lengths: "LengthSettings", shared: "SharedPrefixSettings | None", composer: Composer, unique: bool
) -> None:
    """Refuse lengths that have no room for the unique prefix and a word behind it."""
    costs = composer.costs
    needed = (costs.prefix if unique else costs.lead, "its unique prefix" if unique else "a word")
    if shared is not None and unique:
        needed = (max(costs.prefix, shared.tokens + costs.later_prefix), "its shared and its unique prefix")
    if lengths.shortest < needed[0]:
        raise ConfigError(
            f"workload.prompt_tokens: a prompt of {lengths.shortest} tokens has no room for {needed[1]}, "
            f"which take{'' if 'and' in needed[1] else 's'} {needed[0]}",
            key="workload.prompt_tokens",
            hint="ask for longer prompts (min of a distribution)" + (", or cache: shared" if unique else ""),
        )
