"""Found services and their answers, as tables for people and as plain data with stable keys for programs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inference_bench.cli.utils.cluster_views import cluster_data, cluster_lines, seeming_product
from inference_bench.cli.utils.console_utils import clean, fits, foreign, table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from inference_bench.api.unified_client import Answer
    from inference_bench.discovery.services import FoundService

SCHEMA_VERSION = 1
_HEALTH_STYLES = {
    "healthy": "green",
    "responding": "yellow",
    "unhealthy": "red",
    "unauthorised": "red",
    "unreachable": "red",
}
_LINE_CHARACTERS = 300
_URL_CHARACTERS = 2000


def services_table(services: Sequence["FoundService"]) -> "Table":
    """Return the table of `discover`, a line for each service; without URLs where they have no room."""
    whole = _services_table(services, urls=True)
    return whole if fits(whole) else _services_table(services, urls=False)


def _services_table(services: Sequence["FoundService"], *, urls: bool) -> "Table":
    shown = table("service", "engine", *(["URL"] if urls else []), "model", "health", "ms", right=("ms",))
    _keep_whole(shown, "service", "URL", "health", "ms")
    for service in services:
        shown.add_row(
            foreign(service.name),
            foreign(_engine(service)),
            *([foreign(service.url, limit=_URL_CHARACTERS)] if urls else []),
            foreign(service.model or "-"),
            foreign(service.health.status.value, style=_HEALTH_STYLES[service.health.status.value]),
            _milliseconds(service.health.elapsed_ms),
        )
    return shown


def services_lines(services: Sequence["FoundService"]) -> "list[Text]":
    """Return what stands below the table: URLs that do not fit in it, why a service is not healthy, its notes."""
    lines = []
    if not fits(_services_table(services, urls=True)):
        lines += [foreign(f"{service.name}: {service.url}", limit=_URL_CHARACTERS) for service in services]
    for service in services:
        healthy = service.health.status == "healthy"
        told = [*cluster_lines(service), *(() if healthy else (service.health.detail,)), *service.notes]
        lines += [foreign(f"{service.name}: {text}", limit=_LINE_CHARACTERS) for text in told]
    return lines


def services_data(services: Sequence["FoundService"], notes: Sequence[str] = ()) -> dict[str, object]:
    """Return what `discover --json` prints; a value that was not told is null.

    Keys: schema_version, simulated, usable (count), notes (on the search), services: [{name, engine, dialect, product,
    version, url, reached_by, reached_through, model, models, context_length, quantisation, dtype, parameter_size,
    slots, max_concurrent_requests, health, detail, elapsed_ms, attempts, usable, simulated, source, notes, evidence,
    cluster: {product, certain, evidence, state, facts, sources} or null}].
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "simulated": any(service.simulated for service in services),
        "usable": sum(service.usable for service in services),
        "notes": list(notes),
        "services": [_service_data(service) for service in services],
    }


def answers_table(services: Sequence["FoundService"], answers: Mapping[str, "Answer"]) -> "Table":
    """Return the table of `test`, a line for each service that was asked."""
    numbers = ("TTFT ms", "tok/s", "E2E ms", "in", "out")
    shown = table("service", "model", "result", *numbers, right=numbers)
    _keep_whole(shown, "service", "result", *numbers)
    for service in services:
        answer = answers[service.name]
        result = "ok" if answer.error is None else answer.error.error_class.value
        shown.add_row(
            foreign(service.name),
            foreign(_marked(service.model or "-", answer.simulated or service.simulated)),
            foreign(result, style="green" if answer.ok else "red"),
            _milliseconds(answer.ttft_ms),
            _milliseconds(_tokens_per_second(answer)),
            _milliseconds(answer.e2e_ms),
            _count(answer.usage.prompt_tokens),
            _count(answer.usage.output_tokens),
        )
    return shown


def answers_lines(services: Sequence["FoundService"], answers: Mapping[str, "Answer"]) -> "list[Text]":
    """Return what stands below the table: the beginning of each answer, or what went wrong."""
    lines = []
    for service in services:
        answer = answers[service.name]
        told = _preview(answer) if answer.error is None else answer.error.message
        lines.append(foreign(f"{service.name}: {told}", limit=_LINE_CHARACTERS))
    return lines


def answers_data(
    services: Sequence["FoundService"], answers: Mapping[str, "Answer"], *, prompt: str, max_tokens: int
) -> dict[str, object]:
    """Return what `test --json` prints; a value that is missing is null.

    Keys: schema_version, simulated, prompt, max_tokens, services: [{name, engine, dialect, model, url, ok, error:
    {class, message} or null, http_status, finish_reason, text, reasoning, ttft_ms, tpot_ms, e2e_ms, connect_ms,
    output_tokens_per_s, prompt_tokens, output_tokens, token_source, text_chunks, simulated, notes}].
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "simulated": any(answers[service.name].simulated or service.simulated for service in services),
        "prompt": prompt,
        "max_tokens": max_tokens,
        "services": [_answer_data(service, answers[service.name]) for service in services],
    }


def _service_data(service: "FoundService") -> dict[str, object]:
    identity = service.identity
    facts = identity.facts_of(service.model) if identity is not None else None
    return {
        "name": service.name,
        "engine": service.engine,
        "dialect": service.dialect,
        "product": identity.product if identity is not None else None,
        "version": identity.version if identity is not None else None,
        "url": service.url,
        "reached_by": service.way.rule.value if service.way is not None else None,
        "reached_through": service.way.through if service.way is not None else None,
        "model": service.model,
        "models": list(identity.model_names) if identity is not None else [],
        "context_length": facts.context_length if facts is not None else None,
        "quantisation": facts.quantisation if facts is not None else None,
        "dtype": facts.dtype if facts is not None else None,
        "parameter_size": facts.parameter_size if facts is not None else None,
        "slots": identity.slots if identity is not None else None,
        "max_concurrent_requests": identity.max_concurrent_requests if identity is not None else None,
        "health": service.health.status.value,
        "detail": service.health.detail,
        "elapsed_ms": service.health.elapsed_ms,
        "attempts": service.health.attempts,
        "usable": service.usable,
        "simulated": service.simulated,
        "source": service.source,
        "notes": list(service.notes),
        "evidence": list(identity.evidence) if identity is not None else [],
        "cluster": cluster_data(service.cluster),
    }


def _answer_data(service: "FoundService", answer: "Answer") -> dict[str, object]:
    error = answer.error
    return {
        "name": service.name,
        "engine": service.engine,
        "dialect": service.dialect,
        "model": service.model,
        "url": service.url,
        "ok": answer.ok,
        "error": None if error is None else {"class": error.error_class.value, "message": clean(error.message)},
        "http_status": answer.http_status,
        "finish_reason": answer.finish_reason,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "ttft_ms": answer.ttft_ms,
        "tpot_ms": answer.tpot_ms,
        "e2e_ms": answer.e2e_ms,
        "connect_ms": answer.connect_ms,
        "output_tokens_per_s": _tokens_per_second(answer),
        "prompt_tokens": answer.usage.prompt_tokens,
        "output_tokens": answer.usage.output_tokens,
        "token_source": answer.token_source,
        "text_chunks": answer.text_chunks,
        "simulated": answer.simulated or service.simulated,
        "notes": [*service.notes, *answer.notes],
    }


def _keep_whole(shown: "Table", *columns: str) -> None:
    """Let the other columns give way on a narrow screen: these are copied from it, or are numbers."""
    for column in shown.columns:
        column.no_wrap = column.header in columns


def _engine(service: "FoundService") -> str:
    """Return the product and its version as told, else what the user called it."""
    identity = service.identity
    if identity is None:
        seeming = seeming_product(service.cluster) if service.cluster is not None else "-"
        return f"{service.engine} (as configured)" if service.engine is not None else seeming
    told = f"{identity.product} {identity.version or '(version not told)'}"
    return _marked(told, identity.simulated)


def _marked(text: str, simulated: bool) -> str:
    return f"{text} SIMULATED" if simulated else text


def _tokens_per_second(answer: "Answer") -> float | None:
    """Return output_tok_per_s_user: 1000 / TPOT; missing where TPOT is."""
    return 1000 / answer.tpot_ms if answer.tpot_ms else None


def _preview(answer: "Answer") -> str:
    return answer.text or (f"(thinking) {answer.reasoning}" if answer.reasoning else "")


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
