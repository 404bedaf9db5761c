"""The commands `config` (what is in force, and who said so) and `init` (files to start from)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import fits, note, out, print_json, table
from inference_bench.cli.utils.help_text import examples
from inference_bench.errors import UsageError

if TYPE_CHECKING:
    from inference_bench.config.loader import LoadedSettings


@click.command(
    short_help="Show the effective configuration and where each value came from.",
    epilog=examples(
        "vllm-benchmark config",
        "vllm-benchmark config config/stress-test.yaml",
        "vllm-benchmark config --check my.yaml",
        "vllm-benchmark config --schema > schema.json",
    ),
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the configuration file instead.")
@click.option("--check", is_flag=True, help="Only say whether the configuration is right; exit code 2 if it is not.")
def config(file: Path | None, *, schema: bool, check: bool) -> None:
    """Show the effective configuration and where each value came from.

    FILE is the configuration file; without it, config/default.yaml here, else the built-in defaults. Environment
    variables (VLLM_BENCHMARK__SECTION__KEY) lie over it.
    """
    if schema:
        if check or file is not None:
            raise UsageError("--schema stands alone: it is the same for every file")
        from inference_bench.config.json_schema import json_schema  # noqa: PLC0415 - keeps --help fast

        print_json(json_schema())
        return
    from inference_bench.cli.utils.known_words import known_words  # noqa: PLC0415
    from inference_bench.config.loader import load_settings  # noqa: PLC0415

    loaded = load_settings(file, overrides={}, environ=os.environ, cwd=Path.cwd(), known=known_words())
    for remark in loaded.remarks:
        note(f"Note: {remark}")
    if check:
        out().print(f"{loaded.source}: the configuration is right", markup=False, soft_wrap=True)
        return
    note(f"Configuration: {loaded.source}")
    _show(loaded)


@click.command(
    short_help="Write commented configuration files to start from.",
    epilog=examples(
        "vllm-benchmark init",
        "vllm-benchmark init trial",
        "vllm-benchmark init --force",
        "vllm-benchmark init --from-discovery",
    ),
)
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--from-discovery", is_flag=True, help="Name the services in them that `discover` finds now.")
def init(directory: Path, *, force: bool, from_discovery: bool) -> None:
    """Write commented configuration files to start from.

    They are DIR/config/default.yaml, quick-test.yaml and stress-test.yaml; DIR is the current directory if not given.
    Commands that run in DIR find default.yaml by themselves, and quick-test.yaml with --quick.
    """
    from inference_bench.config.shipped import write_shipped  # noqa: PLC0415

    endpoints = ""
    if from_discovery:
        from inference_bench.cli.utils.first_look import endpoints_found  # noqa: PLC0415

        endpoints = endpoints_found()
    for path in write_shipped(directory, force=force, endpoints=endpoints):
        out().print(str(path), markup=False, soft_wrap=True)
    note("Next: vllm-benchmark config shows what is in force, vllm-benchmark benchmark runs it.")


def _show(loaded: "LoadedSettings") -> None:
    """Print every effective value with its origin, under the section it stands in."""
    from rich.text import Text  # noqa: PLC0415

    from inference_bench.config.loader import flat_values, redacted_config  # noqa: PLC0415
    from inference_bench.config.provenance import dotted  # noqa: PLC0415

    shown = table("key", "value", "from")
    shown.columns[0].no_wrap = True
    values: dict[str, str] = {}
    section: tuple[str | int, ...] | None = None
    for path, value in flat_values(redacted_config(loaded.settings)).items():
        if path[:-1] != section:
            section = path[:-1]
            if len(path) > 1:
                shown.add_row(Text(dotted(section), style="bold"))
        written = Text(_value(value))
        values[dotted(path)] = _value(value)
        indent = "  " if len(path) > 1 else ""
        shown.add_row(Text(f"{indent}{path[-1]}"), written, Text(str(loaded.provenance[dotted(path)])))
    console = out()
    console.print(shown)
    if fits(shown):
        return
    # Addresses and paths are copied from here: those that the narrow column has cut stand whole below it.
    for key, value in values.items():
        if max(map(len, value.split()), default=0) > console.width // 3:
            console.print(Text.assemble((key, "bold"), f"  {value}"), soft_wrap=True)


def _value(value: object) -> str:
    """Return a value as a configuration file would write it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return "{}"
    return "[]" if isinstance(value, list) else str(value)
