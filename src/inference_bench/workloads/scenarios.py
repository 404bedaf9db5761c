"""Five situations in which people ask assistants for help: a persona, four prompts and a scripted conversation each."""

from dataclasses import dataclass
from functools import lru_cache

from pydantic import TypeAdapter

from inference_bench.api.protocols import Message
from inference_bench.errors import UsageError
from inference_bench.workloads.choices import did_you_mean, normalised, shown
from inference_bench.workloads.packaged import packaged_names, packaged_yaml


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange of a script: what the user says, and the answer that was written for it."""

    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation. `number` is what users type; `persona` says who is asking.

    `prompts` are four questions that stand alone. `script` is a conversation of four turns in which each question
    builds on the answers before it.
    """

    number: int
    name: str
    title: str
    persona: str
    prompts: tuple[str, ...]
    script: tuple[Turn, ...]

    def history(self, turn: int) -> tuple[Message, ...]:
        """Return the messages that ask turn `turn` (from 0), with the scripted answers as what was said before.

        Every service is given the same past in this way, whatever it would have answered itself. A turn the script
        does not have raises IndexError.
        """
        if not 0 <= turn < len(self.script):
            raise IndexError(
                f"the script of {self.name} has turns 0 to {len(self.script) - 1}, there is no turn {turn}"
            )
        before = [
            message
            for past in self.script[:turn]
            for message in (Message("user", past.user), Message("assistant", past.assistant))
        ]
        return (*before, Message("user", self.script[turn].user))


_SCENARIO = TypeAdapter(Scenario)


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios in the order of their numbers."""
    found = (packaged_yaml(name, _SCENARIO) for name in packaged_names("scenarios"))
    return tuple(sorted(found, key=lambda scenario: scenario.number))


def find_scenario(choice: str) -> Scenario:
    """Return the scenario with this number or name (`2`, `code_review`, `Code-Review`); UsageError if there is none."""
    by_name = {scenario.name: scenario for scenario in scenarios()}
    by_number = {str(scenario.number): scenario for scenario in scenarios()}
    wanted = normalised(choice)
    found = by_name.get(wanted) or by_number.get(wanted)
    if found is None:
        raise UsageError(
            f"there is no scenario {shown(choice)}{did_you_mean(choice, by_name)}",
            hint="scenarios: " + ", ".join(f"{scenario.number} {scenario.name}" for scenario in scenarios()),
        )
    return found
