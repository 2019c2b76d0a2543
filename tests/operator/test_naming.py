"""Names end in the cascade's UID, tell everything apart and stay within 63 characters."""

import re

import pytest

from hadis_operator import naming
from hadis_operator.objects import Owner
from support import rendered

LONGEST = "a" * 40
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def all_names(owner: Owner) -> list[str]:
    return [
        naming.worker(owner, naming.slot(511)),
        naming.workers(owner),
        naming.router(owner),
        naming.plan(owner),
        naming.models(owner),
        naming.fetchers(owner),
        naming.fetch(owner, "deadbeef"),
    ]


def test_names_say_cascade_part_and_uid() -> None:
    assert all_names(rendered.an_owner()) == [
        "photos-w511-0a1b2c3d",
        "photos-workers-0a1b2c3d",
        "photos-router-0a1b2c3d",
        "photos-plan-0a1b2c3d",
        "photos-models-0a1b2c3d",
        "photos-fetch-0a1b2c3d",
        "photos-fetch-deadbeef-0a1b2c3d",
    ]
    assert naming.router_service(rendered.an_owner()) == "photos"


@pytest.mark.parametrize("name", ["a", LONGEST, "a" * 38 + "-b"])
def test_every_name_is_a_dns_label_of_63_characters_at_most(name: str) -> None:
    owner = rendered.an_owner(name)
    names = all_names(owner)
    assert len(set(names)) == len(names)
    for one in names:
        assert DNS_LABEL.fullmatch(one), one
        assert len(one) <= 63, one
        assert one.endswith("-0a1b2c3d")


def test_two_cascades_that_share_39_characters_fetch_under_different_names() -> None:
    first = rendered.an_owner(LONGEST)
    second = rendered.an_owner("a" * 39 + "b", uid="99999999-0000-0000-0000-000000000000")
    assert naming.fetch(first, "deadbeef") != naming.fetch(second, "deadbeef")


def test_a_cascade_made_anew_has_other_names() -> None:
    before = rendered.an_owner()
    after = rendered.an_owner(uid="ffffffff-4444-5555-6666-777788889999")
    assert not set(all_names(before)) & set(all_names(after))


@pytest.mark.parametrize("uid", ["", "0a1b", "no-hex-digits", "0a1b2c3-"])
def test_what_is_no_uid_names_nothing(uid: str) -> None:
    with pytest.raises(ValueError, match="no UID"):
        naming.uid8(uid)


@pytest.mark.parametrize(
    ("name", "want"),
    [("w0", 0), ("w17", 17), ("w", None), ("w-1", None), ("w01", None), ("router", None)],
)
def test_slots_are_numbered(name: str, want: int | None) -> None:
    assert naming.slot_index(name) == want
    if want is not None:
        assert naming.slot(want) == name
