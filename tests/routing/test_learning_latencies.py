"""The latency book: the profile's word, corrected by what replies tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hadis_router.latency_book import HALF_LIFE_S, LatencyBook, interpolate
from support.router_fixtures import BIG, TINY, a_profile


def test_the_profile_is_believed_at_first():
    book = LatencyBook(a_profile(tiny_s=0.1))
    assert book.batch_s(TINY) == pytest.approx(0.1)
    assert book.batch_s(TINY, 4) == pytest.approx(0.16)


def test_a_slower_machine_is_learnt_for_all_batch_sizes():
    book = LatencyBook(a_profile(tiny_s=0.1), clock=lambda: 0.0)
    for _ in range(40):
        book.observe(TINY, 2, 0.36)
    assert book.batch_s(TINY) == pytest.approx(0.3, rel=0.01)
    assert book.batch_s(BIG) == pytest.approx(0.03)


def test_a_profile_that_says_the_same_of_a_model_leaves_what_was_learnt_about_it():
    book = LatencyBook(a_profile(tiny_s=0.1, big_s=1.0), clock=lambda: 0.0)
    for _ in range(60):
        book.observe(TINY, 1, 0.2)
        book.observe(BIG, 1, 2.0)
    book.replace_profile(a_profile(tiny_s=0.1, big_s=1.5))
    assert book.batch_s(TINY) == pytest.approx(0.2, rel=0.01)
    assert book.batch_s(BIG) == pytest.approx(1.5)
    assert (book.stated_s(TINY), LatencyBook().stated_s(TINY)) == (pytest.approx(0.1), 0.0)


def test_without_a_profile_nothing_is_expected_until_something_was_seen():
    book = LatencyBook(clock=lambda: 0.0)
    assert book.batch_s(TINY, 3) == 0.0
    book.observe(TINY, 2, 0.4)
    assert book.batch_s(TINY, 3) == pytest.approx(0.6)


def test_nonsense_teaches_nothing():
    book = LatencyBook(a_profile(tiny_s=0.1))
    book.observe(TINY, 0, 5.0)
    book.observe(TINY, 1, 0.0)
    book.observe_transit(-3.0)
    assert (book.batch_s(TINY), book.transit_s) == (pytest.approx(0.1), 0.0)


def test_what_was_learnt_fades_while_nothing_is_seen():
    now_s = [0.0]
    book = LatencyBook(a_profile(tiny_s=0.1), clock=lambda: now_s[0])
    for _ in range(60):
        book.observe(TINY, 1, 20.1)
        book.observe_transit(8.0)
    assert book.batch_s(TINY) == pytest.approx(20.1, rel=0.01)
    now_s[0] = HALF_LIFE_S
    assert book.batch_s(TINY) == pytest.approx(10.1, rel=0.01)
    assert book.transit_s == pytest.approx(4.0, rel=0.01)
    now_s[0] = 20 * HALF_LIFE_S
    assert book.batch_s(TINY) == pytest.approx(0.1, rel=0.01)


@given(st.integers(1, 64))
def test_a_larger_batch_is_never_expected_to_be_faster(size):
    table = {1: 0.1, 4: 0.2, 8: 0.5}
    assert interpolate(table, size) <= interpolate(table, size + 1)
    assert interpolate(table, 4) == 0.2
    assert interpolate(table, 16) == 1.0
