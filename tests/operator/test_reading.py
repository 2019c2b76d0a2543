"""Cascades and profiles as the API has them: what fits, what does not, and what is done without."""

import pytest

from hadis.errors import InvalidManifest
from hadis_operator import reading
from hadis_operator.objects import Manifest
from hadis_operator.reading import Given, ProfileState
from support import clusters


def read(cascade: Manifest | None = None, profile: Manifest | None = None) -> Given:
    return reading.read(cascade or clusters.a_live_cascade(), profile)


def test_a_profile_that_fits() -> None:
    given = read(profile=clusters.a_live_profile())
    assert given.profile_state is ProfileState.VALID
    assert given.profile is not None
    assert given.told_profile is given.profile
    assert given.has_basis
    assert (given.owner.name, given.owner.namespace, given.generation) == ("photos", "images", 3)
    assert given.cascade.generation == 3


def test_a_profile_that_does_not_exist_is_named_with_the_fix() -> None:
    given = read()
    assert given.profile_state is ProfileState.NOT_FOUND
    assert not given.has_basis
    assert "pair" in given.trouble
    assert "spec.profile.name" in given.trouble


def test_a_profile_that_lacks_a_model_still_plans_with_the_others() -> None:
    third = {"name": "huge", "source": {"path": "models/huge"}, "steps": 50, "size": "64x64"}
    models = [*clusters.PAIR["models"], third]
    given = read(clusters.a_live_cascade(("models", models)), clusters.a_live_profile())
    assert given.profile_state is ProfileState.MODEL_MISSING
    assert "huge" in given.trouble
    assert given.profile is not None
    # Routers and workers refuse such a profile, and do without it.
    assert given.told_profile is None


def test_a_profile_whose_numbers_contradict_one_another() -> None:
    profile = clusters.a_live_profile(
        models=[
            {
                "name": name,
                "latencies": [{"batch": 1, "seconds": 2.0}, {"batch": 2, "seconds": 1.0}],
            }
            for name in ("tiny", "big")
        ]
    )
    given = read(profile=profile)
    assert given.profile_state is ProfileState.NOT_ORDERED
    assert given.profile is None
    assert "a larger batch is never faster" in given.trouble


def test_a_lone_model_needs_no_profile() -> None:
    cascade = clusters.a_live_cascade(("models", [clusters.PAIR["models"][0]]))
    del cascade["spec"]["profile"]
    given = read(cascade)
    assert given.profile_state is ProfileState.VALID
    assert given.has_basis
    assert reading.profile_name(cascade) is None
    assert reading.profile_name(clusters.a_live_cascade()) == "pair"


def test_annotations_pause_and_roll() -> None:
    annotations = {"hadis.dev/paused": "true", "hadis.dev/roll-workers": "monday"}
    given = read(clusters.a_live_cascade(annotations=annotations))
    assert given.paused
    assert given.roll == "monday"
    assert not read(clusters.a_live_cascade(annotations={"hadis.dev/paused": "no"})).paused


def test_a_status_of_a_later_version_is_no_fault_of_the_cascade() -> None:
    cascade = clusters.a_live_cascade()
    cascade["status"] = {"unheardOf": True}
    assert read(cascade).generation == 3


def test_fields_of_a_later_version_are_passed_over() -> None:
    # Definitions are upgraded before the operator, and bring fields with defaults.
    cascade = clusters.a_live_cascade(("workers.template", {"labels": {"any": "key"}}))
    cascade["spec"]["novelty"] = {"default": "yes"}
    cascade["spec"]["workers"]["template"]["novelty"] = 1
    cascade["spec"]["models"][0]["novelty"] = [1]
    given = read(cascade)
    assert "novelty" not in given.spec
    assert "novelty" not in given.spec["workers"]["template"]
    assert "novelty" not in given.spec["models"][0]
    assert given.spec["workers"]["template"]["labels"] == {"any": "key"}
    assert given.cascade == read().cascade


def test_a_spec_that_breaks_the_schema_is_an_error_that_names_the_field() -> None:
    cascade = clusters.a_live_cascade()
    cascade["spec"]["slo"]["latency"] = "soon"
    with pytest.raises(InvalidManifest, match=r"slo\.latency"):
        read(cascade)


@pytest.mark.parametrize(
    ("measured", "reported", "want"),
    [
        (None, ["NVIDIA L40S"], False),
        ("NVIDIA L40S", [], False),
        ("NVIDIA L40S", ["NVIDIA L40S", "nvidia l40s "], False),
        ("NVIDIA L40S", ["NVIDIA L40S", "NVIDIA H100"], True),
    ],
)
def test_hardware_is_compared_by_name(
    measured: str | None, reported: list[str], want: bool
) -> None:
    spec = {} if measured is None else {"hardware": {"product": measured}}
    given = read(profile=clusters.a_live_profile(**spec))
    trouble = reading.hardware_trouble(given.profile, reported)
    assert bool(trouble) is want
    if want:
        assert "NVIDIA H100" in trouble
        assert "hadis profile" in trouble
