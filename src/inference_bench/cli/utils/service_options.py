"""The options that say which services are meant, the same for every command that reaches services.

They become overrides of the configuration; what they say of services that are still to be found stays with them.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import rich_click as click

from inference_bench.cli.utils.console_utils import note
from inference_bench.errors import UsageError

if TYPE_CHECKING:
    from inference_bench.config.loader import LoadedSettings

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_URL_OPTION = re.compile(r"(?P<engine>[^=:/]+)(?:/(?P<name>[^=:/]*))?=(?P<url>.*)", re.DOTALL)
_NAME_RULE = "lower-case letters, digits and hyphens, starting with a letter or a digit"


@dataclass(frozen=True, slots=True)
class NamedUrl:
    """One --url: a base URL, with the engine and the service's own name where they were given."""

    url: str
    engine: str | None = None
    name: str | None = None

    def endpoint(self) -> dict[str, object]:
        """Return it as an item of `services.endpoints`."""
        given = {"name": self.name, "engine": self.engine, "url": self.url}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the command line says of services. In `models` and `api_key_envs` the service None means every one."""

    config: Path | None = None
    urls: tuple[NamedUrl, ...] = ()
    service_names: tuple[str, ...] = ()
    models: tuple[tuple[str | None, str], ...] = ()
    api_key_envs: tuple[tuple[str | None, str], ...] = ()
    simulate: bool = False
    skip_unhealthy: bool = False
    namespace: str | None = None
    context: str | None = None
    port_forward: bool = False

    def overrides(self) -> dict[str, object]:
        """Return the configuration values they stand for, by dotted key (see `config.layers.add_overrides`)."""
        values: dict[str, object] = {}
        if self.simulate:
            values["services.simulate"] = True
        values |= self._cluster_overrides()
        if self.urls:
            values["services.endpoints"] = [url.endpoint() for url in self.urls]
        for service, model in sorted(self.models, key=lambda pair: pair[0] or ""):
            if service is None:
                # The whole run's model; what the file said of single services gives way to the command line.
                values["benchmark.model"] = model
                values["services.endpoints.*.model"] = None
            else:
                values[f"services.endpoints.@{service}.model"] = model
        for service, variable in sorted(self.api_key_envs, key=lambda pair: pair[0] or ""):
            values[f"services.endpoints.{'*' if service is None else f'@{service}'}.api_key_env"] = variable
        return values

    def _cluster_overrides(self) -> dict[str, object]:
        given = {"namespace": self.namespace, "context": self.context, "port_forward": self.port_forward or None}
        values: dict[str, object] = {f"services.{key}": value for key, value in given.items() if value is not None}
        if self.namespace is not None or self.context is not None:
            values["services.discovery"] = True  # what was asked for in words
        return values


def service_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add the common options to a command, which gets them as one keyword argument `services: ServiceOptions`."""

    @wraps(command)
    def with_services(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {name: kwargs.pop(name) for name in _GIVEN}
        flags = {name: bool(kwargs.pop(name)) for name in ("simulate", "skip_unhealthy", "port_forward")}
        kwargs["services"] = _parse(given, **flags)
        return command(*args, **kwargs)

    decorated: Callable[..., R] = with_services
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def load_configuration(
    services: ServiceOptions, *, quick: bool = False, overrides: Mapping[str, object] | None = None
) -> "LoadedSettings":
    """Load the configuration for a command, and say on stderr which one it is.

    `overrides` are the command's own values by dotted key. Raises UsageError and ConfigError.
    """
    from inference_bench.cli.utils.known_words import known_words  # noqa: PLC0415 - keeps --help fast
    from inference_bench.config.loader import load_settings  # noqa: PLC0415

    loaded = load_settings(
        services.config,
        quick=quick,
        overrides={**services.overrides(), **(overrides or {})},
        environ=os.environ,
        cwd=Path.cwd(),
        known=known_words(),
    )
    asked = services.namespace is not None or services.context is not None
    if asked and loaded.settings.services.simulate:
        hint = "turn it off (VLLM_BENCHMARK__SERVICES__SIMULATE=false), or leave out --namespace and --context"
        raise UsageError(f"services.simulate is on ({loaded.source}): no cluster is searched", hint=hint)
    note(f"Configuration: {loaded.source}")
    for remark in loaded.remarks:
        note(f"Note: {remark}")
    return loaded


def parse_url(text: str, engines: Collection[str]) -> NamedUrl:
    """Read `[ENGINE[/NAME]=]URL`. Raises UsageError, never repeating a URL that may hold a password."""
    from inference_bench.config.rules import url_problem  # noqa: PLC0415
    from inference_bench.config.schema import closest  # noqa: PLC0415

    match = _URL_OPTION.fullmatch(text.strip())
    engine, name, url = (None, None, text.strip()) if match is None else match.group("engine", "name", "url")
    problem = url_problem(url if "://" in url else f"http://{url}")
    if problem is not None:
        raise UsageError(f"--url: the URL {problem}", hint="for example --url vllm=http://localhost:8000")
    if engine is None:
        return NamedUrl(url)
    if engine not in engines:
        near = closest(engine, engines)
        meant = f"; did you mean {near}?" if near is not None else ""
        raise UsageError(f"--url: there is no engine {engine!r}{meant}", hint=f"engines: {', '.join(engines)}")
    if name is None:
        return NamedUrl(url, engine)
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"--url {engine}/…: the name after the slash must be {_NAME_RULE}")
    return NamedUrl(url, engine, f"{engine}-{name}")


def parse_for_service(text: str, option: str) -> tuple[str | None, str]:
    """Read `[SERVICE=]VALUE`. Raises UsageError."""
    service, equals, value = text.partition("=")
    pair = (service.strip(), value.strip()) if equals else (None, text.strip())
    if pair[0] is not None and _NAME.fullmatch(pair[0]) is None:
        raise UsageError(f"{option}: a service's name must be {_NAME_RULE}")
    if not pair[1]:
        raise UsageError(f"{option} needs a value: [SERVICE=]VALUE")
    return pair


def _parse(given: Mapping[str, object], *, simulate: bool, skip_unhealthy: bool, port_forward: bool) -> ServiceOptions:
    urls = _urls(_texts(given["urls"]))
    if simulate and urls:
        raise UsageError("--simulate and --url exclude each other: simulated engines have addresses of their own")
    namespace, context = (_words(given[name], f"--{name}") for name in ("namespace", "context"))
    if simulate and (namespace is not None or context is not None or port_forward):
        raise UsageError("--simulate searches no cluster: leave out --namespace, --context and --port-forward")
    variables = _one_each(_texts(given["api_key_env"]), "--api-key-env")
    if variables:
        _check_variables(variable for _, variable in variables)
    config = given["config_file"]
    return ServiceOptions(
        config=config if isinstance(config, Path) else None,
        urls=urls,
        service_names=_names(_texts(given["service"])),
        models=_one_each(_texts(given["model"]), "--model"),
        api_key_envs=variables,
        simulate=simulate,
        skip_unhealthy=skip_unhealthy,
        namespace=namespace,
        context=context,
        port_forward=port_forward,
    )


def _words(value: object, option: str) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    if not text:
        raise UsageError(f"{option} is empty")
    return text


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(text) for text in value) if isinstance(value, tuple) else ()


def _urls(texts: tuple[str, ...]) -> tuple[NamedUrl, ...]:
    if not texts:
        return ()
    from inference_bench.api.clients import client_names  # noqa: PLC0415

    urls = tuple(parse_url(text, client_names()) for text in texts)
    taken: set[str] = set()
    for service, engine in ((url.name or url.engine, url.engine) for url in urls):
        if service is not None and service in taken:
            hint = f"name them: --url {engine}/blue=URL --url {engine}/green=URL"
            raise UsageError(f"--url: two services would be called {service}", hint=hint)
        taken.update([service] if service is not None else [])
    return urls


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",")))
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"--service: a service's name must be {_NAME_RULE}")
    return names


def _one_each(texts: tuple[str, ...], option: str) -> tuple[tuple[str | None, str], ...]:
    pairs = tuple(parse_for_service(text, option) for text in texts)
    services = [service for service, _ in pairs]
    repeated = next((service for service in services if services.count(service) > 1), "")
    if repeated != "":
        raise UsageError(f"{option} is given twice for {repeated or 'every service'}")
    return pairs


def _check_variables(variables: Iterable[str]) -> None:
    from pydantic_core import PydanticCustomError  # noqa: PLC0415

    from inference_bench.config.rules import env_name  # noqa: PLC0415

    for variable in variables:
        try:
            env_name(variable)
        except PydanticCustomError as error:
            raise UsageError(f"--api-key-env {error}") from None


_GIVEN = ("config_file", "urls", "service", "model", "api_key_env", "namespace", "context")
_OPTIONS = (
    click.option(
        "-c", "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="The configuration file."
    ),
    click.option(
        "-n", "--namespace", metavar="NAME", help="Search this namespace of a Kubernetes cluster; '*' searches all."
    ),
    click.option("--context", metavar="NAME", help="The kubeconfig's context: which cluster; else its current one."),
    click.option(
        "--port-forward",
        is_flag=True,
        help="Reach services of the cluster that no URL leads to through its API server.",
    ),
    click.option(
        "--url",
        "urls",
        multiple=True,
        metavar="[ENGINE[/NAME]=]URL",
        help="A service's base URL; may be repeated. Without ENGINE the service is probed; vllm/blue=URL names it "
        "vllm-blue.",
    ),
    click.option(
        "--service", multiple=True, metavar="NAME,...", help="Only these of the services that are configured or found."
    ),
    click.option(
        "--model", multiple=True, metavar="[SERVICE=]NAME", help="The model to ask for, of every service or of one."
    ),
    click.option(
        "--api-key-env",
        multiple=True,
        metavar="[SERVICE=]VAR",
        help="The environment variable that holds the API key, for every service or for one.",
    ),
    click.option(
        "--simulate", "--mock", "simulate", is_flag=True, help="Use embedded simulated engines; all results say so."
    ),
    click.option("--skip-unhealthy", is_flag=True, help="Go on without named services that are down."),
)
