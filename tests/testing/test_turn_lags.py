"""How late turns of conversations were sent: told from records with known times, in words of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.testing.turn_lags import TURNAROUND_NS, turn_lags
from inference_bench.testing.validity import Facts, judge
from run_records import at, request, request_table

WINDOW = [(at(0) or 0, at(10_000) or 0)]
THINK_MS = 40
FREE_MS = TURNAROUND_NS / 1e6
Turn = dict[str, object]


def turns(lags: list[float], *, user: int = 0, answer_ms: float = 200.0) -> list[Turn]:
    """A user's turns: the first at once, each other one so long after it was due."""
    rows: list[Turn] = []
    sent = 0.0
    for turn, lag in enumerate([0.0, *lags]):
        sent += lag
        end = sent + answer_ms
        rows.append(request(100 * user + turn, sent_at=sent, first_token_at=sent + 50, last_token_at=end, end_at=end,
                            user=user, session=user, turn=turn))  # fmt: skip
        sent = end + THINK_MS
    return rows


@given(st.lists(st.lists(st.floats(0, 80), min_size=1, max_size=12), min_size=1, max_size=4))
def test_lags_are_those_of_plain_arithmetic(users: list[list[float]]) -> None:
    rows = [row for user, lags in enumerate(users) for row in turns(lags, user=user)]
    found = turn_lags(request_table(rows[::-1]), WINDOW, think_ns=THINK_MS * 1_000_000, endless=False)
    assert found is not None
    lags = [lag for of_user in users for lag in of_user]
    assert found.turns == len(lags)
    assert found.longest_ms == pytest.approx(max(lags), abs=1e-5)
    waited = sum(max(0.0, lag - FREE_MS) for lag in lags)
    assert found.wait_share == pytest.approx(waited / sum(240 + lag for lag in lags), abs=1e-6)


def test_a_turn_that_never_came_was_late_until_the_window_closed() -> None:
    table = request_table(turns([1.0, 1.0]))  # the last answer ends at 682 ms, the next turn was due at 722 ms
    think = THINK_MS * 1_000_000
    ended = turn_lags(table, WINDOW, think_ns=think, endless=False)
    assert ended is not None
    assert ended.longest_ms == pytest.approx(1.0)
    starved = turn_lags(table, WINDOW, think_ns=think, endless=True)
    assert starved is not None
    assert starved.longest_ms == pytest.approx(10_000 - 722)
    assert starved.wait_share > 0.9
    assert turn_lags(table, [(WINDOW[0][1], WINDOW[0][1] + 1)], think_ns=think, endless=True) is None


def test_what_the_server_takes_is_not_the_client_s() -> None:
    """A connection that is opened for the turn, and the pause after an answer that was not good."""
    rows = turns([300.0, 0.0, 500.0])
    # Of the late turns one had its connection opened when it was due, the other one followed an error.
    rows[1]["connect_start_ns"] = at(240)
    rows[2]["ok"] = False
    found = turn_lags(request_table(rows), WINDOW, think_ns=THINK_MS * 1_000_000, endless=False)
    assert found is not None
    assert found.turns == 2
    assert found.longest_ms == pytest.approx(0.0)


def test_a_connection_that_was_opened_ahead_and_was_not_ready_in_time_is_the_server_s() -> None:
    rows = turns([300.0, 70.0])  # due at 240 and 780 ms
    rows[1] |= {"connect_start_ns": at(100), "connected_ns": at(540)}
    rows[2] |= {"connect_start_ns": at(500), "connected_ns": at(700)}  # ready long before: this client was late
    found = turn_lags(request_table(rows), WINDOW, think_ns=THINK_MS * 1_000_000, endless=False)
    assert found is not None
    assert found.longest_ms == pytest.approx(70.0)
    assert found.wait_share == pytest.approx((70.0 - FREE_MS) / (540 + 310))


def test_rounds_and_users_are_apart_and_single_requests_are_no_conversation() -> None:
    first, second = turns([2.0]), turns([3.0])
    for row in second:
        row["round"], row["seq"] = 1, int(str(row["seq"])) + 50
        for mark in ("sent_ns", "end_ns"):
            row[mark] = int(str(row[mark])) + 4_000_000_000
    found = turn_lags(request_table([*first, *second]), WINDOW, think_ns=THINK_MS * 1_000_000, endless=False)
    assert found is not None
    assert found.turns == 2
    assert found.longest_ms == pytest.approx(3.0)
    plain = [{name: value for name, value in row.items() if name != "session"} for row in first]
    assert turn_lags(request_table(plain), WINDOW, think_ns=0, endless=True) is None


def test_the_reason_speaks_of_turns_and_not_of_a_worker() -> None:
    judgement = judge(Facts(turn_wait_share=0.12, longest_turn_lag_ms=250.0))
    assert judgement.verdict == "invalid"
    assert judgement.reasons == [
        "users of conversations waited 12.0% of their time for this client to make their next turn",
        "the next turn of a conversation was sent 250 ms after it was due: this client made it late",
    ]
