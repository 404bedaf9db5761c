"""What is kept of every measured request and of every text chunk: the columns, their units and their meaning.

A record is facts only (marks, counts, what the server said); what they mean is computed by the metrics. The columns
stand here because every room above reads them; the Arrow schema of the files is derived from this table in
`inference_bench.results.schema`. All marks are integer nanoseconds of the host's monotonic clock; a missing value is
null, never 0.
"""

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["int64", "int32", "int16", "float64", "bool", "string", "category"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its kind, whether it may be null, and what it means."""

    name: str
    kind: ColumnKind
    nullable: bool
    meaning: str


REQUEST_COLUMNS: tuple[Column, ...] = (
    Column("seq", "int64", False, "number of the request within the run; joins chunks.parquet"),
    Column("service", "category", False, "name of the service"),
    Column("engine", "category", False, "engine of the service: vllm, tgi, ollama, openai, …"),
    Column("test", "category", False, "name of the test"),
    Column("kind", "category", False, "ttft or load"),
    Column("round", "int32", False, "load round; in a ttft test the stretch, 0 but where it went on until decided"),
    Column("block", "int32", True, "interleaved block of a ttft test; null for load"),
    Column("index", "int64", False, "index of the request in the plan: equal index means equal work"),
    Column("session", "int32", True, "number of the session within its round; null outside sessions"),
    Column("turn", "int32", True, "turn of the session, from 0; null outside sessions"),
    Column("user", "int32", True, "closed loop: the user who sent it; open loop of sessions: the session"),
    Column("worker", "int16", False, "worker process that sent it"),
    Column("warmup", "bool", False, "an uncounted warm-up request"),
    Column("in_window", "bool", True, "sent (open loop: intended) in the steady window; null until windows are known"),
    Column("request_id", "string", False, "X-Request-Id the request carried"),
    Column("intended_ns", "int64", True, "open loop: when the plan wanted it sent"),
    Column("connect_start_ns", "int64", True, "TCP connect began; null when the connection was reused"),
    Column("connected_ns", "int64", True, "TCP (and TLS) set-up done; null when the connection was reused"),
    Column("sent_ns", "int64", True, "just before the first byte of the request went to the kernel"),
    Column("first_byte_ns", "int64", True, "first byte of the response body"),
    Column("first_event_ns", "int64", True, "first decoded event, with or without text (role chunk)"),
    Column("first_token_ns", "int64", True, "first chunk with generated text (answer or reasoning)"),
    Column("first_token_read_ns", "int64", True, "clock at the read that brought the first token"),
    Column("first_token_after_ns", "int64", True, "the read before it: a merged first token came after this"),
    Column("first_answer_token_ns", "int64", True, "first answer chunk when reasoning came before it"),
    Column("last_token_ns", "int64", True, "last chunk with generated text"),
    Column("last_token_read_ns", "int64", True, "clock at the read that brought the last token"),
    Column("end_ns", "int64", True, "end of the HTTP body, or the moment the request was given up"),
    Column("ok", "bool", False, "ended properly with text"),
    Column("error_class", "category", True, "error class when not ok"),
    Column("error_message", "string", True, "what was wrong, bounded and without secrets"),
    Column("http_status", "int16", True, "HTTP status; null when no response head came"),
    Column("finish_reason", "category", True, "as the server told it"),
    Column("max_tokens", "int32", False, "output tokens asked for"),
    Column("prompt_tokens", "int32", True, "prompt tokens as the server counted"),
    Column("output_tokens", "int32", True, "generated tokens by token_source"),
    Column("cached_tokens", "int32", True, "prompt tokens the server took from its cache"),
    Column("reasoning_tokens", "int32", True, "reasoning tokens as the server counted"),
    Column("token_source", "category", True, "usage or tokenizer; null when output_tokens is missing"),
    Column("first_chunk_tokens", "int32", True, "tokens in the first text chunk, when the protocol tells"),
    Column("text_chunks", "int32", False, "chunks with generated text"),
    Column("text_chars", "int32", False, "characters of generated text"),
    Column("text_check", "category", True, "how the text looks: sound, or a rule of metrics/sanity; null without text"),
    Column("merged_reads", "int32", False, "reads that held more than one text chunk"),
    Column("first_token_merged", "bool", True, "the first token's read held more than one text chunk"),
    Column("reused", "bool", False, "the connection had carried a request before"),
    Column("reconnected", "bool", False, "re-sent once on a fresh connection after a reset of a reused one"),
    Column("bytes_received", "int64", False, "bytes of the response, head and framing included"),
    Column("stall_ns", "int64", True, "longest gap between consecutive text chunks"),
    Column("server_ttft_ms", "float64", True, "server-told time to first token"),
    Column("server_queue_ms", "float64", True, "server-told time in its queue"),
    Column("server_prefill_ms", "float64", True, "server-told prefill time"),
    Column("server_decode_ms", "float64", True, "server-told decode time"),
    Column("server_total_ms", "float64", True, "server-told total time"),
    Column("server_load_ms", "float64", True, "server-told model load time (Ollama)"),
    Column("simulated", "bool", False, "the answer came from a simulated engine"),
    Column("response_text", "string", True, "generated text, kept only with output.save_responses"),
)

CHUNK_COLUMNS: tuple[Column, ...] = (
    Column("seq", "int64", False, "request it belongs to"),
    Column("arrival_ns", "int64", False, "kernel receive stamp where the platform has one, else the clock at the read"),
    Column("read_ns", "int64", False, "clock at the read"),
    Column("size", "int32", False, "characters of generated text in the chunk"),
    Column("tokens", "int16", True, "tokens in the chunk, when the protocol tells"),
    Column("merged", "bool", False, "shared its read with another text chunk"),
)

WORKER_SAMPLE_COLUMNS: tuple[Column, ...] = (
    Column("worker", "int16", False, "worker process"),
    Column("at_ns", "int64", False, "when the sample was taken"),
    Column("wall_offset_ns", "int64", False, "wall clock minus monotonic clock"),
    Column("run_ns", "int64", True, "CPU time of the worker so far (Linux schedstat)"),
    Column("wait_ns", "int64", True, "time the worker waited for a CPU so far (Linux schedstat)"),
    Column("late_ns", "int64", False, "total lateness of the worker's own timed wake-ups so far"),
    Column("longest_stall_ns", "int64", False, "longest single lateness since the last sample"),
    Column("in_flight", "int32", False, "requests in flight"),
    Column("open_sockets", "int32", False, "connections open"),
    Column("reads", "int64", True, "reads of answers so far"),
    Column("unstamped", "int64", True, "of those, reads without the kernel stamp that was asked for; null: none was"),
    Column("unsent_bytes", "int64", True, "most bytes that waited for the decoder since the last sample"),
)

SERVER_SAMPLE_COLUMNS: tuple[Column, ...] = (
    Column("service", "category", False, "name of the service"),
    Column("at_ns", "int64", False, "when its answer was complete"),
    Column("name", "category", False, "what it told, by the names of api/engine_metrics"),
    Column("value", "float64", False, "the value: seconds, counts since the server began, shares from 0 to 1"),
    Column("test", "category", True, "test whose turn this sample opens or closes; null for those in between"),
    Column("edge", "category", True, "start or end of that turn; null for those in between"),
)
