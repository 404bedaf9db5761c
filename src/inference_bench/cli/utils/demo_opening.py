"""Finding the services of a show, and saying what must be known of them before it begins."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from inference_bench.cli.utils.console_utils import clean, note, warn
from inference_bench.cli.utils.service_options import ServiceOptions
from inference_bench.config.loader import LoadedSettings
from inference_bench.errors import InterruptedRunError, UsageError
from inference_bench.orchestration.demo_orchestrator import MOST_LANES, Show, open_show
from inference_bench.orchestration.service_orchestrator import open_services

SIMULATED = "SIMULATED: these are simulated engines, not real ones"


@asynccontextmanager
async def opened_show(
    loaded: LoadedSettings,
    services: ServiceOptions,
    stop: asyncio.Event,
    *,
    environ: Mapping[str, str],
    most: int | None = MOST_LANES,
) -> AsyncIterator[Show]:
    """Open the services and the measuring process; they live as long as the block. `most`: how many have room.

    Raises NoServiceError, ConfigError, UsageError, InterruptedRunError.
    """
    async with AsyncExitStack() as stack:
        opening = open_services(
            loaded, environ=environ, only=services.service_names, skip_unhealthy=services.skip_unhealthy
        )
        opened = await stack.enter_async_context(opening)
        for text in opened.notes:
            note(f"Note: {clean(text, limit=500)}")
        for service in opened.left_out:
            warn(f"{service.name} is left out: {service.health.status}: {clean(service.health.detail)}")
        if most is not None and len(opened.services) > most:
            raise UsageError(
                f"{len(opened.services)} services are too many to watch; {most} have room",
                hint=f"choose with --service {','.join(one.name for one in opened.services[:most])}",
            )
        if opened.simulated:
            warn(SIMULATED)
        if stop.is_set():
            raise InterruptedRunError("interrupted before anything was shown")
        yield await stack.enter_async_context(open_show(opened, loaded.settings, stop))
