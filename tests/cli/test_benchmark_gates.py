"""How failed gates look on a terminal: one row per cause, missing values with their reason, SIMULATED, no markup."""

import pytest

from inference_bench.cli.utils.benchmark_end import print_failed_gates
from inference_bench.cli.utils.console_utils import out, reset_display
from inference_bench.results.gates import GateCondition, GateResult, Gates, GateSource


def condition(service: str, value: float | None, *, holds: bool = True) -> GateCondition:
    reason = None if value is not None else "p99 needs n 100, there are 20"
    return GateCondition(
        test="load", service=service, name="ttft_ms.p99", op=">", limit=300, value=value, holds=holds, reason=reason
    )


def result(source: GateSource, *conditions: GateCondition) -> GateResult:
    failed = any(one.holds for one in conditions)
    return GateResult(source=source, expression="[bold]x > 3", test="load", failed=failed, conditions=conditions)


@pytest.mark.parametrize("simulated", [True, False])
def test_every_cause_has_its_row(
    simulated: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reset_display()
    monkeypatch.setenv("COLUMNS", "100")
    results = (
        result("slo", condition("vllm", 312.5)),
        result("slo", condition("kept", 12, holds=False)),
        result("fail_if", condition("tgi", 12, holds=False), condition("tgi", 1e9), condition("ollama", None)),
    )
    print_failed_gates(out(), Gates(test_id="t", simulated=simulated, results=results))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ("Gates that failed (SIMULATED)" if simulated else "Gates that failed")
    assert [" ".join(line.split()) for line in lines[3:]] == [
        "must hold: [bold]x > 3 load vllm 312.5 > 300",
        "fails if: [bold]x > 3 load tgi 1e+09 > 300",
        "load ollama – > 300",
        "ttft_ms.p99 of ollama in load is missing: p99 needs n 100, there are 20",
    ]
