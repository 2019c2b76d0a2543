"""Who is let in, and how the expectation of being in time follows what workers show."""

import pytest

from hadis.errors import NoWorker, Overloaded
from hadis.routing import admitting
from hadis.terms.cascades import RouterLimits
from hadis.wire.assignments import RoutingTableBody
from hadis.wire.generation import GenerateReport, QueueState
from hadis_router.admission import Admission
from hadis_router.fleet_view import CAUTION_LASTS_S, FleetView
from hadis_router.latency_book import HALF_LIFE_S, LatencyBook, Learnt
from support.router_fixtures import BIG, TINY, a_profile

NOW_S = 1000.0
BATCH_S = 0.5


@pytest.fixture
def view():
    """One worker on TINY, half a second an image, batches of one."""
    return a_view(1)


def a_view(workers):
    view = FleetView(LatencyBook(a_profile(BATCH_S, 2.0), clock=lambda: NOW_S), not_resident_s=2.0)
    view.cautions.update(dict.fromkeys((TINY, BIG), Learnt(1.0, NOW_S)))
    refs = [
        {"name": f"w{index}", "address": f"x:{index}", "uid": f"u{index}", "model": TINY}
        for index in range(workers)
    ]
    lane = {"light": TINY, "heavy": BIG, "hardness_threshold": 0.5, "quality_threshold": 0.5}
    view.apply(
        RoutingTableBody.model_validate(
            {"version": 1, "lanes": [{"share": 1, **lane}], "workers": refs,
             "plan": {"batch": {TINY: 1, BIG: 1}}}
        ),
        NOW_S,
    )  # fmt: skip
    return view


def ask(admission, *, now_s=NOW_S, within_s=10.0, images=1, scored=True):
    admission.admit(
        images=images,
        model=TINY,
        now_s=now_s,
        latest_s=now_s + within_s,
        backlog_s=0.0,
        limits=RouterLimits(max_in_flight=512),
    )
    if scored:
        admission.note_scored(images, TINY)


def let_in(admission, **how):
    """Count the requests of a burst that are let in; at most a hundred are tried."""
    for count in range(100):
        try:
            ask(admission, **how)
        except Overloaded:
            return count
    return 100


@pytest.mark.parametrize(("workers", "want"), [(1, 20), (2, 40)])
def test_a_burst_that_is_still_being_scored_fills_the_queue_and_no_more(workers, want):
    # An image takes 0.5 s and there are 10 s. Nothing of the burst is at a worker yet.
    assert let_in(Admission(a_view(workers)), scored=False) == pytest.approx(want, abs=1)


def test_what_was_sent_is_counted_once(view):
    admission = Admission(view)
    for _ in range(5):
        ask(admission)
        view.note_sent(view.workers["w0"], TINY, NOW_S)
    assert admission.finish_s(TINY, NOW_S) == pytest.approx(NOW_S + 6 * BATCH_S)


def test_a_worker_that_has_slowed_down_is_found_out_by_its_silence(view):
    admission, worker = Admission(view), view.workers["w0"]
    for _ in range(8):
        ask(admission)
        view.note_sent(worker, TINY, NOW_S)
    ask(admission, now_s=NOW_S + 0.5)  # all as expected: 4 s of work for 10 s of time
    with pytest.raises(Overloaded) as refused:  # three times as slow: 12 s of work
        ask(admission, now_s=NOW_S + 2.0)
    assert 1 <= refused.value.retry_after_s <= 60


def test_images_that_never_came_in_time_teach_caution_too(view):
    before = view.caution(TINY, NOW_S)
    for _ in range(10):
        view.note_given_up(TINY, 0.5, 9.5, NOW_S)
    learnt = view.caution(TINY, NOW_S)
    assert learnt > 1.3 * before
    assert view.caution(BIG, NOW_S) == before
    view.note_given_up(TINY, 9.0, 9.5, NOW_S)  # it may still have been right
    assert view.caution(TINY, NOW_S) == learnt


def test_images_that_their_clients_left_make_room_at_once(view):
    worker = view.workers["w0"]
    for _ in range(50):
        view.note_sent(worker, TINY, NOW_S)
    assert view.expected_finish_s(TINY, NOW_S) > NOW_S + 20
    for _ in range(50):
        view.note_ended(worker, TINY, NOW_S, dropped=True)
    assert view.expected_finish_s(TINY, NOW_S) == pytest.approx(NOW_S + BATCH_S)


def test_a_reply_that_tells_of_a_long_queue_closes_the_door(view):
    admission, worker = Admission(view), view.workers["w0"]
    ask(admission)
    view.note_sent(worker, TINY, NOW_S)
    view.note_ended(worker, TINY, NOW_S + 0.5, dropped=False)
    queue = QueueState(waiting=30, running=1, free_in_s=15.0)
    report = GenerateReport(
        worker="w0", uid="u0", model=TINY, generate_s=0.5, batch_size=1, queue=queue
    )
    view.note_report(worker, report, NOW_S + 0.5, took_s=0.5)
    with pytest.raises(Overloaded):
        ask(admission, now_s=NOW_S + 0.5)


def test_an_idle_fleet_is_tried_unless_the_profile_itself_says_no(view):
    for _ in range(60):
        view.book.observe(TINY, 1, 30.0)
    ask(Admission(view))
    with pytest.raises(Overloaded):
        ask(Admission(view), within_s=0.4)


def test_without_a_worker_nobody_is_let_in():
    with pytest.raises(NoWorker):
        ask(Admission(a_view(0)))


def most_cautious(view, model):
    for _ in range(200):
        view.note_prediction(model, 0.5, 9.0, NOW_S)
    assert view.caution(model, NOW_S) == admitting.MOST_CAUTION


def test_caution_is_learnt_for_each_model():
    view = a_view(1)
    most_cautious(view, BIG)
    assert view.caution(TINY, NOW_S) == 1.0


def test_caution_fades_while_nothing_is_learnt(view):
    most_cautious(view, TINY)
    later_s = NOW_S + CAUTION_LASTS_S
    assert view.caution(TINY, later_s) == admitting.MOST_CAUTION
    halfway = (admitting.MOST_CAUTION + admitting.FIRST_CAUTION) / 2
    assert view.caution(TINY, later_s + HALF_LIFE_S) == pytest.approx(halfway)
    assert view.caution(TINY, later_s + 300.0) == pytest.approx(admitting.FIRST_CAUTION, abs=0.01)


def test_caution_does_not_fade_while_images_end(view):
    most_cautious(view, TINY)
    for second in range(60):
        view.note_prediction(TINY, 0.5, 0.5, NOW_S + second)
    assert view.caution(TINY, NOW_S + 60) > 0.9 * admitting.MOST_CAUTION


def test_an_idle_model_is_hoped_to_be_as_fast_as_its_images_and_a_busy_one_is_not(view):
    most_cautious(view, TINY)
    admission = Admission(view)
    assert admission.hoped_finish_s(TINY, NOW_S) == pytest.approx(NOW_S + BATCH_S)
    assert admission.finish_s(TINY, NOW_S) == pytest.approx(NOW_S + 4.0 * BATCH_S)
    ask(admission, scored=False)
    assert admission.hoped_finish_s(TINY, NOW_S) == admission.finish_s(TINY, NOW_S)
    admission.note_scored(1, TINY)
    view.note_sent(view.workers["w0"], TINY, NOW_S)
    assert admission.hoped_finish_s(TINY, NOW_S) == pytest.approx(NOW_S + 8.0 * BATCH_S)


def assign(view, *, version, **ref):
    """Put the next table, with w0 on BIG unless told otherwise."""
    lane = {"light": TINY, "heavy": BIG, "hardness_threshold": 0.5, "quality_threshold": 0.5}
    worker = {"name": "w0", "address": "x:0", "uid": "u0", "model": BIG, **ref}
    body = {"version": version, "lanes": [{"share": 1, **lane}], "workers": [worker]}
    view.apply(RoutingTableBody.model_validate(body), NOW_S)


def test_a_model_that_is_still_to_load_comes_behind_what_waits_for_the_old_one(view):
    worker = view.workers["w0"]
    for _ in range(4):
        view.note_sent(worker, TINY, NOW_S)
    assign(view, version=2, arrives_in_s=3.0)
    assert view.expected_finish_s(BIG, NOW_S) == pytest.approx(NOW_S + 4 * BATCH_S + 3.0 + 2.0)
    assign(view, version=3, arrives_in_s=3.0)  # said again, it takes no longer
    assert view.expected_finish_s(BIG, NOW_S) == pytest.approx(NOW_S + 4 * BATCH_S + 3.0 + 2.0)


def test_a_model_that_has_to_be_loaded_again_is_counted_again(view):
    assign(view, version=2)
    view.note_lacking(view.workers["w0"], BIG, NOW_S)
    assign(view, version=3, arrives_in_s=3.0)
    assert view.expected_finish_s(BIG, NOW_S) == pytest.approx(NOW_S + 3.0 + 2.0)


def test_a_router_that_starts_late_knows_of_loading_workers_too(view):
    assign(view, version=2, uid="another", arrives_in_s=3.0)
    assert view.expected_finish_s(BIG, NOW_S) == pytest.approx(NOW_S + 3.0 + 2.0)


def test_a_worker_that_loads_is_no_slow_one(view):
    worker = view.workers["w0"]
    assign(view, version=2, arrives_in_s=3.0)
    view.note_sent(worker, BIG, NOW_S)
    assert view.longest_batch_s(worker) == pytest.approx(3.0 + 2.0)
    assign(view, version=3, arrives_in_s=0.0)
    assert view.longest_batch_s(worker) == pytest.approx(2.0)


def test_a_worker_that_lacked_a_model_is_asked_once_it_is_to_have_it(view):
    worker = view.workers["w0"]
    view.note_lacking(worker, BIG, NOW_S)
    assert view.expected_finish_s(BIG, NOW_S) is None
    assign(view, version=2, arrives_in_s=3.0)
    assert view.expected_finish_s(BIG, NOW_S) is not None
