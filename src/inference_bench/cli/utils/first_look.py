"""What `init --from-discovery` writes into its files: the services that are there now."""

import os
from pathlib import Path

from inference_bench.cli.utils.async_utils import run_story, unless_stopped
from inference_bench.cli.utils.console_utils import note, warn
from inference_bench.cli.utils.known_words import known_words
from inference_bench.config.loader import load_settings
from inference_bench.discovery.saved import endpoints_text
from inference_bench.errors import NoServiceError, UsageError
from inference_bench.orchestration.service_orchestrator import Findings, choose_usable, found_services


def endpoints_found() -> str:
    """Look where `discover` looks, and return the usable services as YAML of `endpoints`. Raises NoServiceError."""
    loaded = load_settings(None, overrides={}, environ=os.environ, cwd=Path.cwd(), known=known_words())

    if loaded.settings.services.simulate:
        raise UsageError("--from-discovery is for services that stay, and services.simulate is on")

    async def look() -> Findings:
        async with found_services(loaded, environ=os.environ, look_around=True) as findings:
            return findings

    findings = run_story(lambda stop: unless_stopped(look(), stop))
    for text in findings.notes if findings.services else ():  # of a search in vain the error says what there is to say
        note(f"Note: {text}")
    usable = choose_usable(findings, loaded.settings.services, skip_unhealthy=True)
    for service in findings.services:
        if service not in usable:
            warn(f"{service.name} is left out: it is {service.health.status}: {service.health.detail}")
    lasting = [service for service in usable if service.stays]
    if not lasting:
        raise NoServiceError("all that was found is reached by a port-forward, and that ends with this command")
    for service in lasting:
        note(f"Found {service.name} at {service.url}")
    return endpoints_text(lasting)
