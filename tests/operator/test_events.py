"""One event a turn, nothing twice, and faults when they come and go."""

from typing import Any

from hadis_operator import events
from hadis_operator.events import Outbox, Story, Told
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


def test_an_object_that_is_refused_is_told_once_however_its_words_change() -> None:
    first, second = (events.refused(f"Deployment x was refused: used {n}") for n in (1, 2))
    fresh, told = events.fresh(Told({}), [first], 0.0)
    assert fresh[0].is_warning
    assert events.fresh(told, [second], 60.0)[0] == []
    assert events.fresh(told, [events.refused("Deployment y was refused: no")], 60.0)[0] != []
    assert events.fresh(told, [second], 601.0)[0] == [second]


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


def transitions(live: list[dict[str, Any]], merged: list[dict[str, Any]]) -> list[Story]:
    return list(events.transitions(live, merged).values())


def test_faults_are_told_when_they_come_change_and_go() -> None:
    valid, missing = a_condition("True", "Valid"), a_condition("False", "ModelMissing")
    ordered = a_condition("False", "NotOrdered")
    assert [s.is_warning for s in transitions([valid], [missing])] == [True]
    assert [s.reason for s in transitions([missing], [ordered])] == ["NotOrdered"]
    assert [(s.reason, s.is_warning) for s in transitions([ordered], [valid])] == [("Valid", False)]
    assert transitions([missing], [missing]) == []


def test_a_first_look_tells_faults_only() -> None:
    merged = [a_condition("True", "Valid"), a_condition("False", "Overload", "PlanFeasible")]
    assert [story.reason for story in transitions([], merged)] == ["Overload"]


def test_what_every_start_passes_through_is_no_event() -> None:
    before = [a_condition("False", "Loading", "WorkersReady")]
    assert transitions([], before) == []
    after = [a_condition("False", "RollingOut", "WorkersReady")]
    assert transitions(before, after) == []


# From what happens to what is told.

NOT_FOUND = [a_condition("False", "NotFound"), a_condition("False", "ProfileInvalid", "Ready")]
FOUND = [a_condition("True", "Valid"), a_condition("False", "NoWorkers", "Ready")]


class Telling:
    """An outbox, and the conditions that the cascade's status has."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.live: list[dict[str, Any]] = []

    def told(self, merged: list[dict[str, Any]], now_s: float) -> list[str]:
        self.outbox.note(self.live, merged, now_s)
        self.live = merged
        story = self.outbox.next()
        self.outbox.empty()
        return [] if story is None else [story.reason, story.note]


def test_a_profile_that_follows_its_cascade_in_one_file_is_no_story() -> None:
    telling = Telling()
    assert telling.told(NOT_FOUND, 0.0) == []
    assert telling.told(FOUND, 0.5) == []
    assert telling.told(FOUND, 60.0) == []


def test_a_profile_that_stays_away_is_told_once_after_a_grace() -> None:
    telling = Telling()
    for now_s in (0.0, 2.0, events.GRACE_S - 0.1):
        assert telling.told(NOT_FOUND, now_s) == []
    reason, note = telling.told(NOT_FOUND, events.GRACE_S)
    assert reason == "NotFound"
    assert "ProfileInvalid it is" in note
    assert telling.told(NOT_FOUND, 60.0) == []
    # Now that people know, they hear of its end.
    assert telling.told(FOUND, 70.0)[0] == "Valid"


def test_a_profile_that_turns_from_one_fault_to_another_gets_a_new_grace() -> None:
    telling = Telling()
    telling.told(NOT_FOUND, 0.0)
    lacking = [a_condition("False", "ModelMissing"), NOT_FOUND[1]]
    assert telling.told(lacking, 9.0) == []
    assert telling.told(lacking, 10.0)[0] == "ProfileInvalid"
    assert telling.told(lacking, 19.0)[0] == "ModelMissing"


def test_other_faults_are_told_at_once() -> None:
    assert Telling().told([a_condition("False", "NameTaken", "Ready")], 0.0)[0] == "NameTaken"


def test_what_could_not_be_told_waits_until_it_can_and_is_told_once() -> None:
    outbox = Outbox()
    outbox.put([events.planned("plan 4")], 0.0)
    assert outbox.next() == outbox.next() == Story("Planned", "plan 4")
    outbox.put([events.planned("plan 5")], 1.0)
    joined = outbox.next()
    assert joined is not None
    assert joined.note == "plan 4; plan 5"
    outbox.empty()
    outbox.put([events.planned("plan 5")], 2.0)
    assert outbox.next() is None


def test_what_cannot_be_told_for_long_does_not_pile_up() -> None:
    outbox = Outbox()
    for number in range(100):
        outbox.put([events.planned(f"plan {number}")], 0.0)
    story = outbox.next()
    assert story is not None
    assert story.note.startswith(f"plan {100 - events.MAX_UNTOLD}; ")


def test_an_object_that_was_put_back_is_a_warning_with_the_way_out() -> None:
    story = events.restored("Service photos (spec.type)")
    assert story.is_warning
    assert "Service photos (spec.type)" in story.note
    assert "hadis.dev/paused" in story.note


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
