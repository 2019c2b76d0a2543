"""Traces: files read and sorted, shapes turned into arrivals."""

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.profiling import traces
from support import measured_data


def test_arrivals_are_sorted_and_prompts_counted_from_zero() -> None:
    trace = traces.read("34.0,3\n59,1\n40,2\n\n", "t.txt", prompts=3)
    assert trace.at_s.tolist() == [0.034, 0.040, 0.059]
    assert trace.prompt.tolist() == [2, 1, 0]
    assert (trace.moved, trace.moved_s) == (1, pytest.approx(0.019))


def test_a_line_without_an_index_takes_the_prompt_of_its_number() -> None:
    assert traces.read("1\n2\n3\n", "t", prompts=2).prompt.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "t.txt: the trace is empty"),
        ("\n \n", "t.txt: the trace is empty"),
        ("5,1\n-1,1", "t.txt:2: arrival_ms is '-1'"),
        ("x,1", "t.txt:1: arrival_ms is 'x'"),
        ("nan,1", "t.txt:1: arrival_ms is 'nan'"),
        ("inf,1", "t.txt:1: arrival_ms is 'inf'"),
        ("5,0", "t.txt:1: prompt_index is '0'"),
        ("5,1.5", "t.txt:1: prompt_index is '1.5'"),
        ("5,nan", "t.txt:1: prompt_index is 'nan'"),
        ("5,99999999999", "t.txt:1: prompt_index is '99999999999'"),
        ("1700000000000,1", "t.txt: the last request arrives after 19,676 days; count arrival_ms"),
        ("5,1\n6,11", "t.txt:2: prompt_index is 11, but the workload has 10"),
    ],
)
def test_a_wrong_line_is_named(text: str, want: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        traces.read(text, "t.txt", prompts=10)
    assert str(caught.value).startswith(want)


def test_chunks_hold_every_request_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "CHUNK", 3)
    trace = traces.ordered(np.arange(8.0), np.arange(8))
    parts = list(trace.chunks())
    assert [len(at_s) for at_s, _ in parts] == [3, 3, 2]
    assert [second for at_s, _ in parts for second in at_s] == trace.at_s.tolist()
    assert [index for _, prompt in parts for index in prompt] == trace.prompt.tolist()


def test_counting_is_from_the_start_to_before_the_end() -> None:
    trace = traces.ordered(np.array([0.0, 5.0, 10.0, 19.9]), np.zeros(4, dtype=np.int64))
    assert (trace.count(0.0, 10.0), trace.count(10.0, 20.0), trace.count(20.0, 30.0)) == (2, 2, 0)


def test_a_curve_keeps_its_shape_between_the_two_rates() -> None:
    curve = traces.read_curve(",hour,invocations\n0,0,500\n1,1,900\n2,2,700\n3,3,500\n", "c.csv")
    trace = traces.from_curve(
        curve, low_per_s=5.0, high_per_s=45.0, duration_s=300.0, prompts=20, seed=4
    )
    rates = [trace.count(start, start + 20.0) / 20.0 for start in (0.0, 90.0, 190.0, 280.0)]
    # Middle of each stretch: 9, 45, 25 and 7 a second; 20 s of 45 a second hold 900 +- 30.
    assert rates == pytest.approx([9.0, 45.0, 25.0, 7.0], rel=0.2)
    assert set(trace.prompt.tolist()) == set(range(20))
    again = traces.from_curve(
        curve, low_per_s=5.0, high_per_s=45.0, duration_s=300.0, prompts=20, seed=4
    )
    assert again.at_s.tolist() == trace.at_s.tolist()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("h\n1\n", "c.csv: a load's shape needs"),
        ("h\n1\n1\n", "c.csv: a load's shape needs"),
        ("h\n1\n-2\n", "c.csv:3: '-2' is no amount"),
    ],
)
def test_a_curve_without_a_shape_is_refused(text: str, want: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        traces.read_curve(text, "c.csv")
    assert str(caught.value).startswith(want)


def test_phases_are_constant_and_may_hold_easy_or_hard_prompts_only() -> None:
    phases = traces.read_phases("60x4, 60x20hard,60x20easy")
    hardness = np.linspace(1.0, 0.0, 50)  # the first prompts are the hard ones
    trace = traces.from_phases(phases, hardness, seed=3)
    counts = [trace.count(60.0 * place, 60.0 * (place + 1)) for place in range(3)]
    assert counts == pytest.approx([240, 1200, 1200], rel=0.15)
    hard = trace.prompt[(trace.at_s >= 60.0) & (trace.at_s < 120.0)]
    easy = trace.prompt[trace.at_s >= 120.0]
    assert set(hard.tolist()) == set(range(25))
    assert set(easy.tolist()) == set(range(25, 50))


@pytest.mark.parametrize("text", ["60", "x4", "60x", "-1x4", "60xnan", "60x4soft", "60x-1", ""])
def test_a_wrong_phase_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no phase"):
        traces.read_phases(text)


def test_phases_without_any_request_are_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing arrives"):
        traces.from_phases(traces.read_phases("60x0"), np.zeros(3), seed=1)


@pytest.mark.parametrize(
    ("folder", "name", "first", "last"),
    [("hadis", "trace_1to20qps.txt", 1.0, 20.0), ("diffserve", "trace_2to16qps.txt", 2.0, 16.0)],
)
def test_recorded_traces_are_read_whole(folder: str, name: str, first: float, last: float) -> None:
    text = measured_data.trace_text(name, folder)
    trace = traces.read(text, name, prompts=5000)
    assert len(trace) == len(text.split())
    assert 20 < trace.moved < 300
    assert 0.1 < trace.moved_s < 3.0
    assert (np.diff(trace.at_s) >= 0).all()
    rates = [trace.count(10.0 * i, 10.0 * i + 10.0) / 10.0 for i in range(34)]
    assert min(rates) == pytest.approx(first, abs=1.5)
    assert max(rates) == pytest.approx(last, rel=0.35)
