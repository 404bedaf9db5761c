"""What must stay light: the group's help (a user waits for it) and a measuring worker (its pauses are measured)."""

import json
import sys
from collections.abc import Iterable

import pytest
from house_tree import LAUNCHER, PACKAGE, ROOT, report, run_python

HEAVY_FOR_HELP = {"plotly", "pyarrow", "scipy", "numpy", "pydantic", "httpx"}
HEAVY_FOR_WORKER = {"numpy", "pyarrow", "pydantic", "rich"}

# Run the code, then say which modules it brought along. What the interpreter itself loads at its start (a .pth file of
# an editable installation, say) does not count.
_HEADER = "import json, runpy, sys\nbefore = set(sys.modules)\n"
_FOOTER = "\nsys.stderr.write('\\nMODULES ' + json.dumps(sorted(set(sys.modules) - before)))\n"
_COMMAND = (
    "sys.argv = {argv!r}\ntry:\n    runpy.run_path({launcher!r}, run_name='__main__')\nexcept SystemExit:\n    pass"
)


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running this code."""
    done = run_python("-c", _HEADER + code + _FOOTER)
    assert done.returncode == 0, report(done)
    loaded: list[str] = json.loads(done.stderr.rsplit("MODULES ", 1)[1])
    return {name.partition(".")[0] for name in loaded}


def third_party(modules: Iterable[str]) -> set[str]:
    """Return those that belong neither to the standard library nor to the project."""
    return {
        name for name in modules if name not in sys.stdlib_module_names and name not in {"inference_bench", "runpy"}
    }


def test_the_help_of_the_group_loads_nothing_heavy() -> None:
    loaded = modules_after(_COMMAND.format(argv=["vllm-benchmark", "--help"], launcher=str(LAUNCHER)))
    assert "click" in loaded, "the command did not run at all"
    assert not loaded & HEAVY_FOR_HELP


def test_a_heavy_import_would_be_seen() -> None:
    assert "pydantic" in modules_after("import inference_bench.config.models")


def test_a_worker_loads_the_standard_library_only() -> None:
    loaded = modules_after("import inference_bench.testing.worker")
    assert "inference_bench" in loaded
    assert not loaded & HEAVY_FOR_WORKER
    assert not third_party(loaded)


@pytest.mark.parametrize(
    "package", sorted(".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py"))
)
def test_importing_a_room_alone_loads_nothing_heavy(package: str) -> None:
    # A worker that imports one module of a room imports the room's __init__ as well.
    assert not third_party(modules_after(f"import {package}")), f"{package} under {ROOT.name} is not light"
