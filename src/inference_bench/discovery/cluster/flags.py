"""What a server was started with, fit to be shown and stored: whatever may be a secret in it is hidden.

A command may be a list of words or a shell's one string, with quotes and scripts around it. Where that leaves doubt,
too much is hidden.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from inference_bench.config.rules import KEY_PREFIXES, looks_secret, secret_word
from inference_bench.discovery.cluster.objects import Container
from inference_bench.discovery.cluster.recognition import after_command

_MOST_FLAGS, _LONGEST_FLAG = 40, 120
_HIDDEN = "…"
_QUOTES = "'\""
# A name and its value in one word: --api-key=x, API_KEY=x, Authorization:x, {"token":"x"}
_NAMED = re.compile(r"(?<![\w-])([\w-]+)[\"']?[=:]")
_KEY_INSIDE = re.compile(rf"(?<=[\"':=,])(?:{'|'.join(re.escape(one.strip()) for one in KEY_PREFIXES)})[^\"',]*")
_USER = re.compile(r"://[^/\s@]+@")
_QUERY = re.compile(r"(://[^\s?]*\?)[^\s\"']+")  # a signed URL's signature stands there
_SCHEMES = ("bearer", "basic")  # of an Authorization header: the word after them is the secret


def start_flags(container: Container) -> list[str]:
    """Return the words after a server's command, secrets hidden, at most forty."""
    words = (part.strip(_QUOTES) for part in _hidden(after_command(tuple(_whole(container.words)))))
    return list(islice((word[:_LONGEST_FLAG] for word in words if word), _MOST_FLAGS))


def masked(text: str) -> str:
    """Return a value without the user of a URL and without well-known keys."""
    if looks_secret(text):
        return _HIDDEN
    return _KEY_INSIDE.sub(_HIDDEN, _USER.sub(f"://{_HIDDEN}@", _QUERY.sub(rf"\1{_HIDDEN}", text)))


def _whole(words: Iterable[str]) -> Iterator[str]:
    """Hide secrets that are words of their own while their ends are known: they may hold blanks."""
    hide = False
    for word in words:
        cut = _cut(word) if not any(blank in word for blank in "\n;|&") else None
        if hide:
            yield _HIDDEN
        elif cut is not None and len(word.split()) > 1 and (word.startswith("-") or ":" in word.split()[0]):
            yield word[:cut].split()[0] + _HIDDEN
        else:
            yield word
        hide = not hide and _is_secret_flag(word)


def _hidden(parts: Iterable[str]) -> Iterator[str]:
    """Hide secrets in a command's parts, split at blanks; a quoted one is hidden to its closing quote."""
    hide, closing = False, ""
    for part in (_QUERY.sub(rf"\1{_HIDDEN}", one) for one in parts):
        bare = part.strip(_QUOTES)
        if closing:
            closing = "" if part.count(closing) % 2 else closing
            continue
        if bare.casefold() in _SCHEMES:
            yield bare
            hide = True
        elif hide:
            yield _HIDDEN
            hide, closing = False, _open_quote(part)
        else:
            cut = _cut(part)
            if cut is None:
                yield masked(part)
                hide = _is_secret_flag(bare)
                continue
            yield part[:cut] + _HIDDEN
            value = part[cut:]
            closing = _open_quote(value) or _open_quote(part)
            hide = not closing and value.strip(_QUOTES).casefold() in ("", *_SCHEMES)


def _cut(part: str) -> int | None:
    """Return where the value of a secret begins in a word, None where there is none."""
    for match in _NAMED.finditer(part):
        if _names_secret(match.group(1)):
            return match.end()
    return None


def _is_secret_flag(word: str) -> bool:
    return word.startswith("-") and not any(char in word for char in "= ") and _names_secret(word)


def _names_secret(name: str) -> bool:
    """Whether a name is that of a secret: `--api-key`, `--hf-token`. `--max-num-batched-tokens` is none."""
    if name.endswith(("tokens", "-keys-file")) or "tokenizer" in name or "-token-" in name:
        return False
    return secret_word(name)


def _open_quote(text: str) -> str:
    """Return the quote that a text opens and does not close."""
    quote = text[:1]
    return quote if quote and quote in _QUOTES and text.count(quote) % 2 else ""
