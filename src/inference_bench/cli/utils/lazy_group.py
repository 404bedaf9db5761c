"""A command group that imports a command's module only when that command is called; its help imports none."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import rich_click as click

from inference_bench.cli.utils.console_utils import display


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is defined, and its one-line help (a test holds it against the command's own)."""

    module: str
    attribute: str
    short_help: str

    def load(self) -> click.Command:
        """Import and return the command, with the global options added."""
        command = getattr(import_module(self.module), self.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.module}.{self.attribute} is not a command")
        _accept_global_options(command)
        return command


class LazyGroup(click.RichGroup):
    """A group over LazyCommands. `get_command` answers with a stand-in, enough for help and completion."""

    lazy_commands: dict[str, LazyCommand]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands' names, in alphabetical order."""
        return sorted(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a stand-in that has the command's name and short help."""
        lazy = self.lazy_commands.get(cmd_name)
        return click.RichCommand(name=cmd_name, help=lazy.short_help) if lazy is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the command that is called. A name that does not exist is a usage error with a suggestion."""
        name = args[0]
        lazy = self.lazy_commands.get(name)
        if lazy is None:
            if name.startswith("-"):
                return super().resolve_command(ctx, args)
            near = get_close_matches(name.lower(), self.list_commands(ctx), n=1)
            meant = f"did you mean {near[0]}?" if near else f"commands: {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"there is no command {name!r}; {meant}")
        return name, lazy.load(), args[1:]


def global_options(command: click.Command) -> click.Command:
    """Add --verbose, --quiet and --no-color, shown in the help."""
    command.params += [option(hidden=False) for option in _GLOBAL_OPTIONS]
    return command


def _accept_global_options(command: click.Command) -> None:
    """Let the global options stand behind the command too, where people write them; the group's help shows them."""
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params += [made for option in _GLOBAL_OPTIONS if not taken & set((made := option(hidden=True)).opts)]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _accept_global_options(below)


def _option(*names: str, help_text: str, apply: Callable[[click.Context], None]) -> Callable[..., click.Option]:
    def callback(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            apply(context)

    def make(*, hidden: bool) -> click.Option:
        return click.Option(
            names, is_flag=True, is_eager=True, expose_value=False, hidden=hidden, callback=callback, help=help_text
        )

    return make


def _be_verbose(_context: click.Context) -> None:
    display.verbose = True


def _be_quiet(_context: click.Context) -> None:
    display.quiet = True


def _be_plain(context: click.Context) -> None:
    display.no_color = True
    if isinstance(context, click.RichContext):  # the help is drawn by rich-click, with consoles of its own
        context.help_config.color_system = None


_GLOBAL_OPTIONS = (
    _option("--verbose", help_text="Say more, and show the traceback of an unexpected error.", apply=_be_verbose),
    _option("--quiet", help_text="No progress and no notes; results and errors only.", apply=_be_quiet),
    _option("--no-color", help_text="No colours (the variable NO_COLOR does the same).", apply=_be_plain),
)
