"""The plan beside a cascade file: read when it is whole, passed over when it is not."""

import json
import logging
from pathlib import Path

import pytest

from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis_serving import mounted_plans

LANE = {
    "share": 1.0,
    "light": "tiny",
    "heavy": "big",
    "hardness_threshold": 0.5,
    "quality_threshold": None,
}
TABLE = {"version": 7, "lanes": [LANE], "workers": []}
ASSIGNMENT = {
    "version": 6,
    "model": "tiny",
    "role": "light",
    "batch_size": 2,
    "quality_threshold": 0.5,
}


def beside(folder: Path, name: str, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder / "cascade.json"


def test_a_plan_is_read_from_beside_the_cascade(tmp_path: Path) -> None:
    beside(tmp_path, "routing.json", TABLE)
    file = beside(tmp_path, "assignments.json", {"w0": ASSIGNMENT})
    assert mounted_plans.read_routing(file) == RoutingTableBody.model_validate(TABLE)
    assert mounted_plans.read_assignment(file, "w0") == AssignmentBody.model_validate(ASSIGNMENT)


def test_no_plan_and_no_part_in_it_are_nothing_to_speak_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "cascade.json"
    assert mounted_plans.read_routing(file) is None
    assert mounted_plans.read_assignment(file, "w0") is None
    beside(tmp_path, "assignments.json", {"w0": ASSIGNMENT})
    assert mounted_plans.read_assignment(file, "w9") is None
    assert caplog.records == []


@pytest.mark.parametrize(
    "torn", ["", "{", "[]", "null", '{"w0": 3}', '{"w0": {"version": -1}}', "\ud800"]
)
def test_a_torn_plan_is_logged_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: str
) -> None:
    for name in ("routing.json", "assignments.json"):
        (tmp_path / name).write_bytes(torn.encode("utf-8", "surrogatepass"))
    file = tmp_path / "cascade.json"
    assert mounted_plans.read_routing(file) is None
    assert mounted_plans.read_assignment(file, "w0") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_plan_that_may_not_be_read_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "routing.json").mkdir()
    assert mounted_plans.read_routing(tmp_path / "cascade.json") is None
    assert "routing.json" in caplog.text
