"""The decisions themselves: entry, picking, admission, verdicts and the books of a request."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hadis.routing import admitting, cascading, entry, lifecycles, picking
from hadis.routing.cascading import Verdict
from hadis.routing.entry import Route, Stage
from hadis.routing.lifecycles import Lifecycle
from hadis.terms.outcomes import ImagePath, Outcome
from hadis.terms.profiles import Deliver

unit = st.floats(0, 1, exclude_max=True)
scores = st.floats(-1, 2)
seconds = st.floats(0, 1000)
seeds = st.integers(0, 2**32 - 1)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), unit)
def test_a_draw_falls_on_the_lane_that_covers_it(weights, draw):
    shares = [weight / sum(weights) for weight in weights]
    index = entry.draw_lane(shares, draw)
    assert sum(shares[:index]) <= draw + 1e-9
    assert draw < sum(shares[: index + 1]) + 1e-9


def test_lanes_are_drawn_as_often_as_their_shares_say():
    draws = [entry.draw_lane([0.25, 0.0, 0.75], step / 1000) for step in range(1000)]
    assert (draws.count(0), draws.count(1), draws.count(2)) == (250, 0, 750)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=5), unit)
def test_a_lane_without_a_share_is_never_drawn(shares, draw):
    if any(shares):
        assert shares[entry.draw_lane(shares, draw)] > 0


@given(scores, scores)
def test_a_prompt_as_hard_as_the_threshold_goes_to_heavy(hardness, threshold):
    want = Stage.HEAVY if hardness >= threshold else Stage.LIGHT
    assert entry.enter(Route.PLANNED, hardness, threshold) is want


@given(scores)
def test_a_switched_off_router_stage_sends_everything_to_light(hardness):
    assert entry.enter(Route.PLANNED, hardness, math.inf) is Stage.LIGHT


@given(scores, scores)
def test_asked_quality_overrules_hardness(hardness, threshold):
    assert entry.enter(Route.LIGHT_ONLY, hardness, threshold) is Stage.LIGHT
    assert entry.enter(Route.HEAVY_ONLY, hardness, threshold) is Stage.HEAVY


def test_only_planned_images_are_judged_and_only_by_a_finite_threshold():
    assert entry.is_judged(Route.PLANNED, 0.0)
    assert not entry.is_judged(Route.PLANNED, -math.inf)
    assert not any(entry.is_judged(route, 0.5) for route in Route if route is not Route.PLANNED)


@given(scores, scores, st.none() | seconds, seconds)
def test_a_light_image_is_kept_escalated_or_degraded(score, threshold, heavy_s, latest_s):
    verdict = cascading.judge(score, threshold, heavy_finish_s=heavy_s, latest_finish_s=latest_s)
    if score >= threshold:
        assert verdict is Verdict.ACCEPT
    elif heavy_s is not None and heavy_s <= latest_s:
        assert verdict is Verdict.ESCALATE
    else:
        assert verdict is Verdict.DEGRADE


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_threshold_above_one_accepts_nothing_and_zero_everything(score, excess):
    assert not cascading.is_good_enough(score, 1.0 + 1e-9 + excess)
    assert cascading.is_good_enough(score, 0.0)


@given(scores, scores)
def test_the_light_image_wins_only_by_a_strictly_higher_score(light, heavy):
    assert cascading.prefers_light(Deliver.BETTER, light, heavy) == (light > heavy)
    assert not cascading.prefers_light(Deliver.HEAVY, light, heavy)
    assert not cascading.prefers_light(Deliver.BETTER, None, heavy)
    assert not cascading.prefers_light(Deliver.BETTER, light, None)


@given(seeds, st.integers(-10, 10).filter(bool))
def test_second_seeds_differ_from_the_first_and_from_the_neighbours(seed, step):
    second = cascading.second_seed(seed, same_model=True)
    assert 0 <= second < 2**32
    assert second not in range(seed - 10, seed + 11)
    assert second != cascading.second_seed((seed + step) % 2**32, same_model=True)
    assert cascading.second_seed(seed, same_model=False) == seed


@given(st.integers(1, 100), unit, unit)
def test_two_draws_name_two_different_workers(count, first, second):
    one, two = picking.draw_two(count, first, second)
    assert 0 <= one < count
    assert 0 <= two < count
    assert count == 1 or one != two


def test_every_pair_of_workers_is_drawn():
    steps = [(i + 0.5) / 12 for i in range(12)]
    pairs = {picking.draw_two(4, first, second) for first in steps for second in steps}
    assert pairs == {(i, j) for i in range(4) for j in range(4) if i != j}


@given(st.lists(seconds, min_size=1, max_size=20), unit, unit, seconds)
def test_a_worker_in_time_is_found_if_there_is_one(finishes, first, second, latest):
    index = picking.pick_in_time(finishes, first, second, latest)
    assert finishes[index] <= latest or min(finishes) > latest
    if min(finishes) > latest:
        assert finishes[index] == min(finishes)


@given(seconds, seconds, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_clock_moves_on_with_every_image_sent(clock, now, alone, shared):
    later = picking.clock_after_sending(clock, now, alone_s=alone, shared_s=shared)
    assert later > picking.start_s(clock, now) or later == pytest.approx(now + alone)
    assert later >= now


def test_a_worker_that_answers_in_time_is_believed():
    held = {"unanswered_s": 3.0, "batch_s": 0.5}
    assert picking.start_s(12.0, 10.0, silent_s=0.5, **held) == 12.0
    assert picking.start_s(9.0, 10.0, silent_s=0.5, **held) == 10.25  # its clock has run out
    assert picking.start_s(9.0, 10.0) == 10.0


@given(seconds, seconds, st.floats(0.01, 5), st.floats(0.01, 100), st.floats(0, 100))
def test_the_longer_a_worker_is_silent_the_later_it_is_expected(clock, now, batch, held, silent):
    def start(silent_s):
        return picking.start_s(clock, now, unanswered_s=held, batch_s=batch, silent_s=silent_s)

    assert max(clock, now) <= start(silent) <= start(silent + 1.0)


def test_a_silent_worker_is_expected_at_the_pace_that_its_silence_shows():
    # A batch of 0.5 s has taken 1.75 s, 1 s of it beyond the tolerance: three times as long. One
    # batch is about to end (half of one, to be careful), 2 s of work are behind it.
    start_s = picking.start_s(10.5, 10.0, unanswered_s=2.5, batch_s=0.5, silent_s=1.75)
    assert start_s == pytest.approx(10.0 + 3.0 * (2.0 + 0.25))


@given(seconds, seconds, st.floats(0, 10))
def test_a_dropped_image_moves_the_clock_back_but_not_behind_the_present(clock, now, shared):
    after = picking.clock_after_dropping(clock, now, shared_s=shared)
    assert min(clock, now) <= after <= clock
    assert after >= clock - shared


def test_a_reply_sets_the_clock_right():
    assert picking.clock_after_reply(10.0, 2.5) == 12.5
    assert picking.clock_after_reply(10.0, -1.0) == 10.0
    assert picking.clock_after_reply(10.0, 2.5, unseen=3, shared_s=0.5) == 14.0
    assert picking.clock_after_reply(10.0, 2.5, unseen=-3, shared_s=0.5) == 12.5


@given(seconds, st.floats(0, 10), st.floats(0.01, 1), seconds)
def test_a_worker_is_never_stalled_before_its_batch_could_be_done(
    progress, longest, grace, elsewhere
):
    stall = picking.stalls_at_s(
        progress_s=progress,
        longest_batch_s=longest,
        grace_s=grace,
        latest_start_elsewhere_s=elsewhere,
    )
    assert progress + longest < stall <= progress + 2 * longest + grace


def test_a_failing_worker_is_left_alone_longer_each_time_up_to_a_limit():
    waits = [picking.avoid_for_s(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.25, 4.0)


@given(st.lists(st.booleans(), max_size=200))
def test_caution_stays_within_its_bounds(ends):
    caution = admitting.LEAST_CAUTION
    for underestimated in ends:
        before = caution
        caution = admitting.next_caution(caution, underestimated=underestimated)
        assert admitting.LEAST_CAUTION <= caution <= admitting.MOST_CAUTION
        assert (caution >= before) if underestimated else (caution <= before)


def test_caution_settles_where_one_image_in_twenty_exceeds_it():
    # Images take 0.5 to 2.5 times as long as predicted, evenly: 5 % take more than 2.4 times.
    draws = random.Random(1)
    caution, seen = admitting.FIRST_CAUTION, []
    for _ in range(20_000):
        took_s = 10.0 * draws.uniform(0.5, 2.5)
        underestimated = admitting.is_underestimated(10.0, took_s, caution)
        caution = admitting.next_caution(caution, underestimated=underestimated)
        seen.append(caution)
    assert statistics.mean(seen[2000:]) == pytest.approx(2.4, abs=0.1)


@given(st.floats(-10, 1e6))
def test_retry_after_is_a_whole_number_of_seconds_up_to_a_minute(excess):
    wait = admitting.retry_after_s(excess)
    assert wait == int(wait)
    assert 1 <= wait <= 60
    assert wait >= min(excess, 60)


@given(seconds, st.floats(0, 100), st.floats(1.15, 4))
def test_a_cautious_finish_is_never_earlier(now, ahead, caution):
    assert admitting.cautious_finish_s(now + ahead, now, caution) >= now + ahead - 1e-9


def test_each_path_has_its_outcome():
    want = {
        ImagePath.LIGHT: Outcome.SERVED_LIGHT,
        ImagePath.HEAVY: Outcome.SERVED_HEAVY,
        ImagePath.LIGHT_HEAVY: Outcome.ESCALATED,
        ImagePath.KEPT: Outcome.ESCALATED,
        ImagePath.DEGRADED: Outcome.DEGRADED,
        ImagePath.PINNED: Outcome.SERVED_LIGHT,
    }
    assert {path: lifecycles.outcome_of(path) for path in ImagePath} == want
    assert lifecycles.outcome_of(ImagePath.PINNED, by_heavy=True) is Outcome.SERVED_HEAVY


ends = st.lists(st.sampled_from(["deliver", *(o for o in Outcome if not o.is_success)]), min_size=1)


@given(st.integers(1, 10), ends)
def test_a_request_ends_once_with_an_outcome_for_each_image(images, attempts):
    life = Lifecycle(images, arrived_s=0.0, deadline_s=5.0)
    for index in range(images):
        life.make_ready(index, Outcome.SERVED_LIGHT)
    endings = [life.deliver(1.0) if end == "deliver" else life.fail(end, 1.0) for end in attempts]
    assert endings[1:] == [None] * (len(attempts) - 1)
    assert endings[0] is not None
    assert len(endings[0].outcomes) == images
    assert life.is_over


def test_one_failing_image_makes_every_image_count_as_failed():
    life = Lifecycle(3, arrived_s=0.0, deadline_s=5.0)
    life.make_ready(0, Outcome.SERVED_LIGHT)
    ending = life.fail(Outcome.EXPIRED, 5.0)
    assert ending is not None
    assert ending.outcomes == (Outcome.EXPIRED,) * 3
    assert (ending.late, ending.dropped) == (0, 3)


def test_an_image_delivered_after_the_deadline_is_late():
    life = Lifecycle(1, arrived_s=0.0, deadline_s=5.0)
    life.make_ready(0, Outcome.ESCALATED)
    ending = life.deliver(5.1)
    assert ending is not None
    assert (ending.outcomes, ending.late, ending.dropped) == ((Outcome.ESCALATED,), 1, 0)


def test_nothing_is_delivered_before_all_images_are_ready():
    life = Lifecycle(2, arrived_s=0.0, deadline_s=5.0)
    life.make_ready(0, Outcome.SERVED_LIGHT)
    with pytest.raises(ValueError, match="1 of 2"):
        life.deliver(1.0)
    with pytest.raises(ValueError, match="no failure"):
        life.fail(Outcome.SERVED_LIGHT, 1.0)
    with pytest.raises(ValueError, match="cannot be ready"):
        life.make_ready(2, Outcome.SERVED_LIGHT)
