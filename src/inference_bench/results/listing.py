"""Which stored runs are meant: a filter over the manifests, and the ways to say "since when"."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from inference_bench.errors import UsageError
from inference_bench.results.folder import Listing, Run, shown_status
from inference_bench.results.manifest import RunStatus

_AGE: Final = re.compile(r"(\d{1,6}) ?([a-z]+)")
_UNITS: Final = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WAYS: Final = "Say a date (2026-01-31, or 2026-01-31T18:00, UTC without an offset) or an age (30m, 12h, 7d, 4w)."


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What a run must be; None (or nothing) where it does not matter.

    `services` are names that all must have taken part, `name` is a part of the run's name or id, whatever its case.
    """

    statuses: tuple[RunStatus, ...] = ()
    services: tuple[str, ...] = ()
    name: str | None = None
    since: datetime | None = None
    simulated: bool | None = None

    def accepts(self, run: Run) -> bool:
        """Say whether a run is meant."""
        manifest = run.manifest
        taking_part = {service.name for service in manifest.services}
        wanted = (self.name or "").casefold()
        return (
            (not self.statuses or shown_status(manifest) in self.statuses)
            and taking_part.issuperset(self.services)
            and (wanted in manifest.name.casefold() or wanted in run.folder.test_id.casefold())
            and (self.since is None or manifest.created >= self.since)
            and (self.simulated is None or manifest.simulated is self.simulated)
        )


def filtered(listing: Listing, wanted: RunFilter) -> Listing:
    """Return the listing with the runs that are meant. Folders that cannot be read stay: nobody knows what they are."""
    return listing._replace(runs=tuple(run for run in listing.runs if wanted.accepts(run)))


def parse_since(text: str, now: datetime) -> datetime:
    """Read a date, a time, or an age before `now`.

    Raises:
        UsageError: it is none of these.
    """
    written = text.strip().lower()
    age = _AGE.fullmatch(written)
    try:
        if age is not None and age[2] in _UNITS:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise UsageError(f"--since cannot read {text!r}", hint=_WAYS) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
