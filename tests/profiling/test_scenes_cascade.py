"""The cascade that ships: its file, its profile and the copy at the source root agree."""

import re
from pathlib import Path

import pytest

import hadis_scenes
from hadis.planning import solving
from hadis.planning.problems import PlanStatus, Problem
from hadis.profiling import files
from hadis.terms.profiles import Deliver, Profile
from hadis.wire import manifests

PACKAGE = Path(hadis_scenes.__file__).parent
CASCADE = PACKAGE / "cascade.yaml"
COPY = PACKAGE.parent / "cascade.yaml"


@pytest.fixture(scope="module")
def profile() -> Profile:
    return files.read_profile((PACKAGE / "profile.json").read_text(), "profile.json")


def test_the_cascade_file_is_valid_and_carries_the_profile(profile: Profile) -> None:
    read = manifests.read_manifests(CASCADE.read_text(), source=str(CASCADE))
    assert read.profile == profile
    assert read.cascade.slo_s == 10.0
    assert read.cascade.workers == 2
    assert read.cascade.deliver is profile.deliver is Deliver.BETTER
    assert [m.name for m in read.cascade.models] == [m.name for m in profile.models]


def test_the_copy_at_the_source_root_differs_only_in_where_paths_start() -> None:
    if not COPY.exists():
        pytest.skip("installed from a wheel, which holds the package alone")
    want = re.sub(r"path: (\w)", r"path: hadis_scenes/\1", CASCADE.read_text())
    assert COPY.read_text() == want


def test_every_pair_and_every_retry_was_measured(profile: Profile) -> None:
    names = [model.name for model in profile.models]
    pairs = {(row.light, row.heavy) for row in profile.rows}
    assert pairs == {(a, b) for i, a in enumerate(names) for b in names[i:]}
    assert "provisional" not in profile.notes


def test_the_models_are_a_front_from_fast_to_good(profile: Profile) -> None:
    latency_s = [model.latency_s[1] for model in profile.models]
    assert latency_s == sorted(latency_s)
    alone = {
        row.light: row.measured["fulfilment"]
        for row in profile.rows
        if row.light == row.heavy and row.heavy_ratio == 0.0
    }
    quality = [alone[model.name] for model in profile.models]
    assert quality == sorted(quality)


def test_plans_get_better_the_less_is_asked_of_two_workers(profile: Profile) -> None:
    lightest = profile.models[0].latency_s
    most_per_s = 0.8 * 2 * max(batch / seconds for batch, seconds in lightest.items())
    plans = [
        solving.solve(Problem(profile, share * most_per_s, 2, 10.0, utilisation_limit=0.8))
        for share in (0.01, 0.1, 0.4, 0.9)
    ]
    assert {plan.status for plan in plans} == {PlanStatus.OPTIMAL}
    qualities = [plan.quality for plan in plans]
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] > qualities[-1] + 0.1
