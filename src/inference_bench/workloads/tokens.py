"""Who counts tokens: a server's own /tokenize, or a local tokenizer file. Asking a server lives in `api.tokenize`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from inference_bench.errors import ConfigError

_KEY = "workload.tokenizer"
_BATCH = 256


class TokenCounter(Protocol):
    """Counts the tokens of texts, without the special tokens that a chat template or a tokenizer would add."""

    @property
    def source(self) -> str:
        """Who counts, in a few words: `vllm's /tokenize`, `tokenizer.json`."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, in the order of `texts`. ConfigError when that cannot be told."""


class FileTokenCounter:
    """Counts with a tokenizer file in the format of the Hugging Face library `tokenizers`.

    Raises ConfigError when the library is not installed, or the file cannot be read as a tokenizer.
    """

    def __init__(self, path: Path) -> None:
        self.source = path.name if path.name.isprintable() else repr(path.name)
        self._tokenizer = _load(path)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        counts: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer.encode_batch(list(texts[start : start + _BATCH]), add_special_tokens=False)
            counts += [len(one.ids) for one in batch]
        return counts


def _load(path: Path) -> Any:  # the library's own class, which is not there without the extra
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            f"{_KEY}: the library that reads tokenizer files is not installed",
            key=_KEY,
            hint="pip install 'vllm-benchmark[tokenizers]', or leave the key out: servers count too",
        ) from None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, f"cannot read the tokenizer file: {error.strerror or error}") from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:
        raise _unreadable(path, "this is no tokenizer.json of the library tokenizers") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _unreadable(path: Path, problem: str) -> ConfigError:
    where = str(path) if str(path).isprintable() else repr(str(path))
    return ConfigError(f"{where}: {problem}", file=path, key=_KEY, hint="give the tokenizer.json of the model")
