"""Apples and oranges before a run: each rule, from what servers said to a sentence, and what never happens."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness import notes_before, notes_of
from inference_bench.results.manifest import LoadShape, PlannedTest, ServiceFacts
from run_records import manifest

TOLD: dict[str, Any] = {
    "quantisation": "fp8", "dtype": "bfloat16", "context_length": 8192, "slots": 64, "prefix_caching": True,
}  # fmt: skip


def service(name: str, url: str | None = None, **fields: Any) -> ServiceFacts:
    """Return a service that told everything; keyword arguments that are no field of its own go into what it said."""
    own = {key: fields.pop(key) for key in list(fields) if key in ServiceFacts.model_fields}
    address = f"http://{name}.example:8000" if url is None else url
    known: dict[str, Any] = {"engine": "vllm", "product": "vLLM", "version": "1", "model": "m", "url": address, **own}
    said = {key: value for key, value in {**TOLD, **fields}.items() if value is not None}
    return ServiceFacts(name=name, said=said, **known)


def pair(first: dict[str, Any], second: dict[str, Any]) -> tuple[ServiceFacts, ServiceFacts]:
    return service("a", **first), service("b", **second)


def only(notes: tuple[FairnessNote, ...]) -> FairnessNote:
    (note,) = notes
    return note


RULES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str]] = {
    "spelling": (
        "model_names", "note", {"model": "Qwen/Qwen2.5-7B"}, {"model": "qwen2.5:7b"},
        "Model names differ: Qwen/Qwen2.5-7B (a), qwen2.5:7b (b); they may well be one model spelled differently "
        "(benchmark.model declares it).",
    ),
    "names": (
        "model_names", "note", {"model": "llama3"}, {"model": "qwen2.5"},
        "Model names differ: llama3 (a), qwen2.5 (b); whether they are one model is for you to say "
        "(benchmark.model declares it).",
    ),
    "size": (
        "model_size", "warning", {"parameter_size": "7.6B"}, {"parameter_size": "700M"},
        "The models' parameter counts differ: 7.6B (a), 700M (b).",
    ),
    "quantisation": (
        "quantisation", "warning", {"quantisation": "awq"}, {"quantisation": "Q4_K_M"},
        "Quantisation differs: awq (a), Q4_K_M (b).",
    ),
    "quantisation of one": (
        "quantisation", "note", {"quantisation": None}, {"quantisation": "Q4_K_M"},
        "Quantisation is Q4_K_M (b); a does not say.",
    ),
    "dtype": (
        "dtype", "warning", {"dtype": "bfloat16"}, {"dtype": "torch.float16"},
        "The weights' number types differ: bfloat16 (a), torch.float16 (b).",
    ),
    "kv cache": (
        "kv_cache_dtype", "note", {"kv_cache_dtype": "auto"}, {"kv_cache_dtype": "fp8"},
        "The KV caches' number types differ: auto (a), fp8 (b).",
    ),
    "context": (
        "context_length", "note", {"context_length": 32768}, {"context_length": 4096},
        "Context lengths in tokens differ: 32,768 (a), 4,096 (b).",
    ),
    "slots": (
        "slots", "note", {"slots": 64}, {"slots": 48}, "Requests that run at once: 64 (a), 48 (b).",
    ),
    "few slots": (
        "slots", "warning", {"slots": 256}, {"slots": 4}, "Requests that run at once: 256 (a), 4 (b).",
    ),
    "batch size": (
        "slots", "note", {"slots": None, "max_batch_size": 32}, {}, "Requests that run at once: 32 (a), 64 (b).",
    ),
    "ollama": (
        "slots_untold", "note", {}, {"engine": "ollama", "product": "Ollama", "slots": None},
        "b does not say how many requests run at once; by default it runs one after another (OLLAMA_NUM_PARALLEL).",
    ),
    "ollama in another protocol": (
        "slots_untold", "note", {}, {"engine": "openai", "product": "Ollama", "slots": None},
        "b does not say how many requests run at once; by default it runs one after another (OLLAMA_NUM_PARALLEL).",
    ),
    "caching": (
        "prefix_caching", "note", {"prefix_caching": True}, {"prefix_caching": False},
        "Prefix caching is on for a and off for b; every prompt starts with a prefix of its own, so none should "
        "answer.",
    ),
    "exact length": (
        "exact_length", "note", {"exact_length": "asked"}, {"exact_length": "not possible"},
        "Exact output lengths are asked of a and cannot be of b: answers may end early.",
    ),
    "template": (
        "chat_template", "warning", {"chat_template": "applied"}, {"chat_template": "not applied"},
        "No chat template is applied for b: the model sees the bare prompt, unlike that of a.",
    ),
    "no template": (
        "chat_template", "note", {"chat_template": "not applied"}, {"chat_template": "not applied"},
        "No chat template is applied for a and b: the model sees the bare prompt.",
    ),
    "tls": (
        "tls", "note", {}, {"url": "https://b.example"}, "b is reached over TLS and a without.",
    ),
    "same address": (
        "same_address", "warning", {"url": "http://gateway/a"}, {"url": "http://GATEWAY:80/b"},
        "a and b have one address: the same server or gateway may answer for all of them.",
    ),
    "same host": (
        "shared_host", "note", {"addresses": ("10.0.0.1:8000",)}, {"addresses": ("10.0.0.1:8001",)},
        "a and b are reached at one host (10.0.0.1): they may share its hardware.",
    ),
    "version": (
        "version", "note", {"version": "0.32.0"}, {"version": "0.33.0"},
        "Versions of vLLM differ: 0.32.0 (a), 0.33.0 (b).",
    ),
    "simulated": (
        "simulated_mix", "warning", {"simulated": True}, {},
        "a is SIMULATED, b not: nothing follows from comparing them.",
    ),
    "protocol": (
        "protocol", "note", {"protocol_notes": ["counts are odd"]}, {"protocol_notes": ["counts are odd"]},
        "a and b: counts are odd.",
    ),
    "untold": (
        "untold", "note", {"dtype": None, "prefix_caching": None}, {"dtype": None, "version": None},
        "Not told by b: version; not told by any: number type of the weights; not told by a: prefix caching.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "weight", "first", "second", "text"), RULES.values(), ids=RULES.keys())
def test_each_rule_says_its_sentence_and_nothing_else_is_said(
    code: str, weight: str, first: dict[str, Any], second: dict[str, Any], text: str
) -> None:
    note = only(notes_before(pair(first, second)))
    assert (note.code, note.weight, note.text) == (code, weight, text)
    assert set(note.services) <= {"a", "b"}
    assert note.test is None


ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all the same": ({}, {}),
    "quantisation in two spellings": ({"quantisation": "Q4_K_M"}, {"quantisation": "Q4_K - Medium"}),
    "number type in two spellings": ({"dtype": "torch.bfloat16"}, {"dtype": "bf16"}),
    "no tag is the tag latest": ({"model": "llama3"}, {"model": "llama3:latest"}),
    "sizes rounded": ({"parameter_size": "7.6B"}, {"parameter_size": "7.62B"}),
    "two sizes of which one is no size": ({"parameter_size": "7.6B"}, {"parameter_size": "large"}),
    "two products": ({"version": "1"}, {"product": "TGI", "version": "2"}),
    "both cache": ({"prefix_caching": True}, {"prefix_caching": True}),
    "both exact": ({"exact_length": "asked"}, {"exact_length": "asked"}),
    "both without TLS, elsewhere": ({"url": "http://x"}, {"url": "http://y"}),
}


@pytest.mark.parametrize(("first", "second"), ALIKE.values(), ids=ALIKE.keys())
def test_what_is_alike_gives_no_note(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert notes_before(pair(first, second)) == ()


def test_a_declared_model_is_what_identity_is_taken_from() -> None:
    services = pair({"model": "Qwen/Qwen2.5-7B"}, {"model": "qwen2.5:7b"})
    note = only(notes_before(services, declared_model="Qwen2.5 7B"))
    assert note.weight == "note"
    assert note.text.endswith("that they are one model is taken from what was declared, Qwen2.5 7B.")


def test_shared_prompts_make_a_cache_a_warning() -> None:
    note = only(notes_before(pair({}, {"prefix_caching": False}), unique_prompts=False))
    assert (note.weight, note.text) == (
        "warning", "Prefix caching is on for a and off for b, and the prompts share prefixes.",
    )  # fmt: skip


def test_more_users_than_slots_wait_and_more_than_are_admitted_are_refused() -> None:
    services = pair({"slots": 64}, {"slots": 64, "max_concurrent_requests": 100})
    assert notes_before(services, users=64) == ()
    slots, admission = notes_before(services, users=200)
    assert (slots.code, slots.weight) == ("slots", "warning")
    assert slots.text.endswith("of 200 users the rest wait in the queue of a and b.")
    assert (admission.code, admission.services) == ("admission", ("b",))
    assert admission.text == "b admits 100 requests at a time and refuses more; a test has 200 users."


def test_a_single_user_does_not_care_how_many_run_at_once() -> None:
    services = pair({}, {"engine": "ollama", "product": "Ollama", "slots": None})
    assert notes_before(services, users=1) == ()


@pytest.mark.parametrize("here", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_one_at_hand_and_one_far_away_have_unlike_paths(here: str) -> None:
    path, host = notes_before(pair({"url": here}, {}))
    assert (path.code, path.weight, path.text) == (
        "network_path", "warning", "a is reached on this machine and b over a network.",
    )  # fmt: skip
    assert host.text == "a is reached at an address of this machine: it may share it with the client."


def test_a_name_that_resolves_to_this_machine_is_here_too() -> None:
    near = {"url": "http://my-host:1", "addresses": ("[::1]:1",)}
    note = only(notes_before(pair(near, {"url": "http://127.0.0.1:2", "addresses": ("127.0.0.1:2",)})))
    assert (note.code, note.services) == ("client_host", ("a", "b"))
    assert note.text.endswith("they may share it with each other and with the client.")


def test_warnings_come_first_and_nobody_is_alone_unlike() -> None:
    notes = notes_before(pair({"context_length": 1, "dtype": "float32"}, {"quantisation": "awq", "slots": 1}))
    weights = [note.weight for note in notes]
    assert weights == sorted(weights, reverse=True)
    assert {"warning", "note"} == set(weights)
    assert notes_before([service("a", chat_template="not applied")]) == ()
    assert notes_before([]) == ()


def test_the_main_case_has_notes_and_no_obstacle() -> None:
    services = (
        service("vllm", exact_length="asked", chat_template="applied", quantisation=None, dtype=None, slots=None),
        service("tgi", engine="tgi", product="TGI", exact_length="not possible", chat_template="not applied"),
        service("ollama", engine="ollama", product="Ollama", model="m:7b", quantisation="Q4_K_M", slots=None),
    )
    notes = notes_before(services, users=3)
    codes = [note.code for note in notes]
    assert {"model_names", "quantisation", "exact_length", "chat_template", "untold"} <= set(codes)
    assert len(set(codes)) == len(codes), "each once"
    assert {note.weight for note in notes} <= {"note", "warning"}


def test_a_stored_run_gives_the_notes_that_it_was_started_with() -> None:
    services = pair({"model": "x"}, {"model": "y", "slots": 4, "prefix_caching": False})
    config: dict[str, Any] = {
        "benchmark": {"model": "x"},
        "workload": {"cache": "unique"},
        "load_tests": [{"name": "load", "workload": {"cache": "shared"}}],
    }
    plan = (PlannedTest(name="load", kind="load", rounds=1, load=LoadShape(concurrent_users=9)),)
    stored = manifest("t", services=services, config=config, plan=plan)
    wanted = notes_before(services, declared_model="x", users=9, unique_prompts=False)
    assert notes_of(stored) == wanted
    assert {note.code for note in wanted} == {"model_names", "slots", "prefix_caching"}
    assert notes_of(manifest("t", services=services, config={"load_tests": "odd", "workload": 3, "benchmark": []}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**12) | st.floats(allow_nan=False) | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [*TOLD, "model_name", "parameter_size", "kv_cache_dtype", "max_batch_size", "max_concurrent_requests",
     "exact_length", "chat_template", "protocol_notes", "sources"]
)  # fmt: skip
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=4)
FACTS = st.builds(
    ServiceFacts,
    name=NAMES,
    engine=st.sampled_from(["vllm", "tgi", "ollama", "openai"]),
    product=st.none() | st.text(max_size=20),
    version=st.none() | st.text(max_size=300),
    model=st.none() | st.text(max_size=300),
    url=st.sampled_from(["http://a", "https://[::1]:9", "http://[", "nonsense", "http://h:99999", ""]),
    addresses=st.lists(st.sampled_from(["127.0.0.1:1", "[::1]:2", "10.0.0.1:3", "", "x"]), max_size=1).map(tuple),
    simulated=st.booleans(),
    said=st.dictionaries(KEYS, JSON, max_size=8),
)


@given(st.lists(FACTS, min_size=2, max_size=4, unique_by=lambda one: one.name), st.integers(0, 10**6), st.booleans())
def test_whatever_a_manifest_holds_the_notes_are_sentences_of_one_line(
    services: list[ServiceFacts], users: int, unique: bool
) -> None:
    notes = notes_before(services, declared_model=None, users=users, unique_prompts=unique)
    assert len(set(notes)) == len(notes)
    for note in notes:
        assert note.text.isprintable() and note.text.endswith(".")
        assert len(note.text) < 1000
        assert set(note.services) <= {one.name for one in services}
