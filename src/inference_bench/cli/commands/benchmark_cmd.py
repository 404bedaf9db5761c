"""The command `benchmark`: words into a plan, the plan's story told, its figures shown. Nothing is measured here."""

import rich_click as click

from inference_bench.cli.utils.async_utils import run_story
from inference_bench.cli.utils.benchmark_options import BenchmarkOptions, benchmark_options
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.service_options import ServiceOptions, load_configuration, service_options


@click.command(
    short_help="Send the same work to every service, measure, and keep the run.",
    epilog=examples(
        "vllm-benchmark benchmark --quick --simulate",
        "vllm-benchmark benchmark --url vllm=http://localhost:8000",
        "vllm-benchmark benchmark --url vllm/a=http://h1:8000 --url vllm/b=http://h2:8000",
        "vllm-benchmark benchmark -c config/stress-test.yaml --dry-run",
        "vllm-benchmark benchmark --load-only --rate 5 --arrivals poisson -d 60",
        "vllm-benchmark benchmark --load-only --test standard-load --users 1,4,16,64",
        "vllm-benchmark benchmark --quick --until-decided",
        "vllm-benchmark benchmark --resume last",
        "vllm-benchmark benchmark --fail-if 'vllm.ttft_ms.p95>300' --junit ci.xml",
        "vllm-benchmark benchmark --fail-if 'ttft:tgi.failed>0 or tgi.ok<100'",
    ),
)
@service_options
@benchmark_options
def benchmark(services: ServiceOptions, **given: object) -> int:
    """Send the same work to every service, measure, compare, and keep the run.

    Without --url or a configured endpoint the engines on this machine's usual ports are measured; with --simulate,
    simulated ones. Results go to a folder of their own under results/.
    """
    options = BenchmarkOptions.of(given)
    options.worker_count()
    from inference_bench.results.gates import parse_gates  # noqa: PLC0415 - keeps --help fast

    gates = parse_gates(options.fail_if)
    if options.junit is not None:
        from inference_bench.results.junit import check_junit_path  # noqa: PLC0415

        check_junit_path(options.junit)
    stopping = "stopping; what was measured is saved"
    if options.resume is not None:
        from inference_bench.cli.utils.resume_flow import check_given, resume_flow, resumed_run  # noqa: PLC0415

        check_given()
        run = resumed_run(options)
        outcome = run_story(lambda stop: resume_flow(services, run, options, gates, stop), stopping=stopping)
    else:
        loaded = load_configuration(services, quick=options.quick, overrides=options.overrides())
        from inference_bench.cli.utils.benchmark_flow import run_flow  # noqa: PLC0415

        outcome = run_story(lambda stop: run_flow(services, loaded, options, gates, stop), stopping=stopping)
    if outcome is not None:
        from inference_bench.cli.utils.benchmark_end import show_outcome  # noqa: PLC0415

        show_outcome(outcome, options)
    return 0
