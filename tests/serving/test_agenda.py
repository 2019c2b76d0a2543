"""What a worker loads next: the assigned model first, failures later, the left-out not at all."""

from dataclasses import replace

from hadis_server.agenda import Agenda
from support.cascades import a_model

RETRY_S = 30.0
LIGHT, MIDDLE, HEAVY = (a_model(name) for name in ("light", "middle", "heavy"))
SPECS = {spec.name: spec for spec in (LIGHT, MIDDLE, HEAVY)}


def an_agenda() -> Agenda:
    agenda = Agenda(retry_s=RETRY_S)
    agenda.want(SPECS)
    return agenda


def test_models_come_in_the_cascades_order_until_all_are_there():
    agenda, resident = an_agenda(), {}
    order = []
    while (spec := agenda.next(resident, 0.0)) is not None:
        order.append(spec.name)
        resident[spec.name] = spec
    assert order == ["light", "middle", "heavy"]


def test_the_assigned_model_comes_first():
    agenda = an_agenda()
    agenda.assign("heavy")
    assert agenda.next({}, 0.0) == HEAVY
    assert agenda.assigned_spec == HEAVY


def test_a_model_that_changed_is_loaded_again():
    agenda = an_agenda()
    changed = replace(MIDDLE, steps=MIDDLE.steps + 1)
    agenda.want({**SPECS, "middle": changed})
    assert agenda.next(SPECS, 0.0) == changed


def test_a_failed_model_lets_the_others_pass_and_is_tried_again_later():
    agenda = an_agenda()
    agenda.note_failure(LIGHT, "no such file", 100.0)
    assert agenda.error("light") == "no such file"
    assert agenda.next({}, 100.0) == MIDDLE
    assert agenda.next_attempt_s() == 100.0 + RETRY_S
    assert agenda.next({}, 100.0 + RETRY_S) == LIGHT
    agenda.note_loaded(LIGHT)
    assert agenda.error("light") is None
    assert agenda.next_attempt_s() is None


def test_a_failure_is_forgotten_with_the_model_that_failed():
    agenda = an_agenda()
    agenda.note_failure(LIGHT, "no such file", 100.0)
    agenda.want(SPECS)
    assert agenda.error("light") is not None
    agenda.want({**SPECS, "light": replace(LIGHT, steps=LIGHT.steps + 1)})
    assert agenda.error("light") is None
    agenda.note_failure(MIDDLE, "too large", 100.0)
    agenda.want({"heavy": HEAVY})
    assert agenda.next_attempt_s() is None
    agenda.want(SPECS, retry=True)
    assert agenda.next({}, 100.0) == LIGHT


def test_a_model_left_out_waits_for_its_assignment():
    agenda = an_agenda()
    agenda.note_failure(HEAVY, "out of memory", 0.0)
    assert agenda.leave_out(HEAVY, "does not fit beside the others")
    assert agenda.left_out("heavy") == "does not fit beside the others"
    assert agenda.error("heavy") is None
    assert agenda.next({"light": LIGHT, "middle": MIDDLE}, 1e9) is None
    agenda.assign("heavy")
    assert agenda.left_out("heavy") is None
    assert agenda.next({"light": LIGHT, "middle": MIDDLE}, 0.0) == HEAVY


def test_the_assigned_model_is_never_left_out():
    agenda = an_agenda()
    agenda.assign("heavy")
    assert not agenda.leave_out(HEAVY, "does not fit")
    assert agenda.next({}, 0.0) == HEAVY
