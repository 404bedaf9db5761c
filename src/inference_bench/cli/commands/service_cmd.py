"""The commands `discover` (who is there, and how are they) and `test` (one quick question to each)."""

import os
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import note, out, print_json, warn
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.new_file import check_new
from inference_bench.cli.utils.service_options import ServiceOptions, load_configuration, service_options
from inference_bench.errors import InterruptedRunError, NoServiceError, UsageError

if TYPE_CHECKING:
    import asyncio

    from rich.table import Table
    from rich.text import Text

    from inference_bench.api.unified_client import Answer
    from inference_bench.config.loader import LoadedSettings
    from inference_bench.discovery.services import FoundService
    from inference_bench.orchestration.service_orchestrator import Findings, OpenServices

DEFAULT_PROMPT = "Hello! Please answer with a short greeting."
_MAX_TOKENS = 64
_EXIT_NO_SERVICE = NoServiceError.exit_code


@click.command(
    short_help="Find services and say how they are.",
    epilog=examples(
        "vllm-benchmark discover",
        "vllm-benchmark discover --url gpu1:8000 --url ollama=http://gpu2:11434",
        "vllm-benchmark discover --url https://llm.example --api-key-env KEY --json",
        "vllm-benchmark discover --save found.yaml",
        "vllm-benchmark discover -n llm-serving",
        "vllm-benchmark discover --all-namespaces --context prod",
        "vllm-benchmark discover -n llm-serving --port-forward --watch",
    ),
)
@service_options
@click.option("--all-namespaces", is_flag=True, help="Search every namespace of the cluster.")
@click.option("--watch", is_flag=True, help="Go on until there are services and all of them are ready.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option(
    "--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the usable services as a configuration."
)
def discover(services: ServiceOptions, *, as_json: bool, save: Path | None, all_namespaces: bool, watch: bool) -> int:
    """Find services and say how they are.

    Looks at the configured services or, without any, at this machine's usual ports (8000, 8080, 11434, 3000, 30000)
    and into the cluster that the kubeconfig, or the account of the pod this runs in, leads to. With --namespace,
    --context or --all-namespaces it looks into the cluster only. Nothing is changed there.

    Engines are recognised by asking them. The exit code is 3 when none can be measured; with --save also when a
    service that was named cannot be, unless --skip-unhealthy leaves it out.
    """
    check_new(save)
    services = _everywhere(services) if all_namespaces else services
    from inference_bench.cli.utils.async_utils import run_story, unless_stopped  # noqa: PLC0415 - keeps --help fast
    from inference_bench.orchestration.service_orchestrator import choose_usable  # noqa: PLC0415

    loaded = load_configuration(services)
    if save is not None:
        _check_lasting(loaded)
    finding = _watch if watch else _find
    findings = run_story(lambda stop: unless_stopped(finding(loaded, services.service_names), stop))
    found = findings.services
    _show_found(findings, as_json=as_json)
    # A table may show what is down; a saved configuration must not silently lack what was asked for.
    lenient = services.skip_unhealthy or save is None
    usable = choose_usable(findings, loaded.settings.services, only=services.service_names, skip_unhealthy=lenient)
    if save is not None:
        _save(save, usable, left_out=len(found) - len(usable))
    return 0


@click.command(
    short_help="Send one quick request to every service.",
    epilog=examples(
        "vllm-benchmark test",
        "vllm-benchmark test --simulate",
        "vllm-benchmark test --url vllm=http://localhost:8000 -p 'Say hello.'",
        "vllm-benchmark test --service vllm,ollama --json",
    ),
)
@service_options
@click.option("-p", "--prompt", default=DEFAULT_PROMPT, show_default=True, metavar="TEXT", help="What to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def test(services: ServiceOptions, *, prompt: str, as_json: bool) -> int:
    """Send one quick request to every service at the same moment, and show answers and times.

    One request proves that a service works; it measures nothing that could be compared. The exit code is 3 when a
    service did not answer.
    """
    if not prompt.strip():
        raise UsageError("--prompt is empty")
    from inference_bench.cli.utils.async_utils import run_story  # noqa: PLC0415 - keeps --help fast
    from inference_bench.cli.utils.service_views import answers_data, answers_lines, answers_table  # noqa: PLC0415

    loaded = load_configuration(services)
    opened, answers = run_story(lambda stop: _ask(loaded, services, prompt, stop), stopping="giving up")
    if as_json:
        print_json(answers_data(opened.services, answers, prompt=prompt, max_tokens=_MAX_TOKENS))
    else:
        _print_with_lines(answers_table(opened.services, answers), answers_lines(opened.services, answers))
    if opened.simulated or any(answer.simulated for answer in answers.values()):
        warn("SIMULATED: these are answers of simulated engines, not of real ones")
    failed = [name for name, answer in answers.items() if not answer.ok]
    if any(_interrupted(answer) for answer in answers.values()):
        raise InterruptedRunError("interrupted before every service had answered")
    note(f"{len(answers) - len(failed)} of {len(answers)} services answered")
    return _EXIT_NO_SERVICE if failed else 0


def _everywhere(services: ServiceOptions) -> ServiceOptions:
    if services.namespace not in (None, "*"):
        raise UsageError("--all-namespaces and --namespace exclude each other")
    if services.simulate:
        raise UsageError("--simulate searches no cluster: leave out --all-namespaces")
    return replace(services, namespace="*")


def _check_lasting(loaded: "LoadedSettings") -> None:
    """Refuse to save what ends with this command."""
    if loaded.settings.services.simulate:
        raise UsageError("--save is for services that stay: simulated engines end with the command")
    if loaded.settings.services.port_forward:
        hint = "keep the namespace instead: services: {namespace: NAME, port_forward: true}"
        raise UsageError("--save is for addresses that stay: those of a port-forward end with the command", hint=hint)


async def _find(loaded: "LoadedSettings", only: tuple[str, ...]) -> "Findings":
    from inference_bench.orchestration.service_orchestrator import found_services  # noqa: PLC0415

    async with found_services(loaded, environ=os.environ, only=only, look_around=True) as findings:
        return findings


async def _watch(loaded: "LoadedSettings", only: tuple[str, ...]) -> "Findings":
    """Look until all services are ready; every change of a state is a line."""
    from inference_bench.cli.utils.cluster_views import Changes  # noqa: PLC0415
    from inference_bench.orchestration.service_orchestrator import watched_services  # noqa: PLC0415

    changes = Changes()
    last: Findings | None = None
    async with aclosing(watched_services(loaded, environ=os.environ, only=only, look_around=True)) as looks:
        async for findings in looks:
            last = findings
            for line in changes.of(findings):
                note(line)
    assert last is not None
    return last


async def _ask(
    loaded: "LoadedSettings", services: ServiceOptions, prompt: str, stop: "asyncio.Event"
) -> tuple["OpenServices", dict[str, "Answer"]]:
    from inference_bench.api.protocols import ChatRequest, Message  # noqa: PLC0415
    from inference_bench.cli.utils.async_utils import unless_stopped  # noqa: PLC0415
    from inference_bench.orchestration.service_orchestrator import (  # noqa: PLC0415
        ask_everyone,
        open_services,
        timeouts_of,
    )

    request = ChatRequest(messages=(Message("user", prompt),), max_tokens=_MAX_TOKENS, exact_length=False)
    async with AsyncExitStack() as stack:
        opening = open_services(
            loaded, environ=os.environ, only=services.service_names, skip_unhealthy=services.skip_unhealthy
        )
        opened = await unless_stopped(stack.enter_async_context(opening), stop)
        for text in opened.notes:
            note(f"Note: {text}")
        for service in opened.left_out:
            warn(f"{service.name} is left out: it is {service.health.status}: {service.health.detail}")
        answers = await ask_everyone(opened, request, timeouts=timeouts_of(loaded.settings.services), stop=stop)
        return opened, answers


def _show_found(findings: "Findings", *, as_json: bool) -> None:
    from inference_bench.cli.utils.service_views import services_data, services_lines, services_table  # noqa: PLC0415
    from inference_bench.orchestration.service_advice import advice  # noqa: PLC0415
    from inference_bench.orchestration.service_orchestrator import proxy_notes  # noqa: PLC0415

    found = findings.services
    if as_json:
        print_json(services_data(found, findings.notes))
    elif found:
        _print_with_lines(services_table(found), services_lines(found))
    if any(service.simulated for service in found):
        warn("SIMULATED: these are simulated engines, not real ones")
    for text in (*findings.notes, *proxy_notes(found, os.environ)) if found else ():
        note(f"Note: {text}")
    # When none is usable the command ends with an error that says what to do.
    for service in found if any(service.usable for service in found) else ():
        if not service.usable:
            note(f"Hint: {service.name}: {advice([service])}")


def _print_with_lines(shown: "Table", lines: "list[Text]") -> None:
    out().print(shown)
    for line in lines:
        out().print(line, soft_wrap=True)


def _interrupted(answer: "Answer") -> bool:
    return answer.error is not None and answer.error.error_class == "interrupted"


def _save(target: Path, usable: tuple["FoundService", ...], *, left_out: int) -> None:
    """Write the configuration whole or not at all; what appeared there meanwhile is not overwritten."""
    from inference_bench.config.shipped import write_whole  # noqa: PLC0415
    from inference_bench.discovery.saved import configuration_text  # noqa: PLC0415

    check_new(target)
    try:
        write_whole(target, configuration_text(usable))
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    but = f"; {left_out} that cannot be measured left out" if left_out else ""
    note(f"Wrote {target} ({len(usable)} services{but}); measure them with: vllm-benchmark benchmark -c {target}")
