"""Environment variables that look like settings: the prefix, and names that were meant to set something and do not."""

import re
from collections.abc import Mapping

from inference_bench.config.provenance import KeyPath, Problem, Provenance, Source
from inference_bench.config.schema import all_keys

ENV_PREFIX = "VLLM_BENCHMARK__"
_NEARLY = "VLLM_BENCHMARK_"
_INDEX = re.compile(r"(?<=_)[0-9]+(?=_)")


def misspelt_variables(environ: Mapping[str, str]) -> tuple[dict[str, Problem], list[str]]:
    """Return what is wrong with variables that carry our name and lack our two underscores: problems by variable, and
    remarks.

    One whose words are those of a key (`VLLM_BENCHMARK_SERVICES_NAMESPACE`) was meant to set it: a problem, with the
    right spelling. Any other may be somebody else's (a build's `VLLM_BENCHMARK_IMAGE`): a remark. Values are never
    shown.
    """
    problems: dict[str, Problem] = {}
    remarks: list[str] = []
    spellings = {"_".join(str(part).upper() for part in path): path for path in all_keys() if len(path) > 1}
    for variable in sorted(name for name in environ if name.startswith(_NEARLY)):
        written = variable.removeprefix(_NEARLY)
        if "__" in written.removeprefix("_"):
            continue  # a section and a key: the layers tell whether they exist
        meant = spellings.get(_INDEX.sub("0", written.strip("_")))
        if meant is not None:
            text = f"a section and its key are joined by two underscores; did you mean {_spelt(meant, written)}?"
            problems[variable] = Problem((), text, provenance=Provenance(Source.ENVIRONMENT, variable))
        elif not variable.startswith(ENV_PREFIX):
            remarks.append(f"{variable} sets nothing: a setting is written {ENV_PREFIX}SECTION__KEY")
    return problems, remarks


def _spelt(path: KeyPath, written: str) -> str:
    """Return the variable of a key, with the list index that was written."""
    index = _INDEX.search(written)
    parts = [index.group() if part == 0 and index else str(part).upper() for part in path]
    return ENV_PREFIX + "__".join(parts)
