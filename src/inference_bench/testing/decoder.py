"""The decoder: a process that turns finished exchanges into records and writes them to the journal.

Run as `python -m inference_bench.testing.decoder JOURNAL_DIR KEEP_TEXT FD [FD …]`: one pipe per worker. Raw bytes end
here; columns go on. It ends when all workers have closed their pipes, and the journal is whole then, whatever became
of the coordinator. At least every half second what has arrived is written out.
"""

import gc
import os
import pickle
import selectors
import signal
import sys
import time
from pathlib import Path

from inference_bench.api.clients import get_client
from inference_bench.api.exchange import RawExchange
from inference_bench.api.reading import Reading, read_exchange
from inference_bench.metrics.records import REQUEST_COLUMNS
from inference_bench.metrics.sanity import SAMPLE_CHARS, text_check
from inference_bench.results.journal import JournalWriter
from inference_bench.testing.frames import Answer, FrameReader, RequestMeta, Tally, encode, unpack_exchange

FLUSH_SECONDS = 0.5
REPORT_SECONDS = 0.2
GATHER_SECONDS = 0.2
PROMPT_GATHER_SECONDS = 0.002  # while somebody waits for answers in order to ask on
ANSWER_CHARS = 1_000_000  # of an answer that is carried on in a conversation
READ_BYTES = 1 << 20
_COLUMN_NAMES = tuple(column.name for column in REQUEST_COLUMNS)
_MS = 1e6


class Decoder:
    """Reads the workers' pipes until they close."""

    def __init__(self, journal: JournalWriter, *, keep_text: bool) -> None:
        self._journal = journal
        self._keep_text = keep_text
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._changed = False
        self._marks: dict[int, int] = {}  # the latest mark of each worker
        self._in_sessions: set[int] = set()  # workers whose users wait for what is decoded here
        self._answers: list[Answer] = []

    def run(self, fds: list[int], report_fd: int) -> None:
        """Serve until every pipe has ended; then write out the rest."""
        selector = selectors.DefaultSelector()
        readers = {fd: FrameReader() for fd in fds}
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        reporting = True
        next_flush = next_report = time.monotonic()
        while readers:
            most = 0
            for key, _ in selector.select(REPORT_SECONDS):
                data = os.read(key.fd, READ_BYTES)
                most = max(most, len(data))
                if not data:
                    selector.unregister(key.fd)
                    del readers[key.fd]
                    continue
                for message in readers[key.fd].feed(data):
                    if message[0] == "mark":
                        reporting = self._mark(message, len(fds), report_fd) and reporting
                    else:
                        self._take(message)
            # Let some gather: one wake-up for many exchanges costs far less than one for each. The pipes hold what
            # comes meanwhile, and the workers never wait for them. Not while a pipe is nearly full, of course.
            if self._answers and reporting:
                reporting = self._answer(report_fd)
            if most < READ_BYTES // 2:
                time.sleep(PROMPT_GATHER_SECONDS if self._in_sessions else GATHER_SECONDS)
            now = time.monotonic()
            if now >= next_flush:
                self._journal.flush()
                next_flush = now + FLUSH_SECONDS
            if reporting and self._changed and now >= next_report:
                reporting = self._report(report_fd)
                next_report = now + REPORT_SECONDS
        self._journal.close()
        if reporting:
            self._report(report_fd)

    def _report(self, fd: int) -> bool:
        """Tell the coordinator how it stands; False once nobody listens (the journal goes on)."""
        self._changed = False
        return _tell(fd, ("counts", self._tallies))

    def _answer(self, fd: int) -> bool:
        """Pass on what was answered in sessions: their next turns are made of it. As `_report`."""
        answers, self._answers = self._answers, []
        return all(_tell(fd, ("answer", answer)) for answer in answers)

    def _mark(self, message: tuple[object, ...], workers: int, fd: int) -> bool:
        """Note a worker's mark; once all have sent it, write out what came before and say so. As `_report`."""
        _, worker, number = message
        assert isinstance(worker, int)
        assert isinstance(number, int)
        self._marks[worker] = number
        if list(self._marks.values()).count(number) < workers:
            return True
        self._journal.flush()
        return _tell(fd, ("written", number))

    def _take(self, message: tuple[object, ...]) -> None:
        if message[0] == "sample":
            row = message[1]
            assert isinstance(row, tuple)
            self._journal.add_worker_sample(row)
            return
        if message[0] == "sessions":
            _, number, begun = message
            assert isinstance(number, int)
            (self._in_sessions.add if begun else self._in_sessions.discard)(number)
            return
        _, worker, packed = message
        assert isinstance(worker, int)
        assert isinstance(packed, tuple)
        raw = unpack_exchange(packed)
        meta = RequestMeta(*pickle.loads(raw.job.meta))
        client = get_client(meta.dialect)
        in_session = meta.session is not None
        reading = read_exchange(raw, client, keep_text=self._keep_text or in_session, sample_chars=SAMPLE_CHARS)
        if in_session:
            self._answers.append(_answer_of(raw, reading))
        row_by_name = record(worker, meta, raw, reading)
        if not self._keep_text:
            row_by_name["response_text"] = None
        chunks = reading.chunks
        if chunks.arrivals:
            self._journal.add_chunks(
                raw.job.seq, chunks.arrivals, chunks.reads, chunks.sizes, chunks.tokens, chunks.merged
            )
        # After its chunks: adding a request may flush, and a request in the journal has its chunks there.
        self._journal.add_request([row_by_name[name] for name in _COLUMN_NAMES])
        if not meta.warmup:
            self._count(meta, raw, reading)

    def _count(self, meta: RequestMeta, raw: RawExchange, reading: Reading) -> None:
        key = (meta.test, meta.service)
        ok, failed, tokens, ttft, error = self._tallies.get(key, Tally(0, 0, 0, None, ""))
        if reading.ok:
            ok += 1
            tokens += reading.usage.output_tokens or 0
            ttft = ((reading.first_token_ns or 0) - raw.sent_ns) / _MS
        else:
            failed += 1
            error = "" if reading.error is None else f"{reading.error.error_class}: {reading.error.message}"
        self._tallies[key] = Tally(ok, failed, tokens, ttft, error)
        self._changed = True


def _answer_of(raw: RawExchange, reading: Reading) -> Answer:
    """What the next turn of a session needs to know. An answer that is too long to be carried on ends its session."""
    text = reading.text
    fits = len(text) <= ANSWER_CHARS
    return Answer(raw.job.seq, reading.ok and fits, text if reading.ok and fits else "", raw.end_ns)


def _tell(fd: int, message: tuple[object, ...]) -> bool:
    """Send the coordinator a message; False when nobody listens any more."""
    try:
        os.write(fd, encode(message))
    except BrokenPipeError:
        return False
    return True


def record(worker: int, meta: RequestMeta, raw: RawExchange, reading: Reading) -> dict[str, object]:
    """Return the request's record by column name (REQUEST_COLUMNS); `in_window` is filled once windows are known."""
    usage = reading.usage
    times = reading.server_times
    return {
        "seq": raw.job.seq,
        "service": meta.service,
        "engine": meta.engine,
        "test": meta.test,
        "kind": meta.kind,
        "round": meta.round_no,
        "block": meta.block,
        "index": meta.plan_index,
        "session": meta.session,
        "turn": meta.turn,
        "user": raw.job.user if raw.job.user >= 0 else None,
        "worker": worker,
        "warmup": meta.warmup,
        "in_window": None,
        "request_id": meta.request_id,
        "intended_ns": raw.job.intended_ns or None,
        "connect_start_ns": raw.connect_start_ns or None,
        "connected_ns": raw.connected_ns or None,
        "sent_ns": raw.sent_ns or None,
        "first_byte_ns": raw.first_byte_ns or None,
        "first_event_ns": reading.first_event_ns,
        "first_token_ns": reading.first_token_ns,
        "first_token_read_ns": reading.first_token_read_ns,
        "first_token_after_ns": reading.first_token_after_ns,
        "first_answer_token_ns": reading.first_answer_token_ns,
        "last_token_ns": reading.last_token_ns,
        "last_token_read_ns": reading.last_token_read_ns,
        "end_ns": raw.end_ns or None,
        "ok": reading.ok,
        "error_class": None if reading.error is None else reading.error.error_class.value,
        "error_message": None if reading.error is None else reading.error.message,
        "http_status": raw.status or None,
        "finish_reason": reading.finish_reason,
        "max_tokens": meta.max_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "token_source": None if usage.output_tokens is None else "usage",
        "first_chunk_tokens": reading.first_chunk_tokens,
        "text_chunks": len(reading.chunks.arrivals),
        "text_chars": reading.text_chars,
        "text_check": text_check(reading.sample),
        "merged_reads": reading.merged_reads,
        "first_token_merged": reading.first_token_merged,
        "reused": raw.reused,
        "reconnected": raw.reconnected,
        "bytes_received": raw.bytes_received,
        "stall_ns": reading.stall_ns,
        "server_ttft_ms": times.ttft_ms,
        "server_queue_ms": times.queue_ms,
        "server_prefill_ms": times.prefill_ms,
        "server_decode_ms": times.decode_ms,
        "server_total_ms": times.total_ms,
        "server_load_ms": times.load_ms,
        "simulated": reading.simulated,
        "response_text": reading.text if reading.texts else None,
    }


def main() -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the workers have: nothing of theirs may be lost
    directory, keep_text, *fds = sys.argv[1:]
    os.write(sys.stdout.fileno(), encode(("ready", os.getpid())))
    journal = JournalWriter(Path(directory))
    gc.freeze()
    Decoder(journal, keep_text=keep_text == "1").run([int(fd) for fd in fds], sys.stdout.fileno())


if __name__ == "__main__":
    main()
