"""TGI's validation: which parameters it takes, and the words in which it refuses them (always 422 or in-stream)."""

from inference_bench.simulator.answers import Sampling
from inference_bench.simulator.dialects.reading import Fields
from inference_bench.simulator.profile import ServingProfile

MAX_STOP_SEQUENCES = 4
PREFIX = "Input validation error: "


class TgiRefusalError(Exception):
    """TGI refuses a request: the whole message, TGI's error type, and the status it has when not streamed."""

    def __init__(self, message: str, error_type: str = "validation", status: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type
        self.status = status


def read_sampling(
    parameters: Fields, *, given: bool, prompt_tokens: int, profile: ServingProfile, streamed: bool
) -> Sampling:
    """Check a request's parameters and return what decides its answer; raises TgiRefusalError.

    `given` says whether there was a `parameters` object at all: without one TGI samples.
    """
    _check_ranges(parameters)
    if streamed and parameters.integer("best_of") not in (None, 1):
        raise _refused("`best_of` != 1 is not supported when streaming tokens")
    if streamed and parameters.flag("decoder_input_details"):
        raise _refused("`decoder_input_details` == true is not supported when streaming tokens")
    stop = parameters.strings("stop")
    if len(stop) > MAX_STOP_SEQUENCES:
        raise _refused(f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {len(stop)}")
    sampled = parameters.flag("do_sample", not given) or parameters.has("temperature")
    return Sampling(
        max_tokens=_max_new_tokens(parameters, prompt_tokens, profile),
        seed=parameters.integer("seed"),
        greedy=not sampled,
        stop=stop,
        keep_stop=True,
    )


def check_prompt(prompt: str) -> None:
    """Refuse an empty prompt; raises TgiRefusalError."""
    if not prompt:
        raise _refused("`inputs` cannot be empty")


def _max_new_tokens(parameters: Fields, prompt_tokens: int, profile: ServingProfile) -> int:
    """Return the output limit; the longest prompt is one token short of prompt and answer together."""
    total = profile.context
    if prompt_tokens > total - 1:
        raise _refused(f"`inputs` must have less than {total - 1} tokens. Given: {prompt_tokens}")
    wanted = parameters.integer("max_new_tokens")
    if wanted is None:
        return total - prompt_tokens
    if wanted < 1:
        raise _refused("`max_new_tokens` must be strictly positive")
    if prompt_tokens + wanted > total:
        raise _refused(
            f"`inputs` tokens + `max_new_tokens` must be <= {total}. "
            f"Given: {prompt_tokens} `inputs` tokens and {wanted} `max_new_tokens`"
        )
    return wanted


def _check_ranges(parameters: Fields) -> None:
    best_of = parameters.integer("best_of")
    if best_of is not None and best_of < 1:
        raise _refused("`best_of` must be strictly positive")
    for name in ("temperature", "repetition_penalty"):
        value = parameters.number(name)
        if value is not None and value <= 0:
            raise _refused(f"`{name}` must be strictly positive")
    for name in ("top_p", "typical_p"):
        value = parameters.number(name)
        if value is not None and not 0 < value < 1:
            raise _refused(f"`{name}` must be > 0.0 and < 1.0")
    top_k = parameters.integer("top_k")
    if top_k is not None and top_k <= 0:
        raise _refused("`top_k` must be strictly positive")
    frequency_penalty = parameters.number("frequency_penalty")
    if frequency_penalty is not None and not -2 <= frequency_penalty <= 2:
        raise _refused("`frequency_penalty` must be >= -2.0 and <= 2.0")


def _refused(text: str) -> TgiRefusalError:
    return TgiRefusalError(PREFIX + text)
