"""Found services as a configuration file that `benchmark -c` runs. Names of secrets go into it, secrets never do."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from inference_bench.discovery.services import FoundService, model_to_send

_HEADER = """\
# Services found by `vllm-benchmark discover`. Every other setting keeps its built-in default;
# `vllm-benchmark config FILE` shows them all, `vllm-benchmark benchmark -c FILE` measures these services.
"""


def configuration_text(services: Sequence[FoundService]) -> str:
    """Return the YAML text of a configuration that names these services. Each must have a dialect."""
    endpoints = [_endpoint(service) for service in services]
    body = yaml.safe_dump(
        {"services": {"endpoints": endpoints}}, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return _HEADER + body


def endpoints_text(services: Sequence[FoundService]) -> str:
    """Return the YAML text of the key `endpoints` alone, to be put into a file that has other settings."""
    endpoints = [_endpoint(service) for service in services]
    return yaml.safe_dump({"endpoints": endpoints}, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _endpoint(service: FoundService) -> dict[str, object]:
    settings = service.endpoint
    given: dict[str, object] = {
        "name": service.name,
        "engine": service.dialect,
        "url": settings.url,
        "model": model_to_send(service),
        "api_key_env": settings.api_key_env,
        # The saved file may be read from another folder.
        "ca_file": str(Path(settings.ca_file).absolute()) if settings.ca_file is not None else None,
        "insecure_skip_verify": settings.insecure_skip_verify or None,
        "headers": dict(settings.headers) or None,
    }
    return {key: value for key, value in given.items() if value is not None}
