"""How fast a simulated engine is: the numbers of the serving model, and one preset per engine.

THE PRESETS ARE INVENTED. They differ in believable ways (vLLM batches widest, TGI pauses decoding for a whole prefill
and reserves KV ahead, Ollama and llama-server have few slots), but they measure no real engine and no real machine.
"""

from dataclasses import dataclass
from typing import Literal

from inference_bench.errors import UsageError

KvPolicy = Literal["preempt", "reserve"]
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ServingProfile:
    """The serving model's numbers.

    A step that prefills P tokens and decodes D streams lasts
    `step_ms + step_per_stream_ms * D + 1000 * P / prefill_rate` milliseconds, times a seeded factor around 1 whose
    standard deviation is `jitter`. At most `prefill_chunk` prompt tokens are prefilled in one step.

    - `max_batch`: sequences in the batch; the rest wait.
    - `kv_tokens`: tokens the KV cache holds. Policy `preempt` takes blocks as sequences grow and sends the youngest
      back to the queue when they run out (vLLM); `reserve` admits a sequence only when prompt and longest answer fit.
    - `overhead_ms`: from the request's arrival until it may be scheduled (tokenising, HTTP, IPC).
    - `queue_limit`: requests the engine refuses beyond (each engine counts its own way); None is no limit.
    - `load_ms`: loading the model at the first request (Ollama); 0 is loaded from the start.
    - `context`: longest prompt and answer together, in tokens.
    - `answer_tokens`: median natural length of an answer.
    """

    prefill_rate: float
    step_ms: float
    step_per_stream_ms: float
    max_batch: int
    kv_tokens: int
    kv_policy: KvPolicy
    prefill_chunk: int = 2048
    overhead_ms: float = 3.0
    queue_limit: int | None = None
    load_ms: float = 0.0
    context: int = 8192
    answer_tokens: int = 180
    jitter: float = 0.03

    def __post_init__(self) -> None:
        """Refuse impossible values with a UsageError."""
        for name in ("prefill_rate", "step_ms", "max_batch", "prefill_chunk", "context", "answer_tokens"):
            if not getattr(self, name) > 0:
                raise UsageError(f"simulator: {name} must be greater than 0, got {getattr(self, name)}")
        for name in ("step_per_stream_ms", "overhead_ms", "load_ms"):
            if getattr(self, name) < 0:
                raise UsageError(f"simulator: {name} must not be negative, got {getattr(self, name)}")
        if self.queue_limit is not None and self.queue_limit < 0:
            raise UsageError(f"simulator: queue_limit must not be negative, got {self.queue_limit}")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"simulator: jitter must be between 0 and 1, got {self.jitter}")
        if self.kv_tokens < self.context:
            raise UsageError(
                f"simulator: kv_tokens ({self.kv_tokens}) cannot hold one sequence of {self.context} tokens",
                hint="raise kv-tokens or lower context",
            )

    def step_ns(self, decoding: int, prefill_tokens: int) -> float:
        """Return how long a step lasts, in nanoseconds, before jitter."""
        decode_ms = self.step_ms + self.step_per_stream_ms * decoding
        return decode_ms * NS_PER_MS + prefill_tokens * NS_PER_S / self.prefill_rate


PRESETS: dict[str, ServingProfile] = {
    "vllm": ServingProfile(
        prefill_rate=16_000,
        step_ms=11.0,
        step_per_stream_ms=0.09,
        max_batch=256,
        kv_tokens=160_000,
        kv_policy="preempt",
        prefill_chunk=2048,
        overhead_ms=4.0,
    ),
    "tgi": ServingProfile(
        prefill_rate=12_000,
        step_ms=12.5,
        step_per_stream_ms=0.14,
        max_batch=128,
        kv_tokens=96_000,
        kv_policy="reserve",
        prefill_chunk=8192,
        overhead_ms=3.0,
        queue_limit=128,
    ),
    "ollama": ServingProfile(
        prefill_rate=3_500,
        step_ms=13.0,
        step_per_stream_ms=2.6,
        max_batch=4,
        kv_tokens=32_768,
        kv_policy="reserve",
        prefill_chunk=512,
        overhead_ms=2.0,
        queue_limit=512,
        load_ms=600.0,
        context=4096,
        jitter=0.05,
    ),
    "openai": ServingProfile(
        prefill_rate=3_000,
        step_ms=14.0,
        step_per_stream_ms=2.2,
        max_batch=4,
        kv_tokens=32_768,
        kv_policy="reserve",
        prefill_chunk=512,
        overhead_ms=1.0,
        jitter=0.04,
    ),
}
