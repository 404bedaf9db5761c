"""From an exchange that was measured to one that can be looked at: decoded piece by piece, its secrets hidden."""

from collections.abc import Sequence

from inference_bench.api.clients import get_client
from inference_bench.api.exchange import RawExchange
from inference_bench.api.protocols import EngineClient, StreamEvent, WireRequest
from inference_bench.api.reading import Reading, read_exchange
from inference_bench.discovery.services import FoundService
from inference_bench.orchestration.repeated_secrets import Secrets
from inference_bench.testing.rendering import ServiceUnderTest
from inference_bench.testing.watched import Exchanged, outcome_of
from inference_bench.visualization.components.payload_values import Asked, Field, Marks, Piece, Specimen


def specimen_of(
    found: FoundService, service: ServiceUnderTest, exchanged: Exchanged, *, purpose: str, remark: str = ""
) -> Specimen:
    """Return one exchange under glass. Its marks are those of the measured exchange; its decoding is done again."""
    secrets = Secrets.of(found.endpoint, service.endpoint)
    client = get_client(exchanged.wire.dialect)
    stream = exchanged.request.stream
    said = (exchanged.reading.text, "".join(exchanged.reading.reasoning))
    repeated = any(value in text for value in secrets.values for text in said)
    raw, hidden = secrets.scrub(exchanged.raw, client.decoder(stream=stream) if repeated else None)
    # Asterisks take the place of a repeated secret in decoded text and in messages alike.
    reading = exchanged.reading if raw is exchanged.raw else read_exchange(raw, client, stream=stream, keep_text=True)
    outcome = exchanged.outcome if raw is exchanged.raw else outcome_of(raw, reading)
    identity = found.identity
    product = None if identity is None else " ".join(filter(None, [identity.product, identity.version]))
    return Specimen(
        service=service.name,
        engine=service.client.engine,
        dialect=client.name,
        model=service.endpoint.model,
        product=product,
        simulated=found.simulated or outcome.simulated,
        purpose=purpose,
        asked=asked_of(service, exchanged.wire, secrets),
        status=raw.status or None,
        headers=secrets.told(raw.headers.items()),
        pieces=tuple(pieces_of(raw, client, stream=stream)),
        marks=_marks(raw, reading),
        outcome=outcome,
        usage=reading.usage,
        server_times=reading.server_times,
        sent_ns=raw.sent_ns,
        bytes_received=raw.bytes_received,
        reused=raw.reused,
        merged_reads=reading.merged_reads,
        hidden=hidden,
        remark=remark,
        notes=tuple(service.client.notes(exchanged.request)),
    )


def asked_of(service: ServiceUnderTest, wire: WireRequest, secrets: Secrets) -> Asked:
    """Return the request as it goes over the wire, its secrets hidden."""
    head = (*service.target.head_fields(), *wire.headers)
    return Asked(
        method=wire.method,
        url=service.endpoint.url.rstrip("/") + wire.path,
        fields=(*(secrets.shown(name, value) for name, value in head), Field("content-length", str(len(wire.body)))),
        body=wire.body,
        ca_file=service.endpoint.ca_file,
        insecure=service.endpoint.insecure_skip_verify,
    )


def pieces_of(raw: RawExchange, client: EngineClient, *, stream: bool) -> list[Piece]:
    """Return what each read brought and the events it completed; only a 200 answer is decoded."""
    decoder = client.decoder(stream=stream) if raw.status == 200 else None
    pieces: list[Piece] = []
    for number, (data, arrival, read) in enumerate(zip(raw.pieces, raw.arrivals, raw.reads, strict=True), start=1):
        events: Sequence[StreamEvent] = () if decoder is None else decoder.feed(data)
        pieces.append(Piece(number, arrival - raw.sent_ns, read - raw.sent_ns, data, tuple(events)))
    if decoder is not None and pieces:
        # What the decoder still held when the body had ended belongs to the last read.
        pieces[-1] = pieces[-1]._replace(events=(*pieces[-1].events, *decoder.finish()))
    return pieces


def _marks(raw: RawExchange, reading: Reading) -> Marks:
    def since(mark: int | None) -> int | None:
        return mark - raw.sent_ns if mark and raw.sent_ns else None

    return Marks(
        connect_start=since(raw.connect_start_ns),
        connected=since(raw.connected_ns),
        first_byte=since(raw.first_byte_ns),
        first_event=since(reading.first_event_ns),
        first_token=since(reading.first_token_ns),
        first_answer_token=since(reading.first_answer_token_ns),
        last_token=since(reading.last_token_ns),
        end=since(raw.end_ns),
    )
