"""Counters of two sources and of restarting routers, as differences that make no storms."""

from dataclasses import replace

from hadis.planning import forecasting
from hadis.planning.forecasting import DemandState
from hadis_operator import attaining, counting, pacing
from hadis_operator.attaining import Attainment, Record
from hadis_operator.counting import Ledger, Process
from hadis_operator.prometheus import Sample

OLD = Process("a", started_epoch_s=100.0)
YOUNG = Process("a", started_epoch_s=1003.0)
SINCE = Ledger(since_epoch_s=1000.0)


def arrived(ledger: Ledger, process: Process) -> int:
    return counting.observed(ledger, process).arrived


def test_a_router_that_has_counted_for_days_starts_at_nothing() -> None:
    ledger = counting.note(SINCE, OLD, {"arrived": 50_000, "late": 7})
    assert arrived(ledger, OLD) == 0
    ledger = counting.note(ledger, OLD, {"arrived": 50_010, "late": 8})
    assert arrived(ledger, OLD) == 10
    assert counting.observed(ledger, OLD).late == 1


def test_a_router_that_began_within_the_watch_counts_from_its_first_request() -> None:
    ledger = counting.note(SINCE, YOUNG, {"arrived": 12})
    assert arrived(ledger, YOUNG) == 12


def test_a_router_of_unknown_age_is_taken_for_an_old_one() -> None:
    process = Process("a")
    assert arrived(counting.note(SINCE, process, {"arrived": 12}), process) == 0


def test_a_source_that_lags_behind_the_other_takes_nothing_back() -> None:
    ledger = counting.note(SINCE, YOUNG, {"arrived": 1000})
    ledger = counting.note(ledger, YOUNG, {"arrived": 990})
    assert arrived(ledger, YOUNG) == 1000
    ledger = counting.note(ledger, YOUNG, {"arrived": 1005})
    assert arrived(ledger, YOUNG) == 1005


def test_a_restarted_container_is_another_process_under_another_name() -> None:
    ledger = counting.note(SINCE, YOUNG, {"arrived": 1000})
    restarted = replace(YOUNG, restarts=1, started_epoch_s=2000.0)
    ledger = counting.note(ledger, restarted, {"arrived": 3})
    assert arrived(ledger, restarted) == 3
    names = {counting.observed(ledger, one).uid for one in (YOUNG, restarted)}
    assert len(names) == 2
    kept = counting.keep(ledger, [restarted])
    assert list(kept.entries) == [restarted]


def test_a_count_that_one_source_lacks_does_not_start_anew() -> None:
    ledger = counting.note(SINCE, OLD, {"arrived": 100})
    ledger = counting.note(ledger, OLD, {"arrived": 101, "late": 500})
    assert counting.observed(ledger, OLD).late == 0
    ledger = counting.note(ledger, OLD, {"arrived": 102, "late": 501})
    assert counting.observed(ledger, OLD).late == 1


def a_sample(at_s: float, count: int) -> Sample:
    return Sample("router", "", at_s, {"arrived": count})


def test_frequent_scrapes_are_shown_without_delay() -> None:
    pace = pacing.follow(pacing.follow(None, a_sample(10.0, 100)), a_sample(12.0, 120))
    assert pacing.counts(pace, 12.1, interval_s=5.0) == {"arrived": 120}


def test_a_lazy_scrape_is_played_back_over_the_time_until_the_next() -> None:
    pace = pacing.follow(None, a_sample(0.0, 0))
    assert pacing.counts(pace, 3.0, interval_s=5.0) == {"arrived": 0}
    pace = pacing.follow(pace, a_sample(30.0, 300))
    shown = [pacing.counts(pace, 30.0 + s, interval_s=5.0)["arrived"] for s in (0, 10, 20, 30, 40)]
    assert shown == [0, 100, 200, 300, 300]
    assert pacing.follow(pace, a_sample(30.0, 300)) == pace


def test_a_scrape_lags_that_is_late_or_comes_seldom() -> None:
    pace = pacing.follow(pacing.follow(None, a_sample(10.0, 100)), a_sample(12.0, 120))
    assert not pacing.lags(pace, 14.0, interval_s=5.0)
    assert pacing.lags(pace, 15.0, interval_s=5.0)
    lazy = pacing.follow(pacing.follow(None, a_sample(0.0, 0)), a_sample(30.0, 300))
    assert pacing.lags(lazy, 30.5, interval_s=5.0)


def test_a_steady_load_under_a_lazy_scrape_is_no_series_of_steps() -> None:
    def stepped(scrape_s: int, interval_s: float) -> bool:
        state, pace = DemandState(), None
        for tick in range(60):
            now_s = tick * 5.0
            scraped_s = now_s - now_s % scrape_s
            pace = pacing.follow(pace, a_sample(scraped_s, int(scraped_s * 10)))
            counts = pacing.counts(pace, now_s, interval_s=interval_s)
            state = forecasting.observe(
                state, now_s, {"a": counts["arrived"]}, smoothing=0.5, interval_s=5.0
            )
        return state.stepped_at_s > 100.0

    assert not stepped(30, interval_s=5.0)
    # The same without playing it back: the reason why it is.
    assert stepped(30, interval_s=1000.0)


def test_a_counter_that_fell_is_a_restart_and_not_interpolated() -> None:
    pace = pacing.follow(pacing.follow(None, a_sample(0.0, 500)), a_sample(30.0, 5))
    assert pacing.counts(pace, 31.0, interval_s=5.0) == {"arrived": 5}


def a_record(*marks: tuple[float, int, int], judgement: Attainment = Attainment.NO_DATA) -> Record:
    record = Record(judgement)
    for at_s, total, late in marks:
        ledger = counting.note(SINCE, YOUNG, {"arrived": total, "late": late})
        record = attaining.note(record, at_s, [counting.observed(ledger, YOUNG)])
    return record


def test_deadlines_are_judged_once_somebody_has_asked() -> None:
    assert a_record((0.0, 0, 0), (5.0, 0, 0)).judgement is Attainment.NO_DATA
    assert a_record((0.0, 0, 0), (5.0, 100, 0)).judgement is Attainment.MET
    assert a_record((0.0, 0, 0), (5.0, 100, 6)).judgement is Attainment.MISSED


def test_between_the_limits_and_without_load_a_judgement_stands() -> None:
    missed = a_record((0.0, 0, 0), (5.0, 100, 3), judgement=Attainment.MISSED)
    assert missed.judgement is Attainment.MISSED
    met = a_record((0.0, 0, 0), (5.0, 100, 3), judgement=Attainment.MET)
    assert met.judgement is Attainment.MET
    quiet = attaining.note(met, 500.0, [])
    assert quiet.judgement is Attainment.MET


def test_that_all_is_well_waits_a_while_for_a_status_that_is_written_anyway() -> None:
    record = a_record((0.0, 0, 0), (5.0, 100, 0))
    assert attaining.shown(record, 5.0, is_written=False) is Attainment.NO_DATA
    assert attaining.shown(record, 5.0, is_written=True) is Attainment.MET
    assert attaining.shown(record, 26.0, is_written=False) is Attainment.MET
    missed = a_record((0.0, 0, 0), (5.0, 100, 50))
    assert attaining.shown(missed, 5.0, is_written=False) is Attainment.MISSED


def test_a_router_that_goes_takes_no_judgement_with_it() -> None:
    record = a_record((0.0, 1000, 0), (5.0, 0, 0), judgement=Attainment.MET)
    assert record.judgement is Attainment.MET
    assert len(record.marks) == 1
