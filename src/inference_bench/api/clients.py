"""The registry of engines: a name, and the dialect that speaks to it.

Third parties add an engine by an entry point of the group `inference_bench.engines`: its name is the dialect's name,
its value a class (or a function without arguments) that makes an `EngineClient`. A plug-in is loaded when it is asked
for and not before, so that a broken one disturbs nobody who does not use it.
"""

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from inference_bench.api.dialects.ollama import OllamaChat, OllamaGenerate
from inference_bench.api.dialects.openai import OpenAiChat, OpenAiCompletions
from inference_bench.api.dialects.tgi import TgiChat, TgiNative
from inference_bench.api.dialects.vllm import VllmChat, VllmCompletions
from inference_bench.api.protocols import EngineClient
from inference_bench.errors import UsageError

PLUGIN_GROUP: Final = "inference_bench.engines"

_BUILT_IN: Final[dict[str, EngineClient]] = {
    client.name: client
    for client in (
        VllmChat(),
        VllmCompletions(),
        TgiNative(),
        TgiChat(),
        OllamaChat(),
        OllamaGenerate(),
        OpenAiChat(),
        OpenAiCompletions(),
    )
}
_VALUES: Final = ("name", "engine", "exact_length")
_METHODS: Final = ("render", "decoder", "read_error", "notes")
# What importing and constructing somebody else's class can be expected to raise.
_BREAKAGES: Final = (
    ImportError,
    AttributeError,
    SyntaxError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    RuntimeError,
    AssertionError,
    ArithmeticError,
    OSError,
)


def client_names() -> tuple[str, ...]:
    """Return every name `get_client` knows: the built-in ones, then the plug-ins' in alphabetical order."""
    return (*_BUILT_IN, *sorted(set(_plugins()) - set(_BUILT_IN)))


@cache
def get_client(name: str) -> EngineClient:
    """Return the dialect of that name; one instance serves everybody.

    Raises UsageError for an unknown name, for a name that is registered twice, and for a plug-in that cannot be
    loaded or is no EngineClient.
    """
    points = _plugins().get(name, ())
    if name in _BUILT_IN:
        if points:
            raise UsageError(
                f"the engine name {name!r} is built in, and {_origins(points)} registers it too",
                hint="rename the plug-in's entry point, or uninstall it",
            )
        return _BUILT_IN[name]
    if not points:
        raise _unknown(name)
    if len(points) > 1:
        raise UsageError(
            f"the engine name {name!r} is registered by {_origins(points)}", hint="uninstall all of them but one"
        )
    return _load(points[0])


@cache
def _plugins() -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=PLUGIN_GROUP):
        # A distribution met twice on sys.path registers the same thing twice: that is no conflict.
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def _unknown(name: str) -> UsageError:
    names = client_names()
    close = get_close_matches(name.lower(), names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return UsageError(f"no engine is called {name!r}{guess}", hint=f"known engines: {', '.join(names)}")


def _load(point: EntryPoint) -> EngineClient:
    origin = _origins((point,))
    try:
        client = point.load()()
        missing = [part for part in _VALUES if not hasattr(client, part)]
        missing += [part for part in _METHODS if not callable(getattr(client, part, None))]
    except _BREAKAGES as error:
        raise UsageError(
            f"the engine {point.name!r} of {origin} cannot be loaded: {type(error).__name__}: {error}",
            hint="repair or uninstall this plug-in",
        ) from error
    if missing:
        raise UsageError(
            f"the engine {point.name!r} of {origin} is no EngineClient: it lacks {', '.join(missing)}",
            hint="see inference_bench.api.protocols.EngineClient",
        )
    if client.name != point.name:
        raise UsageError(
            f"the engine {point.name!r} of {origin} calls itself {client.name!r}",
            hint="the entry point and the class must agree on the name",
        )
    checked: EngineClient = client
    return checked


def _origins(points: tuple[EntryPoint, ...]) -> str:
    """Name where plug-ins come from, as the user would uninstall them."""
    return " and ".join(
        f"plug-in {point.dist.name if point.dist is not None else 'of unknown origin'} ({point.value})"
        for point in points
    )
