"""What a service that will be measured is asked further, once it is known which model it is to serve."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_bench.api.further_facts import ask_further
from inference_bench.api.probe_http import ProbeLimits, Prober
from inference_bench.discovery.services import FoundService, to_probe_target

# Facts are worth a moment and no more: what is not told by then is not told.
_LIMITS = ProbeLimits(connect_seconds=2.0, total_seconds=3.0)


async def learn_facts(services: Sequence[FoundService], environ: Mapping[str, str]) -> tuple[FoundService, ...]:
    """Return the services with all that they tell of themselves, in the same order; all are asked at the same time.

    Raises ConfigError when a named secret is missing, and for nothing a server does.
    """
    return tuple(await asyncio.gather(*(_learn(service, environ) for service in services)))


async def _learn(service: FoundService, environ: Mapping[str, str]) -> FoundService:
    if service.identity is None:
        return service
    async with Prober(to_probe_target(service.endpoint, environ), _LIMITS) as prober:
        return replace(service, identity=await ask_further(prober, service.identity, service.model))
