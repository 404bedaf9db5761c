"""An inspection as files: JSON with everything, or a script of curl commands that asks the same again.

Both are made of values whose secrets are hidden already; the script reads them from the variables they came from.
"""

import json
import shlex
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inference_bench import __version__
from inference_bench.api.protocols import StreamEvent
from inference_bench.config.shipped import write_whole
from inference_bench.errors import UsageError
from inference_bench.orchestration.inspect_orchestrator import Inspection
from inference_bench.visualization.components.payload_values import MASK, Asked, Field, Marks, Piece, Specimen

SCHEMA_VERSION: Final = 1
SCRIPT_SUFFIX: Final = ".curl"
_MS = 1e6
# curl makes these itself, of the URL and of the body.
_MADE_BY_CURL = frozenset({"host", "content-length"})


def save_inspection(path: Path, inspection: Inspection, *, theme: str) -> None:
    """Write the script when the name ends in `.curl`, else the JSON; whole or not at all.

    Raises UsageError when the file cannot be written.
    """
    if path.suffix == SCRIPT_SUFFIX:
        text = curl_script(inspection.specimens)
    else:
        # Escaped beyond JSON's need, so that showing the file tells a terminal nothing.
        text = json.dumps(inspection_data(inspection, theme=theme), indent=1).replace("\x7f", "\\u007f") + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def inspection_data(inspection: Inspection, *, theme: str) -> dict[str, object]:
    """Return everything as plain data; docs/inspect.md names the keys. A value that is missing is null."""
    return {
        "schema_version": SCHEMA_VERSION,
        "program": f"vllm-benchmark {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "simulated": any(specimen.simulated for specimen in inspection.specimens),
        "theme": theme,
        "interrupted": inspection.interrupted,
        "differences": [
            {"aspect": aspect.name, "same": aspect.same, "services": dict(aspect.words)}
            for aspect in inspection.aspects
        ],
        "not_sent": list(inspection.unsent),
        "exchanges": [_exchange(specimen) for specimen in inspection.specimens],
    }


def curl_script(specimens: Sequence[Specimen]) -> str:
    """Return a bash script that sends the same requests with curl, byte by byte.

    A secret is read from its variable, by name and inside bash, so that not even `ps` shows it.
    """
    lines = [
        "#!/usr/bin/env bash",
        f"# The requests that vllm-benchmark {__version__} sent. Run with: bash FILE",
        "set -euo pipefail",
    ]
    variables = {_variable(field) for one in specimens for field in one.asked.fields if field.masked}
    lines += [f': "${{{variable}:?set it to the secret that is sent}}"' for variable in sorted(variables)]
    for specimen in specimens:
        lines += ["", *_command(specimen)]
    return "\n".join(lines) + "\n"


def _command(specimen: Specimen) -> Iterator[str]:
    asked = specimen.asked
    simulated = ", SIMULATED" if specimen.simulated else ""
    yield f"# {specimen.service} ({specimen.dialect}{simulated}): {specimen.purpose_words}"
    # printf is a part of bash: a body of any length passes, which an argument of curl would not.
    yield f"printf '%s' {shlex.quote(asked.body.decode())} |"
    yield f"  curl --silent --show-error --no-buffer --http1.1 --noproxy '*' --request {asked.method} \\"
    yield from _trust(asked)
    for field in asked.fields:
        if field.name.lower() not in _MADE_BY_CURL:
            yield f"  --header {_header(field)} \\"
    # Unless told otherwise curl asks leave before a long body, and waits.
    yield "  --header 'expect:' \\"
    yield "  --data-binary @- \\"
    yield f"  {shlex.quote(asked.url)}"


def _trust(asked: Asked) -> Iterator[str]:
    if asked.ca_file is not None:
        yield f"  --cacert {shlex.quote(asked.ca_file)} \\"
    if asked.insecure:
        yield "  --insecure \\"


def _header(field: Field) -> str:
    if not field.masked:
        return shlex.quote(f"{field.name}: {field.value}")
    form = f"{field.name}: {field.value.replace('%', '%%').replace(MASK, '%s')}\\n"
    return f'@<(printf {shlex.quote(form)} "${_variable(field)}")'


def _variable(field: Field) -> str:
    """Return the variable of a secret; one that came from nowhere known gets a name of its own."""
    return field.variable or "SECRET_" + "".join(char if char.isalnum() else "_" for char in field.name.upper())


def _exchange(specimen: Specimen) -> dict[str, object]:
    outcome = specimen.outcome
    return {
        "service": specimen.service,
        "engine": specimen.engine,
        "dialect": specimen.dialect,
        "product": specimen.product,
        "model": specimen.model,
        "simulated": specimen.simulated,
        "purpose": specimen.purpose,
        "remark": specimen.remark or None,
        "request": {
            "method": specimen.asked.method,
            "url": specimen.asked.url,
            "headers": [_field(field) for field in specimen.asked.fields],
            "body": specimen.asked.body.decode(),
        },
        "response": {
            "status": specimen.status,
            "headers": [_field(field) for field in specimen.headers],
            "body_bytes": len(specimen.body),
            "received_bytes": specimen.bytes_received,
            "repeated_secrets_hidden": specimen.hidden,
            "reads": [_piece(piece) for piece in specimen.pieces],
        },
        "sent_monotonic_ns": specimen.sent_ns or None,
        "connection_reused": specimen.reused,
        "marks_ms": _marks(specimen.marks),
        "merged_reads": specimen.merged_reads,
        "ok": outcome.ok,
        "error": None if outcome.ok else {"class": outcome.error_class, "message": outcome.error_message},
        "finish_reason": outcome.finish_reason,
        "usage": dict(specimen.usage._asdict()),
        "server_times": dict(specimen.server_times._asdict()),
        "ttft_ms": outcome.ttft_ms,
        "e2e_ms": outcome.e2e_ms,
        "tpot_ms": outcome.tpot_ms,
        "connect_ms": outcome.connect_ms,
        "notes": list(specimen.notes),
    }


def _field(field: Field) -> dict[str, object]:
    return {"name": field.name, "value": field.value, "from_env": field.variable}


def _marks(marks: Marks) -> dict[str, float | None]:
    values = {name: getattr(marks, name) for name in Marks.__dataclass_fields__}
    return {name: None if value is None else value / _MS for name, value in values.items()}


def _piece(piece: Piece) -> dict[str, object]:
    return {
        "number": piece.number,
        "at_ms": piece.at_ms,
        "read_ms": piece.read_ns / _MS,
        "bytes": len(piece.data),
        **_content(piece.data),
        "events": [_event(event) for event in piece.events],
    }


def _content(data: bytes) -> dict[str, str]:
    """Return bytes exactly: as text where they are UTF-8, else in base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode("ascii")}


def _event(event: StreamEvent) -> dict[str, object]:
    error = event.error
    return {
        "text": event.text,
        "reasoning": event.reasoning,
        "tokens": event.tokens,
        "finish_reason": event.finish_reason,
        "usage": None if event.usage is None else dict(event.usage._asdict()),
        "server_times": None if event.server_times is None else dict(event.server_times._asdict()),
        "done": event.done,
        "error": None if error is None else {"class": error.error_class.value, "message": error.message},
    }
