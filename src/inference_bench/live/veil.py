"""Keeps a secret that a server repeats off screens and out of files, although its text comes in pieces."""

from collections.abc import Sequence

UNSEEN = 3  # characters of a secret that may show before the rest of it has come: fewer say nothing
_HIDE = "*"


class Veil:
    """Hides secrets in one stream of text.

    What may be the beginning of one is held back until the next piece tells, and not shown when none comes.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret for secret in secrets if len(secret) > UNSEEN]
        self._shown = ""  # the last few characters that were passed on
        self._held = ""

    def over(self, text: str) -> str:
        """Return what may be shown now, asterisks in the place of secrets."""
        if not self._secrets:
            return text
        window = self._shown + self._held + text
        for secret in self._secrets:
            window = window.replace(secret, _HIDE * len(secret))
        fresh = window[len(self._shown) :]
        kept = min(len(fresh), max(_begun(window, secret) for secret in self._secrets))
        self._held = fresh[len(fresh) - kept :]
        passed = fresh[: len(fresh) - kept]
        self._shown = (self._shown + passed)[-UNSEEN:]
        return passed


def _begun(text: str, secret: str) -> int:
    """Return how many characters at the end of `text` may be a secret's beginning; 0 when too few to say anything."""
    longest = min(len(text), len(secret) - 1)
    return next((size for size in range(longest, UNSEEN, -1) if text.endswith(secret[:size])), 0)
