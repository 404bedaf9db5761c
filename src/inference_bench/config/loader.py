"""Loads the configuration: chooses the file, lays the layers over each other, validates, and remembers who said what.

The only module here that reads the user's files. Messages are made in `problems`, layers in `layers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from inference_bench.config.layers import add_environment, add_file, add_overrides, built_in
from inference_bench.config.models import Settings
from inference_bench.config.problems import config_error, problems_of
from inference_bench.config.provenance import BUILT_IN, KeyPath, Problem, Provenance, Source, dotted
from inference_bench.config.shipped import shipped_text
from inference_bench.config.vocabulary import Vocabulary, unknown_words
from inference_bench.config.yaml_source import MAX_BYTES, parse_yaml
from inference_bench.errors import ConfigError, UsageError

DEFAULT_FILE = Path("config", "default.yaml")
QUICK_FILE = Path("config", "quick-test.yaml")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, the file they were chosen from, and the origin of every value by dotted key.

    `by_service` holds what the command line said of services by name (or `*`, all), some of which may still have to
    be found: `{"ollama": {"model": "qwen2.5:7b"}}`. Endpoints of `settings` have it already; whoever finds further
    services asks `service_values`, and refuses names that nobody has.
    """

    settings: Settings
    source: str
    provenance: Mapping[str, Provenance]
    by_service: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def service_values(self, name: str) -> dict[str, object]:
        """Return what the command line said of a service: keys `model` and `api_key_env`, where given."""
        return {**self.by_service.get("*", {}), **self.by_service.get(name, {})}


def load_settings(
    path: Path | None,
    *,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
    quick: bool = False,
    known: Vocabulary | None = None,
) -> LoadedSettings:
    """Load the effective settings.

    `path` is the file asked for (relative to `cwd`); without one, `config/default.yaml` in `cwd`, else the built-in
    defaults; `quick` takes `config/quick-test.yaml` in `cwd`, else the packaged one. `overrides` are the command
    line's values by dotted key (see `layers.add_overrides`). `known` tells which engines and metrics exist, checked
    where given. Raises UsageError for `quick` with a path, and ConfigError that tells every problem at once.
    """
    if quick and path is not None:
        raise UsageError("--quick and -c/--config exclude each other: --quick is a configuration of its own")
    name, data = _choose(path, quick=quick, cwd=cwd)
    layers = built_in()
    if data is not None:
        add_file(layers, parse_yaml(data), name)
    add_environment(layers, environ)
    add_overrides(layers, overrides)
    problems = list(layers.problems)
    told = {(problem.path, problem.provenance) for problem in problems}
    known = known or Vocabulary()
    settings, found = _validated(layers.values, layers.origins, known)
    for endpoints, origins in layers.displaced:
        found += _validated({"services": {"endpoints": endpoints}}, origins, known)[1]
    problems += [problem for problem in found if (problem.path, problem.provenance) not in told]
    if problems or settings is None:
        raise config_error(problems)
    provenance = _provenance(settings, layers.origins)
    remarks = (*layers.remarks, *_lengths_without_effect(settings, provenance))
    return LoadedSettings(settings, name, provenance, layers.by_service, remarks)


def _lengths_without_effect(settings: Settings, provenance: Mapping[str, Provenance]) -> list[str]:
    """Say where a length was asked for over the files, and the work brings output lengths of its own."""
    tests: list[str] = []
    for place, test in enumerate(settings.load_tests):
        work = test.workload or settings.workload
        of_its_own = work.kind in ("trace", "sharegpt") or work.output_tokens is not None
        asked = provenance[dotted(("load_tests", place, "max_tokens"))].source
        if of_its_own and asked in (Source.ENVIRONMENT, Source.COMMAND_LINE):
            tests.append(test.name)
    if not tests:
        return []
    return [f"max_tokens changes nothing in {', '.join(tests)}: the workload brings output lengths of its own"]


def _validated(
    values: Mapping[str, object], origins: Mapping[KeyPath, Provenance], known: Vocabulary
) -> tuple[Settings | None, list[Problem]]:
    """Return the settings, None when a model refuses them, and every problem with them."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        return None, problems_of(error, origins)
    return settings, unknown_words(settings, known, origins)


def redacted_config(settings: Settings) -> dict[str, object]:
    """Return the settings as plain JSON values fit for files and screens: header values are masked, names stay.

    A value written as env:VARIABLE names its source and is kept; no other secret can be in a validated configuration.
    """
    plain: dict[str, object] = settings.model_dump(mode="json")
    for position, endpoint in enumerate(settings.services.endpoints):
        masked = {header: value if value.startswith("env:") else "***" for header, value in endpoint.headers.items()}
        plain["services"]["endpoints"][position]["headers"] = masked  # type: ignore[index]
    return plain


def flat_values(value: object, path: KeyPath = ()) -> dict[KeyPath, object]:
    """Return every value of nested plain data by its path; an empty list or section is a value itself."""
    if isinstance(value, Mapping) and value:
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and value:
        pairs = list(enumerate(value))
    else:
        return {path: value}
    return {key: inner for part, item in pairs for key, inner in flat_values(item, (*path, part)).items()}


def _choose(path: Path | None, *, quick: bool, cwd: Path) -> tuple[str, bytes | None]:
    """Return the chosen file's name, as it is printed, and its bytes; None for the built-in defaults."""
    if path is not None:
        return str(path), _read(cwd / path, str(path))
    local = QUICK_FILE if quick else DEFAULT_FILE
    if (cwd / local).exists():
        return str(local), _read(cwd / local, str(local))
    if quick:
        return f"packaged {QUICK_FILE.name}", shipped_text(QUICK_FILE.name).encode()
    return "built-in defaults", None


def _read(file: Path, name: str) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "vllm-benchmark init writes commented files to start from"
        raise ConfigError(f"there is no configuration file {name}", file=file, hint=hint) from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {name}: {error.strerror}", file=file) from error


def _provenance(settings: Settings, origins: Mapping[KeyPath, Provenance]) -> dict[str, Provenance]:
    """Return the origin of every effective value; a value in a list item that nobody wrote is built-in.

    A length that was written as a number is kept as a section whose mean it is.
    """
    values = flat_values(settings.model_dump())
    numbers = {
        path: origins.get(path[:-1]) for path, value in values.items() if path[-1] == "mean" and value is not None
    }
    return {dotted(path): origins.get(path) or numbers.get(path) or BUILT_IN for path in values}
