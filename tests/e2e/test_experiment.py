"""The experiment as it was carried out: the servers' own records of what they were sent, held against the manifest."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import pytest
from front_door import Row, benchmark, only_folder, read_json, requests_of, users, write_config
from recording_server import recording_server

from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.results.design import unpack_order

SERVICES = ("openai-a", "openai-b")
SEED = 11
BLOCKS = 4
BUDGET = 12  # several times what one further stretch of all tests takes, for a busy machine
PREFIX_WORDS = 8
ONE_ROUND: dict[str, Any] = {"rounds": 1, "warmup_requests": 2}


class Run(NamedTuple):
    """A run until decided, of services that do not differ: its records, its manifest, and what each server was sent."""

    rows: list[Row]
    manifest: Any
    comparison: Any
    summary: Any
    said: str
    sent: dict[str, Any]  # body by request id

    @property
    def counted(self) -> list[Row]:
        """The rows of requests that are no warm-ups."""
        return [row for row in self.rows if not row["warmup"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """An effect of a millionth cannot be excluded: the budget ends the run."""
    cwd = tmp_path_factory.mktemp("experiment")
    loads = [
        users("closed", 2, requests=8, **ONE_ROUND),
        {"name": "open", "arrivals": "poisson", "rate": 50, "requests": 10, **ONE_ROUND, "max_tokens": 9},
    ]
    write_config(
        cwd / "c.yaml",
        seed=SEED,
        ttft_test={"iterations": BLOCKS, "warmup_requests": 2, "max_tokens": 7},
        load_tests=loads,
        comparison={"min_effect": 1e-6, "budget": BUDGET, "primary": "ttft_ms.p50"},
        output={"generate_report": False},
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(recording_server()) for _ in SERVICES]
        urls: list[str] = []
        for name, server in zip(SERVICES, servers, strict=True):
            urls += ["--url", f"openai/{name[-1]}={server.url}"]
        done = benchmark("-c", "c.yaml", *urls, "--until-decided", cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    yield Run(
        rows=requests_of(folder),
        manifest=read_json(folder / "test_manifest.json"),
        comparison=read_json(folder / "comparison.json"),
        summary=read_json(folder / "summary.json"),
        said=done.err,
        sent={key: body for server in servers for key, body in server.bodies.items()},
    )


def prompt(run: Run, row: Row) -> str:
    return str(run.sent[row["request_id"]]["messages"][0]["content"])


def test_it_went_on_after_the_plan(run: Run) -> None:
    tests = run.manifest["design"]["tests"]
    assert tests["ttft"]["asked"] == tests["ttft"]["planned"] == BLOCKS
    assert (tests["closed"]["asked"], tests["closed"]["planned"]) == (1, 2)  # a multiple of the services
    assert all(test["run"] > test["planned"] for test in tests.values())
    assert {row["round"] for row in run.counted if row["test"] == "ttft"} > {0}
    assert run.manifest["status"] == "complete"
    rounds = {test["name"]: test["rounds"] for test in run.summary["tests"]}
    assert rounds["closed"] == tests["closed"]["run"]


def test_equal_places_of_the_plan_are_equal_work_for_every_service(run: Run) -> None:
    work: dict[tuple[object, ...], dict[str, Any]] = defaultdict(dict)
    for row in run.counted:
        work[row["test"], row["round"], row["index"], row["block"]][row["service"]] = run.sent[row["request_id"]]
    complete = [of_place for of_place in work.values() if set(of_place) == set(SERVICES)]
    assert len(work) - len(complete) <= 1  # the budget may end the TTFT test inside a block
    for of_place in complete:
        assert of_place[SERVICES[0]] == of_place[SERVICES[1]]
    assert {body["max_tokens"] for of_place in complete for body in of_place.values()} == {7, 8, 9}


def test_no_prefix_is_ever_used_again(run: Run) -> None:
    """Not in another block, round, test or stretch, and not by a warm-up."""
    users_of: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    for row in run.rows:
        words = " ".join(prompt(run, row).split()[:PREFIX_WORDS])
        place = (row["test"], row["round"], row["index"])
        users_of[words].add((*place, row["service"]) if row["warmup"] else place)
    assert {len(places) for places in users_of.values()} == {1}
    stretches = {row["round"] for row in run.rows if row["warmup"] and row["test"] == "ttft"}
    assert len(stretches) > 1  # warm-ups were sent again after each pause


def test_blocks_ask_in_the_order_that_the_manifest_states_and_the_seed_gives(run: Run) -> None:
    design = run.manifest["design"]
    assert design["services"] == list(SERVICES)
    stated = unpack_order(design["tests"]["ttft"]["order"])
    digest = hashlib.blake2b(repr((SEED, "ttft", "order")).encode(), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    stream = [tuple(rng.permutation(len(SERVICES)).tolist()) for _ in stated]
    blocks: dict[int, list[Row]] = defaultdict(list)
    for row in run.counted:
        if row["test"] == "ttft":
            blocks[row["block"]].append(row)
    assert max(blocks) >= 2 * BLOCKS - 1
    whole = {number: rows for number, rows in blocks.items() if len(rows) == len(SERVICES)}
    assert len(whole) == design["tests"]["ttft"]["run"]
    for number, rows in whole.items():
        asked = sorted(rows, key=lambda row: int(row["sent_ns"]))
        assert tuple(SERVICES.index(row["service"]) for row in asked) == stream[number]
    # The statement covers those blocks too that the budget did not reach.
    assert stated == tuple(stream)
    assert len(stated) > max(blocks)
    begun = [rows[0]["sent_ns"] for _, rows in sorted(blocks.items())]
    assert begun == sorted(begun)


@pytest.mark.parametrize("test", ["closed", "open"])
def test_rounds_rotate_the_services_and_further_rounds_go_on_rotating(run: Run, test: str) -> None:
    stated = unpack_order(run.manifest["design"]["tests"][test]["order"])
    windows = run.manifest["windows"][test]
    turns = [(one["start_ns"], one["round"], SERVICES.index(name)) for name in SERVICES for one in windows[name]]
    order: dict[int, list[int]] = defaultdict(list)
    for _, round_no, service in sorted(turns):
        order[round_no].append(service)
    assert sorted(order) == list(range(len(stated)))
    assert [tuple(order[number]) for number in sorted(order)] == list(stated)
    assert run.manifest["design"]["tests"][test]["run"] == len(stated)
    assert len(stated) % len(SERVICES) == 0
    for place in range(len(SERVICES)):
        stood = [row[place] for row in stated]
        assert {stood.count(service) for service in range(len(SERVICES))} == {len(stated) // len(SERVICES)}


def test_every_look_is_kept_with_its_level_and_the_blocks_double(run: Run) -> None:
    sequential = run.manifest["design"]["sequential"]
    looks = sequential["looks"]
    assert sequential["budget_seconds"] == BUDGET
    assert [look["look"] for look in looks] == list(range(1, len(looks) + 1))
    assert len(looks) >= 2
    assert [look["alpha"] for look in looks] == pytest.approx(
        [alpha_at_look(number + 1, 0.05) for number in range(len(looks))]
    )
    assert [look["stopped"] for look in looks[:-1]] == [None] * (len(looks) - 1)
    assert looks[-1]["stopped"] == "budget"
    assert looks[-1]["blocks"] == {name: test["run"] for name, test in run.manifest["design"]["tests"].items()}
    assert looks[0]["blocks"] == {name: test["planned"] for name, test in run.manifest["design"]["tests"].items()}
    assert looks[1]["blocks"]["ttft"] == 2 * BLOCKS
    assert looks[-1]["seconds"] < 4 * BUDGET


def test_the_comparison_is_judged_at_the_level_of_the_last_look(run: Run) -> None:
    looks = run.manifest["design"]["sequential"]["looks"]
    assert run.comparison["design"]["confidence"] == pytest.approx(1 - looks[-1]["alpha"])
    primary = [pair for pair in run.comparison["pairs"] if pair["primary"]]
    assert len(primary) == 3
    open_yet = ("no_difference_shown", "not_comparable")  # the second where a busy machine spoiled a test
    assert {pair["test"] for pair in primary if pair["verdict"] in open_yet} == set(looks[-1]["undecided"])
    for pair in primary:
        if pair["ci_low"] is not None:
            excluded = not pair["ci_low"] <= 1 <= pair["ci_high"]
            assert excluded == (pair["p_adjusted"] < looks[-1]["alpha"])


def test_each_look_is_told(run: Run) -> None:
    looks = run.manifest["design"]["sequential"]["looks"]
    assert f"look 1: {', '.join(looks[0]['undecided'])} not decided yet; going on with" in run.said
    assert f"look {len(looks)}: " in run.said
    assert f"the budget of {BUDGET} s is used up" in run.said.replace("\n", " ")
