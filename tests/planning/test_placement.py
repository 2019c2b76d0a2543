"""Models on workers: fewest swaps, a few at a time, no stage left alone."""

from hadis.planning import placement
from hadis.planning.snapshots import ObservedWorker
from hadis.terms.ids import ModelName, WorkerName

A, B, C = ModelName("a"), ModelName("b"), ModelName("c")


def workers(count: int, *resident: ModelName, ready: bool = True) -> list[ObservedWorker]:
    return [
        ObservedWorker(WorkerName(f"w{n}"), ready=ready, resident=frozenset(resident))
        for n in range(count)
    ]


def assigned(*models: ModelName | None) -> dict[WorkerName, ModelName | None]:
    return {WorkerName(f"w{n}"): model for n, model in enumerate(models)}


def test_workers_keep_what_the_plan_still_wants() -> None:
    placed = placement.place({A: 1, B: 2}, workers(3, A, B), assigned(B, A, A), {A, B})
    assert list(placed.models.values()).count(B) == 2
    assert placed.models[WorkerName("w0")] == B
    assert placed.complete


def test_resident_models_are_taken_at_once() -> None:
    placed = placement.place({C: 2}, workers(2, A, B, C), assigned(A, B), {A, B})
    assert placed.models == assigned(C, C)
    assert placed.complete


def test_only_a_part_of_the_fleet_loads_at_a_time() -> None:
    fleet, have = workers(8, A), assigned(*[A] * 8)
    steps = 0
    while True:
        placed = placement.place({B: 8}, fleet, have, {A})
        have = dict(placed.models)
        loading = [w for w in fleet if have[w.name] == B and B not in w.resident]
        assert len(loading) <= 2
        if placed.complete and not loading:
            break
        # What loads is done by the next cycle.
        fleet = [
            ObservedWorker(w.name, ready=True, resident=w.resident | {have[w.name] or A})
            for w in fleet
        ]
        steps += 1
        assert steps < 10
    assert steps >= 4


def test_the_last_ready_worker_of_a_model_in_use_stays_until_another_is_ready() -> None:
    fleet = [
        ObservedWorker(WorkerName("w0"), ready=True, resident=frozenset({A})),
        ObservedWorker(WorkerName("w1"), ready=True, resident=frozenset({B})),
    ]
    placed = placement.place({C: 2}, fleet, assigned(A, B), {A})
    assert placed.models == assigned(A, C)
    assert not placed.complete


def test_a_worker_that_cannot_load_a_model_is_spared_it() -> None:
    fleet = [
        ObservedWorker(WorkerName("w0"), ready=True, broken=frozenset({B})),
        ObservedWorker(WorkerName("w1"), ready=True),
    ]
    placed = placement.place({A: 1, B: 1}, fleet, {}, ())
    assert placed.models == assigned(A, B)


def test_workers_beyond_the_plan_keep_their_model() -> None:
    placed = placement.place({A: 1}, workers(2, A, B), assigned(B, A), {A})
    assert placed.models == assigned(B, A)
