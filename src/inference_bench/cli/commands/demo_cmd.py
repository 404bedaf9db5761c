"""The command `demo`: services in lanes, raced and talked to. Words into a flow; each flow has its own module."""

import os
from collections.abc import Awaitable
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import rich_click as click

from inference_bench.cli.utils.demo_options import DemoOptions, demo_options
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.service_options import ServiceOptions, load_configuration, service_options

if TYPE_CHECKING:
    import asyncio

    from inference_bench.config.loader import LoadedSettings
    from inference_bench.config.models import Settings
    from inference_bench.orchestration.demo_orchestrator import Show

_UTILS = "inference_bench.cli.utils"
_FLOWS = {
    "race": (f"{_UTILS}.demo_race", "race_flow"),
    "conversation": (f"{_UTILS}.demo_conversation", "conversation_flow"),
    "interactive": (f"{_UTILS}.demo_interactive", "interactive_flow"),
    "chat": (f"{_UTILS}.demo_chat", "chat_flow"),
    "web": (f"{_UTILS}.demo_web", "web_flow"),
}


class Flow(Protocol):
    """One mode: shows what it has to show, and returns the exit code."""

    def __call__(
        self, show: "Show", settings: "Settings", options: DemoOptions, stop: "asyncio.Event"
    ) -> Awaitable[int]:
        """Run the mode."""


@click.command(
    short_help="Race services, or talk to them side by side.",
    epilog=examples(
        "vllm-benchmark demo --simulate",
        "vllm-benchmark demo --mode race --url vllm=http://h1:8000 --url tgi=http://h2:8080",
        "vllm-benchmark demo --mode race --runs 10 --prompt 2 --simulate",
        "vllm-benchmark demo --mode race --crowd 16 --simulate",
        "vllm-benchmark demo --mode conversation --scenario 1 --simulate",
        "vllm-benchmark demo --mode chat --url http://localhost:8000",
        "vllm-benchmark demo --web --simulate",
        "vllm-benchmark demo --replay shipped --speed 4",
        "vllm-benchmark demo --list",
    ),
)
@service_options
@demo_options
def demo(services: ServiceOptions, **given: object) -> int:
    """Race services, or talk to them side by side. Real requests, measured as `benchmark` measures them.

    Modes: race (same prompt, same instant, one lane each), conversation (a scripted talk of four turns), interactive
    (choose a prompt, race it, again), chat (talk freely with all at once). Simulated engines only with --simulate.
    """
    options = DemoOptions.of(given)
    from inference_bench.cli.utils.async_utils import run_story  # noqa: PLC0415 - keeps --help fast

    if options.show_list:
        from inference_bench.cli.utils.demo_list import print_list  # noqa: PLC0415

        print_list()
        return 0
    if options.replay is not None:
        from inference_bench.cli.utils.demo_replay import replay_flow  # noqa: PLC0415

        return run_story(lambda stop: replay_flow(options, stop))
    loaded = load_configuration(services)
    return run_story(lambda stop: _show(loaded, services, options, stop), stopping="stopping; what was seen is kept")


async def _show(loaded: "LoadedSettings", services: ServiceOptions, options: DemoOptions, stop: "asyncio.Event") -> int:
    """Choose the mode, find the services, and hand them to it."""
    from inference_bench.cli.utils.demo_menu import choose_mode  # noqa: PLC0415 - keeps --help fast
    from inference_bench.cli.utils.demo_opening import opened_show  # noqa: PLC0415
    from inference_bench.cli.utils.demo_prompts import check_words  # noqa: PLC0415

    mode = options.wanted_mode or await choose_mode(stop)
    if mode is None:
        return 0
    check_words(mode, options)
    async with opened_show(loaded, services, stop, environ=os.environ) as show:
        module, name = _FLOWS["web" if options.web else mode]
        flow: Flow = getattr(import_module(module), name)
        return await flow(show, loaded.settings, options, stop)
