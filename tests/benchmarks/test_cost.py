"""A profile's samples become the cost of each step of a create, and those a picture."""

from xml.etree import ElementTree as ET

import pytest

from bench.cost_picture import COLOURS, drawn
from bench.cost_steps import ANSWER, CALLER, DATABASE, GATEWAY, LOOP, ORDERED, OTHER, SERVER, STEPS, costs, steps_of

MAIN = "thread (7): MainThread;run (uvloop/__init__.py:92);RequestHandler.start (aiohttp/web_protocol.py:642)"
CREATE = f"{MAIN};observed (proxy/web/middleware.py:71);create_payment (proxy/web/payments.py:48)"
LANE = "thread (9): Thread-1 (_connection_worker_thread);_bootstrap (threading.py:1002)"


@pytest.mark.parametrize(
    ("stack", "step"),
    [
        ("thread (7): MainThread;run (uvloop/__init__.py:92)", LOOP),
        (MAIN, SERVER),
        (f"{MAIN};observed (proxy/web/middleware.py:71);authenticate (proxy/web/auth.py:3)", CALLER),
        (CREATE, ANSWER),
        (f"{CREATE};Store.create (proxy/adapters/store/creates.py:9);system_now (proxy/clock.py:5)", STEPS),
        (f"{CREATE};request (proxy/adapters/gateway.py:63);post (aiohttp/client.py:9);f (asyncio/tasks.py:1)", GATEWAY),
        ("thread (7): MainThread;<module> (proxy/__main__.py:11)", OTHER),
    ],
)
def test_the_innermost_frame_that_tells_decides_the_step(stack: str, step: str) -> None:
    assert steps_of([f"{stack} 3"]) == {(True, step): 3}


def test_the_databases_thread_counts_while_it_works_and_not_while_it_waits() -> None:
    waits = f"{LANE};_connection_worker_thread (aiosqlite/core.py:52)"
    works = f"{waits};_commit (proxy/adapters/sqlite/group_commit.py:61)"
    resolver = "thread (8): Thread-2;Channels._run_safe_shutdown_loop (pycares/__init__.py:445)"
    assert steps_of([f"{waits} 50", f"{works} 2", f"{resolver} 7"]) == {(False, DATABASE): 2}


def test_samples_share_out_the_cpu_time_of_their_own_thread() -> None:
    counted = steps_of([f"{MAIN} 1", f"{CREATE} 3", f"{LANE};run (proxy/adapters/sqlite/lane.py:1) 40"])
    made = costs(counted, loop_us=200.0, other_us=60.0)
    assert list(made) == list(ORDERED)
    assert {step: us for step, us in made.items() if us} == {SERVER: 50.0, ANSWER: 150.0, DATABASE: 60.0}


def test_a_profile_without_samples_of_a_thread_is_none() -> None:
    with pytest.raises(ValueError, match="too short"):
        costs(steps_of([f"{MAIN} 1"]), 200.0, 60.0)


def test_the_picture_has_a_colour_and_a_line_for_each_step_and_bars_as_wide_as_the_costs() -> None:
    assert len(COLOURS) == len(ORDERED)
    steps = {step: 10.0 * number for number, step in enumerate(ORDERED, start=1)}
    picture = ET.fromstring(drawn(steps, 100.0))  # noqa: S314  our own text
    bars = [each for each in picture if each.tag.endswith("rect") and each.get("height") == "44"]
    widths = [float(each.get("width", "0")) for each in bars]
    assert [each.get("fill") for each in bars] == list(COLOURS)
    assert widths[10] == pytest.approx(11 * widths[0], abs=1)
    assert sum(widths) == pytest.approx(840, abs=1)
    words = [each.text or "" for each in picture if each.tag.endswith("text")]
    assert set(ORDERED) <= set(words)
    assert any("660 µs" in text for text in words)
