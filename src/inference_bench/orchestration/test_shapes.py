"""What the requests of each test have in common: made from the settings, each distinct workload built once."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference_bench.config.models import LoadTestSettings, Settings, TtftTestSettings, WorkloadSettings
from inference_bench.testing.plan import LoadPlan, TtftPlan
from inference_bench.testing.rendering import TestShape
from inference_bench.testing.traces import Timed
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.items import Workload


@dataclass(slots=True)
class Shapes:
    """Builds workloads and shapes of one run. A sweep's points and equal settings share one workload."""

    settings: Settings
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
            self._built[key] = build_workload(asked, seed=self.settings.benchmark.seed)
        return self._built[key]
