"""What the requests of each test have in common: made from the settings, each distinct workload built once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference_bench.api.tokenize import first_counter
from inference_bench.config.models import LoadTestSettings, Settings, TtftTestSettings, WorkloadSettings
from inference_bench.testing.plan import LoadPlan, TtftPlan
from inference_bench.testing.rendering import ServiceUnderTest, TestShape
from inference_bench.testing.traces import Timed
from inference_bench.workloads.build import build_workload, counts_tokens
from inference_bench.workloads.items import Workload
from inference_bench.workloads.tokens import TokenCounter


@dataclass(slots=True)
class Shapes:
    """Builds workloads and shapes of one run. A sweep's points and equal settings share one workload.

    The services are asked to count tokens only where lengths matter; `notes` say how exact lengths are, and more.
    """

    settings: Settings
    services: Sequence[ServiceUnderTest]
    notes: list[str] = field(default_factory=list)
    _counter: tuple[TokenCounter | None, str] | None = None
    _built: dict[str, Workload] = field(default_factory=dict)

    def times_of(self, test: LoadTestSettings) -> npt.NDArray[np.float64]:
        """Return the times of the trace that a test replays, in s from its start. Raises ConfigError."""
        workload = self._workload(self._asked(test))
        assert isinstance(workload, Timed)  # the settings were checked for it
        return workload.times_s

    def shape(self, plan: TtftPlan | LoadPlan) -> TestShape:
        """Return the shape of one planned test. Raises ConfigError for a workload that cannot be built."""
        asked = self._asked(plan.settings)
        return TestShape(
            name=plan.name,
            kind="ttft" if isinstance(plan, TtftPlan) else "load",
            max_tokens=plan.settings.max_tokens,
            temperature=plan.settings.temperature,
            unique=asked.cache == "unique",
            workload=self._workload(asked),
            starts=tuple(part.first for part in plan.slices) if isinstance(plan, LoadPlan) else (),
        )

    def _asked(self, test: TtftTestSettings | LoadTestSettings) -> WorkloadSettings:
        own = test.workload if isinstance(test, LoadTestSettings) else None
        return own or self.settings.workload

    def _workload(self, asked: WorkloadSettings) -> Workload:
        key = asked.model_dump_json()
        if key not in self._built:
            counter = self._counts() if counts_tokens(asked) else None
            built = build_workload(asked, seed=self.settings.benchmark.seed, counter=counter)
            self.notes += (f"{built.name}: {note}" for note in getattr(built, "notes", ()))
            self._built[key] = built
        return self._built[key]

    def _counts(self) -> TokenCounter | None:
        """Return who counts tokens: the first service that does. The others may count otherwise, which is said."""
        if self._counter is None:
            self._counter = first_counter([(service.endpoint, service.client.engine) for service in self.services])
            self.notes.append(self._counter[1])
        return self._counter[0]
