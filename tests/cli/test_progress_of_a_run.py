"""The progress of a run that goes on after its plan: its end moves, and it never stands beyond it."""

from inference_bench.cli.utils.run_display import RunDisplay


class Line:
    """A progress line that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float | None]] = []
        self.words: list[tuple[str | None, str]] = []

    def update(
        self, completed: float, *, total: float | None = None, description: str | None = None, detail: str = ""
    ) -> None:
        self.told.append((completed, total))
        self.words.append((description, detail))

    def say(self, message: str) -> None:
        raise AssertionError(message)


def test_further_blocks_move_the_end() -> None:
    line = Line()
    display = RunDisplay(line, 3)
    for test, turns in (("ttft", 1), ("load", 2), ("ttft", 1), ("load", 4)):
        display.test_began(test, "ttft" if test == "ttft" else "load", turns)
        for round_no in range(turns):
            display.turn_began(test, "vllm", round_no, None, 0)
            display.turn_ended(test)
    assert line.told[0] == (0, 3)
    assert line.told[-1] == (8, 8)
    assert line.words[-1] == ("load: vllm, round 4", " · 0 answers")
    assert all(total is not None and completed <= total for completed, total in line.told)
