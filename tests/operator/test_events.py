"""One event a turn, nothing twice, and faults when they come and go."""

from typing import Any

from hadis_operator import events
from hadis_operator.events import Story, Told
from support import rendered

PLAN = Story("Planned", "plan 3: 2 x tiny")


def a_condition(status: str, reason: str, kind: str = "ProfileValid") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": f"{reason} it is"}


def test_the_same_story_is_told_again_only_after_a_while() -> None:
    fresh, told = events.fresh(Told({}), [PLAN], 0.0)
    assert fresh == [PLAN]
    assert events.fresh(told, [PLAN], 599.0)[0] == []
    assert events.fresh(told, [Story("Planned", "plan 4")], 1.0)[0] != []
    assert events.fresh(told, [PLAN], 601.0)[0] == [PLAN]


def test_what_was_told_long_ago_is_forgotten() -> None:
    _, told = events.fresh(Told({}), [Story("Planned", f"plan {n}") for n in range(100)], 0.0)
    assert len(told.at_s) == 100
    assert len(events.fresh(told, [PLAN], 10_000.0)[1].at_s) == 1


def test_stories_of_a_turn_are_one_event_under_the_first_warning() -> None:
    warning = Story("Overload", "too much", is_warning=True)
    joined = events.joined([PLAN, warning])
    assert joined == Story("Overload", "too much; plan 3: 2 x tiny", is_warning=True)
    assert events.joined([]) is None
    assert events.joined([PLAN]) == PLAN


def test_a_note_never_exceeds_what_the_api_takes() -> None:
    joined = events.joined([Story("Planned", "x" * 3000)])
    assert joined is not None
    assert len(joined.note) <= 1024


def test_faults_are_told_when_they_come_change_and_go() -> None:
    valid, missing = a_condition("True", "Valid"), a_condition("False", "ModelMissing")
    ordered = a_condition("False", "NotOrdered")
    assert [s.is_warning for s in events.transitions([valid], [missing])] == [True]
    assert [s.reason for s in events.transitions([missing], [ordered])] == ["NotOrdered"]
    assert [(s.reason, s.is_warning) for s in events.transitions([ordered], [valid])] == [
        ("Valid", False)
    ]
    assert events.transitions([missing], [missing]) == []


def test_a_first_look_tells_faults_only() -> None:
    merged = [a_condition("True", "Valid"), a_condition("False", "Overload", "PlanFeasible")]
    assert [story.reason for story in events.transitions([], merged)] == ["Overload"]


def test_what_every_start_passes_through_is_no_event() -> None:
    before = [a_condition("False", "Loading", "WorkersReady")]
    assert events.transitions([], before) == []
    after = [a_condition("False", "RollingOut", "WorkersReady")]
    assert events.transitions(before, after) == []


def test_an_event_names_its_reporter_and_what_it_is_about() -> None:
    owner = rendered.an_owner()
    event = events.manifest(owner, PLAN, instance="operator-1", resource_version="12")
    assert event["reportingComponent"] == "hadis.dev/operator"
    assert event["reportingInstance"] == "operator-1"
    assert event["involvedObject"]["uid"] == owner.uid
    assert event["involvedObject"]["kind"] == "HadisCascade"
    assert event["metadata"]["namespace"] == owner.namespace
    assert (event["type"], event["reason"]) == ("Normal", "Planned")
    again = events.manifest(owner, PLAN, instance="operator-1")
    assert event["metadata"]["name"] != again["metadata"]["name"]
