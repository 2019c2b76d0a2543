"""Which items share a batch, and which batch is next."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hadis_server.batching import DeadlineQueue, Preference, Shape, backlog_s


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    shape: Shape
    deadline_s: float


def a_shape(model: str = "light", **changes: object) -> Shape:
    return Shape(
        **{"model": model, "width": 64, "height": 64, "steps": 4, "guidance": 1, **changes}
    )


def an_item(name: str, deadline_s: float, model: str = "light", **changes: object) -> Item:
    return Item(name, a_shape(model, **changes), deadline_s)


def a_queue(*items: Item) -> DeadlineQueue[Item]:
    queue: DeadlineQueue[Item] = DeadlineQueue()
    for item in items:
        queue.put(item)
    return queue


def one_second_an_image(_model: str, batch: int) -> float:
    return float(batch)


def names(batch: list[Item]) -> list[str]:
    return [item.name for item in batch]


LIGHT_BY_TWO = Preference("light", 2)


def test_items_come_out_by_deadline_and_ties_by_arrival() -> None:
    queue = a_queue(*(an_item(name, at) for name, at in [("c", 9), ("a", 5), ("d", 9), ("b", 7)]))
    batches = [names(queue.next_batch(0, LIGHT_BY_TWO, one_second_an_image)) for _ in range(3)]
    assert batches == [["a", "b"], ["c", "d"], []]


def test_only_equal_shapes_share_a_batch() -> None:
    queue = a_queue(
        an_item("first", 1),
        an_item("wider", 2, width=128),
        an_item("longer", 3, steps=8),
        an_item("guided", 4, guidance=3),
        an_item("negative", 5, negative=True),
        an_item("reloaded", 6, serial=1),
        an_item("same", 7),
    )
    batch = queue.next_batch(0, Preference("light", 8), one_second_an_image)
    assert names(batch) == ["first", "same"]
    assert len(queue) == 5


def test_a_lone_item_is_not_kept_waiting_for_company() -> None:
    queue = a_queue(an_item("alone", 100))
    assert names(queue.next_batch(0, Preference("light", 8), one_second_an_image)) == ["alone"]


def test_the_assigned_model_goes_before_an_earlier_deadline_that_can_wait() -> None:
    queue = a_queue(an_item("heavy", 10, "heavy"), an_item("light", 50))
    # One light batch takes 2 s, one heavy image 1 s: at 0 s the heavy one may wait, at 7.5 s not.
    assert names(queue.next_batch(0, LIGHT_BY_TWO, one_second_an_image)) == ["light"]
    queue.put(an_item("light", 50))
    assert names(queue.next_batch(7.5, LIGHT_BY_TWO, one_second_an_image)) == ["heavy"]


def test_several_items_of_another_model_go_in_time_for_the_last_of_them() -> None:
    heavies = [an_item(str(n), 10, "heavy") for n in range(3)]
    preference = Preference("light", 2, (("heavy", 1),))
    # After a light batch of 2 s the three heavy ones take 3 s more: at 4.9 s they may wait.
    queue = a_queue(*heavies, an_item("light", 50))
    assert names(queue.next_batch(4.9, preference, one_second_an_image)) == ["light"]
    queue.put(an_item("light", 50))
    assert names(queue.next_batch(5.1, preference, one_second_an_image)) == ["0"]
    # In a batch of three that costs what one costs, they may wait until 6.9 s.
    together = Preference("light", 2, (("heavy", 3),))
    queue = a_queue(*heavies, an_item("light", 50))
    assert names(queue.next_batch(6.9, together, lambda model, _: 1 + (model == "light"))) == [
        "light"
    ]


def test_what_is_late_anyway_makes_nobody_hurry() -> None:
    heavies = [an_item(str(n), 10, "heavy") for n in range(50)]
    queue = a_queue(*heavies, an_item("light", 50))
    preference = Preference("light", 2, (("heavy", 1),))
    assert names(queue.next_batch(0, preference, one_second_an_image)) == ["0"]
    queue = a_queue(*heavies[:5], an_item("far", 11, "heavy", steps=9), an_item("light", 50))
    slow_far = {"light": 2.0, "heavy": 1.0}
    assert names(queue.next_batch(0, preference, lambda model, _: slow_far[model])) == ["light"]


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 40), min_size=1, max_size=12),
    st.floats(0.1, 5),
    st.floats(0.1, 5),
)
def test_a_stream_of_the_assigned_model_makes_nobody_late_who_would_be_on_time_without_it(
    deadlines: list[float], light_s: float, heavy_s: float
) -> None:
    def takes_s(model: str, _batch: int) -> float:
        return light_s if model == "light" else heavy_s

    def late(*, streaming: bool) -> set[str]:
        queue = a_queue(*(an_item(str(n), due, "heavy") for n, due in enumerate(deadlines)))
        now_s, too_late = 0.0, set()
        while queue.waiting("heavy"):
            if streaming and not queue.waiting("light"):
                queue.put(an_item("light", 1e6))
            (item,) = queue.next_batch(now_s, Preference("light", 1), takes_s)
            now_s += takes_s(item.shape.model, 1)
            if item.shape.model == "heavy" and now_s > item.deadline_s + 1e-6:
                too_late.add(item.name)
        return too_late

    if not late(streaming=False):
        assert not late(streaming=True)


def test_where_either_would_make_the_other_late_the_earlier_deadline_goes_first() -> None:
    light, heavy = an_item("light", 2.5), an_item("heavy", 2.4, "heavy")
    assert names(a_queue(light, heavy).next_batch(0, LIGHT_BY_TWO, one_second_an_image)) == [
        "heavy"
    ]
    light = an_item("light", 2.3)
    assert names(a_queue(light, heavy).next_batch(0, LIGHT_BY_TWO, one_second_an_image)) == [
        "light"
    ]


def test_without_an_assignment_deadlines_alone_decide() -> None:
    queue = a_queue(an_item("b", 9, "light"), an_item("a", 5, "heavy"))
    assert names(queue.next_batch(0, Preference(), one_second_an_image)) == ["a"]


def test_another_model_keeps_the_batch_size_that_was_assigned_for_it() -> None:
    preference = Preference("light", 4, (("heavy", 1),))
    assert [preference.rows(model) for model in ("light", "heavy", "other")] == [4, 1, 4]
    queue = a_queue(*(an_item(str(n), n, "heavy") for n in range(3)))
    assert names(queue.next_batch(0, preference, one_second_an_image)) == ["0"]


def test_expired_items_leave_and_the_rest_stays() -> None:
    queue = a_queue(*(an_item(str(at), at) for at in range(5)))
    assert names(queue.expired(2)) == ["0", "1", "2"]
    assert names(list(queue)) == ["3", "4"]
    assert queue.waiting("light") == 2


def test_removing_takes_the_very_item_and_only_once() -> None:
    twins = [an_item("twin", 5), an_item("twin", 5)]
    queue = a_queue(*twins)
    assert queue.remove(twins[1]) is True
    assert queue.remove(twins[1]) is False
    assert next(iter(queue)) is twins[0]
    assert queue.waiting("light") == 1


def test_the_backlog_counts_full_batches_of_each_shape() -> None:
    items = [an_item(str(n), n) for n in range(5)] + [an_item("h", 1, "heavy")]
    # light: 2 + 2 + 1 images, heavy: 1, each a second.
    assert backlog_s(items, LIGHT_BY_TWO, lambda _model, batch: 1 + batch) == 3 + 3 + 2 + 2


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), min_size=1, max_size=40
    ),
    st.integers(1, 5),
)
def test_every_item_comes_out_once_in_batches_of_one_shape(
    drawn: list[tuple[str, int, bool]], limit: int
) -> None:
    items = [
        an_item(str(at), deadline, model, negative=negative)
        for at, (model, deadline, negative) in enumerate(drawn)
    ]
    queue = a_queue(*items)
    out = []
    while batch := queue.next_batch(0, Preference("a", limit), one_second_an_image):
        assert len(batch) <= limit
        assert len({item.shape for item in batch}) == 1
        assert [item.deadline_s for item in batch] == sorted(item.deadline_s for item in batch)
        out += batch
    assert Counter(names(out)) == Counter(names(items))
    assert len(queue) == 0
    assert all(queue.waiting(model) == 0 for model in "abc")
