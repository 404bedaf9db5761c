"""ShareGPT-style datasets as single questions: the first thing a user says, with the length of the answer it got."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.api.protocols import Message
from inference_bench.workloads.answer_lengths import MOST_COUNTED, AnswerLengths, answer_lengths
from inference_bench.workloads.conversations import Conversation, read_conversations
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.lengths import LengthLaw
from inference_bench.workloads.permutation import place_in_pass
from inference_bench.workloads.tokens import TokenCounter

if TYPE_CHECKING:
    from inference_bench.config.workload_models import WorkloadSettings

SHAREGPT = "sharegpt"


@dataclass(frozen=True, slots=True)
class ShareGptWorkload:
    """The first question of each conversation, in a fresh seeded order for each pass over them.

    The answer's length is drawn from `output` where that is given, else it is that of the dataset's own answer.
    """

    name: str
    conversations: Sequence[Conversation]
    seed: int
    output: LengthLaw | None
    lengths: AnswerLengths | None
    notes: tuple[str, ...] = ()
    prefix_words: tuple[str, ...] | None = None

    def item(self, index: int) -> WorkItem:
        """Return the work with this index, for any index >= 0; a negative one raises IndexError."""
        if index < 0:
            raise IndexError(f"work is numbered from 0, there is no item {index}")
        place = place_in_pass(self.seed, index, len(self.conversations))
        conversation = self.conversations[place]
        first = conversation.exchanges[0]
        system = () if conversation.system is None else (Message("system", conversation.system),)
        length = None
        if self.output is not None:
            length = self.output.draw(self.seed, "output", index)
        elif self.lengths is not None and first.answer is not None:
            length = self.lengths.of(place, first.answer)
        return WorkItem((*system, Message("user", first.user)), length, SHAREGPT)


def sharegpt_workload(
    settings: "WorkloadSettings", path: Path, seed: int, counter: TokenCounter | None
) -> ShareGptWorkload:
    """Check the file and return its first questions. Raises ConfigError, also when the counter cannot count."""
    found = read_conversations(path)
    records, notes = found.records, [found.note, "the first question of each conversation is asked"]
    output = lengths = None
    if settings.output_tokens is not None:
        output = LengthLaw(settings.output_tokens, "output_tokens")
    else:
        places = [place_in_pass(seed, index, len(records)) for index in range(min(MOST_COUNTED, len(records)))]
        firsts = [(place, records[place].exchanges[0].answer) for place in places] if counter is not None else []
        answers = [(place, answer) for place, answer in firsts if answer is not None]
        lengths = answer_lengths(answers, len(records) > MOST_COUNTED, counter)
        notes.append(lengths.note)
    return ShareGptWorkload(f"sharegpt {path.name}", records, seed, output, lengths, tuple(notes))
