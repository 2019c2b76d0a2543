"""Which weights leave when others must come in."""

from hadis_server.residency import Held, evictions, measure_budget


def held(*sizes: int, wanted: str = "") -> list[Held]:
    return [
        Held(name, size, used_s=at, wanted=name == wanted)
        for at, (name, size) in enumerate(zip("abc", sizes, strict=False))
    ]


def test_nothing_leaves_while_everything_fits() -> None:
    assert evictions(held(30, 30), 40, 100, urgent=False) == []


def test_a_model_that_nobody_is_assigned_pushes_none_out() -> None:
    assert evictions(held(30, 30), 50, 100, urgent=False) is None


def test_the_assigned_model_pushes_out_the_longest_unused() -> None:
    assert evictions(held(30, 30, 30), 30, 100, urgent=True) == ["a"]
    assert evictions(held(30, 30, 30), 60, 100, urgent=True) == ["a", "b"]


def test_weights_that_the_assigned_model_shares_stay() -> None:
    assert evictions(held(30, 30, 30, wanted="a"), 30, 100, urgent=True) == ["b"]


def test_a_model_larger_than_the_budget_is_still_tried() -> None:
    assert evictions(held(30, 30), 500, 100, urgent=True) == ["a", "b"]


def test_the_measured_budget_is_a_part_of_the_free_memory() -> None:
    import psutil
    import torch

    budget = measure_budget(torch.device("cpu"))
    assert 0 < budget < psutil.virtual_memory().available
