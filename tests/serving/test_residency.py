"""Which weights leave when others must come in, and how much memory there is for them."""

from pathlib import Path

import psutil
import pytest
import torch

from hadis.errors import InvalidInput
from hadis_server import residency, settings
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
    budget = measure_budget(torch.device("cpu"))
    assert 0 < budget < psutil.virtual_memory().available


def test_workers_that_share_a_container_share_what_it_may_still_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residency, "CGROUP_LIMIT", tmp_path / "max")
    monkeypatch.setattr(residency, "CGROUP_USED", tmp_path / "current")
    (tmp_path / "max").write_text("1500000\n")
    (tmp_path / "current").write_text("500000\n")
    assert measure_budget(torch.device("cpu")) == 800_000
    assert measure_budget(torch.device("cpu"), share=0.25) == 200_000


@pytest.mark.parametrize("share", ["0", "-0.5", "1.01", "nan"])
def test_a_share_that_is_no_fraction_is_refused(share: str) -> None:
    with pytest.raises(InvalidInput, match="--memory-share must be above 0 and at most 1"):
        settings.parse(["--cascade", "cascade.yaml", "--memory-share", share])
