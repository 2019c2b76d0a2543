"""The load generator is open-loop, keeps honest books, and calls a run invalid that fell behind."""

import asyncio
import itertools
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hadis.errors import InvalidInput
from hadis_cli import main as cli
from hadis_cli.benching import arrivals, books
from hadis_cli.benching.books import Entry
from support import scripted_endpoint
from support.scripted_endpoint import Script


def bench(url: str, *options: str) -> tuple[int, dict[str, object]]:
    """Run `hadis bench --json` in this process and return its exit code and report."""
    result = run("bench", "--url", url, "--json", *options)
    return result.return_value, json.loads(result.stdout)  # type: ignore[attr-defined]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.group, list(arguments), standalone_mode=False)


def an_entry(**fields: object) -> Entry:
    entry = Entry(0.0, "a red circle", 1, sent_s=0.0, done_s=1.0, status=200, outcome="escalated")
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry


def test_slow_answers_do_not_slow_down_the_sends() -> None:
    script = Script(delay_s=1.5)
    with scripted_endpoint.serve(script) as url:
        _, report = bench(url, "--rate", "40", "--duration", "1", "--slo", "10")
    assert report["requests"] == len(script.bodies) > 20
    # Had the sends waited for answers, each would have come 1.5 s after the one before.
    assert script.arrived_s[-1] - script.arrived_s[0] < 10


def test_every_request_carries_the_deadline_a_seed_and_a_prompt_of_the_endpoint() -> None:
    script = Script()
    with scripted_endpoint.serve(script) as url:
        code, report = bench(url, "--rate", "20", "--duration", "1", "--slo", "7.5")
    assert report["requests"] == len(script.bodies)
    assert {headers["hadis-deadline-seconds"] for headers in script.headers} == {"7.5"}
    assert {body["prompt"] for body in script.bodies} <= {"a red circle", "a dog"}
    assert len({body["seed"] for body in script.bodies}) == len(script.bodies)
    assert code == (0 if report["valid"] else 1)


def test_outcomes_are_counted_as_the_endpoint_tells_them(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# a comment\na red circle\n\n")
    trace = tmp_path / "trace.txt"
    trace.write_text("".join(f"{100 * index},1\n" for index in range(6)))
    answers = [
        scripted_endpoint.an_image("light", outcome="served_light"),
        scripted_endpoint.an_image("kept"),
        scripted_endpoint.an_image("pinned", outcome="served_heavy"),
        scripted_endpoint.an_error(429, "the queue is full", "rejected"),
        scripted_endpoint.an_error(504, "too late", "expired"),
        scripted_endpoint.an_error(400, "prompt is empty", None),
    ]
    with scripted_endpoint.serve(Script(answer=lambda _, number: answers[number])) as url:
        _, report = bench(url, "--trace", str(trace), "--prompts", str(prompts), "--slo", "10")
    want_outcomes = {
        "served_light": 1, "escalated": 1, "served_heavy": 1, "rejected": 1, "expired": 1,
        "refused": 1,
    }  # fmt: skip
    assert report["outcomes"] == want_outcomes
    assert (report["served"], report["on_time"], report["late"]) == (3, 3, 0)
    assert report["slo_violation_ratio"] == 0.5
    assert report["errors"]["the queue is full"] == 1  # type: ignore[index]


def test_an_endpoint_that_is_not_there_makes_the_run_invalid() -> None:
    result = run("bench", "--url", "http://127.0.0.1:9", "--prompts", __file__, "--rate", "5",
                 "--duration", "1", "--slo", "5", "--json")  # fmt: skip
    report = json.loads(result.stdout)
    assert result.return_value == 1  # type: ignore[attr-defined]
    assert set(report["outcomes"]) == {"unanswered"}
    assert "never answered" in report["invalid_because"]


def test_lateness_counts_from_the_scheduled_time() -> None:
    delayed = an_entry(scheduled_s=1.0, sent_s=4.0, done_s=6.5)
    assert delayed.latency_s == 5.5
    assert books.is_late(delayed, slo_s=5.0)
    assert not books.is_late(delayed, slo_s=6.0)


def test_a_run_in_which_the_generator_fell_behind_is_invalid() -> None:
    good = [an_entry() for _ in range(98)]
    behind = [an_entry(sent_s=0.6) for _ in range(2)]
    assert books.trouble(good, slo_s=10.0) is None
    assert books.trouble([*good, *behind], slo_s=20.0) is None  # 5 % of the SLO is 1 s
    want_reason = "2 of 100 requests left more than 0.5 s after their time"
    assert want_reason in (books.trouble([*good, *behind], slo_s=10.0) or "")


def test_route_ratios_count_both_models_of_an_escalation() -> None:
    paths = ["light", "light", "light>heavy", "kept", "heavy", "degraded", "pinned", "light"]
    report = books.summarise([an_entry(path=path) for path in paths], slo_s=10.0, wall_s=1.0)
    assert report["route_ratio"] == {"light": round(6 / 7, 6), "heavy": round(3 / 7, 6)}


def test_equal_seeds_give_equal_schedules_of_the_asked_rate() -> None:
    one, two = (
        arrivals.poisson(["a", "b"], rate_per_s=50.0, duration_s=40.0, seed=3) for _ in range(2)
    )
    assert one == two
    assert len(one) == pytest.approx(2000, rel=0.1)
    gaps = [late.at_s - early.at_s for early, late in itertools.pairwise(one)]
    spread_s = (sum((gap - 0.02) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread_s == pytest.approx(0.02, rel=0.15)  # exponential: deviation equals the mean


def test_a_trace_is_sorted_and_its_indexes_wrap() -> None:
    read = arrivals.from_trace("2000,3\n500.0,1\n\n1000,2\n", ["a", "b"], source="t", seed=0)
    assert [(arrival.at_s, arrival.prompt) for arrival in read] == [
        (0.5, "a"), (1.0, "b"), (2.0, "a"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["1,2\nx,3", "1,zero", "-1,1", "nan,1", "1,0", ""])
def test_a_broken_trace_is_refused_naming_the_line(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"t:[12]|t: the trace is empty"):
        arrivals.from_trace(text, ["a"], source="t", seed=0)


def test_rate_and_trace_exclude_each_other() -> None:
    for options in ([], ["--rate", "1", "--trace", __file__], ["--rate", "1"]):
        result = run("bench", "--slo", "1", *options)
        assert isinstance(result.exception, InvalidInput)


def test_the_load_process_sends_at_the_rate_that_it_is_told() -> None:
    from hadis_cli.benching.load_process import Load
    from hadis_cli.benching.sending import Sender, open_session

    random.seed(1)
    script = Script()

    async def slide(url: str) -> list[int]:
        async with open_session(None) as session:
            load = Load(Sender(session, url, slo_s=5.0), ["a red circle"])
            running = asyncio.create_task(load.run())
            counts = []
            for rate in (0.0, 30.0, 0.0):
                before = load.tally.sent
                load.set_rate(rate)
                await asyncio.sleep(1.5)
                counts.append(load.tally.sent - before)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert load.tally.completed == load.tally.sent
            return counts

    with scripted_endpoint.serve(script) as url:
        off, on, off_again = asyncio.run(slide(url))
    assert (off, off_again) == (0, 0)
    assert 15 <= on <= 90


def test_the_load_process_judges_by_the_slo_that_the_cascade_has_now() -> None:
    from hadis_cli.benching.load_process import follow_slo
    from hadis_cli.benching.sending import Sender, open_session

    script = Script(slo_s=4.0)

    async def follow(url: str) -> None:
        async with open_session(None) as session:
            sender = Sender(session, url, slo_s=10.0, tell_slo=False)
            following = asyncio.create_task(follow_slo(sender, session, url, every_s=0.01))
            async with asyncio.timeout(60):
                while sender.slo_s != 4.0:
                    await asyncio.sleep(0.01)
                script.slo_s = 0.0  # no answer that makes sense: the last one stands
                await asyncio.sleep(0.1)
            assert sender.slo_s == 4.0
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    with scripted_endpoint.serve(script) as url:
        asyncio.run(follow(url))
