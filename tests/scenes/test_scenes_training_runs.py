"""A training run spends its budget once, across interruptions, and averages what it learned."""

import json
import os
import random
import socket
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hadis_scenes import checking, compositions, drawing, precision  # noqa: E402
from hadis_scenes.training import dataset, edits, judged, runs  # noqa: E402

RECIPE = runs.Recipe(budget_s=0.4, batch=8, rate=0.05, warmup_steps=1, average=0.9)


def spend(run, limit=10_000):
    want = torch.tensor([[2.0, -1.0]])
    for _ in run.steps():
        inputs = torch.randn(8, 2)
        run.update((run.model(inputs) - inputs @ want.T).pow(2).mean())
        limit -= 1
        if not limit:
            break


def test_a_run_ends_with_its_budget_and_is_skipped_afterwards(tmp_path):
    run = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    spend(run)
    assert run.finished
    again = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    assert again.finished
    assert list(again.steps()) == []


def test_an_interrupted_run_goes_on_where_it_was_saved(tmp_path):
    run = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    spend(run, limit=5)
    run.save()
    again = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    assert again.step == run.step == 5
    assert again.elapsed_s == run.elapsed_s
    assert torch.equal(again.model.weight, run.model.weight)
    moments = [state["exp_avg"] for state in again.optimizer.state_dict()["state"].values()]
    assert any(moment.abs().sum() > 0 for moment in moments)


def test_the_average_is_what_readers_get(tmp_path):
    run = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    spend(run)
    read = runs.averaged(tmp_path, "line", torch.nn.Linear(2, 1))
    assert torch.equal(read.weight, run.average.weight)
    assert not read.weight.requires_grad


def test_the_log_says_loss_and_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LOG_EVERY_STEPS", 5)
    run = runs.Run(tmp_path, "line", torch.nn.Linear(2, 1), RECIPE, "cpu")
    spend(run)
    text = (tmp_path / "logs" / "line.jsonl").read_text()
    begun, *lines = [json.loads(line) for line in text.splitlines()]
    assert begun["recipe"]["rate"] == RECIPE.rate
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[0]["examples"] == lines[0]["step"] * RECIPE.batch


TOGETHER = """
import sys, torch
from pathlib import Path
from hadis_scenes.training import runs
torch.distributed.init_process_group("gloo")
torch.manual_seed(1)
recipe = runs.Recipe(budget_s=0.4, batch=8, rate=0.05, warmup_steps=1)
run = runs.Run(Path(sys.argv[1]), "line", torch.nn.Linear(2, 1), recipe, "cpu")
for _ in run.steps():
    inputs = torch.randn(8, 2)
    run.update((run.model(inputs) - inputs.sum(1, keepdim=True)).pow(2).mean())
print(run.step, float(inputs.sum()), *run.model.weight[0].tolist())
torch.distributed.destroy_process_group()
"""


def test_processes_that_train_together_learn_one_model_from_different_batches(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    together = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(tmp_path / str(rank))],
            env={**together, "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = (process.communicate()[0].split() for process in started)
    assert first[0] == second[0]  # as many steps
    assert first[1] != second[1]
    assert first[2:] == second[2:]
    assert (tmp_path / "0" / "checkpoints" / "line.pt").exists()
    assert not (tmp_path / "1").exists()


def test_edits_change_what_is_demanded_and_stay_drawable():
    rng, noise = random.Random(0), np.random.default_rng(0)
    kinds = set()
    for _ in range(400):
        composition = compositions.random_composition(rng)
        edited = edits.edit(rng, composition)
        assert edited != composition
        assert len({(g.colour, g.shape) for g in edited.groups}) == len(edited.groups)
        kinds.add((composition.kind, edited.kind))
        objects = drawing.lay_out(edited, noise)
        if objects is not None:
            assert checking.check(drawing.draw(objects, noise), edited)
    assert ("single", "two") in kinds
    assert ("relation", "two-relations") in kinds


def test_verdicts_of_nouns_add_up_to_the_verdict():
    rng, noise = random.Random(1), np.random.default_rng(1)
    for _ in range(100):
        composition, objects = dataset.sample(rng, noise)
        image = drawing.draw(objects, noise)
        rows = judged.judged_captions(rng, image, composition)
        assert rows["verdicts"][0]
        nouns = rows["nouns"][0]
        assert (nouns[rows["classes"][0] > 0, 0] == 1).all()
        assert (nouns[nouns[:, 1] >= 0, 1] == 1).all()
        for column in range(1, judged.CAPTIONS):
            wrong = (rows["nouns"][column] == 0).any()
            assert not (wrong and rows["verdicts"][column])


def test_training_scenes_are_never_held_out():
    rng, noise = random.Random(2), np.random.default_rng(2)
    for _ in range(300):
        composition, _ = dataset.sample(rng, noise)
        assert not compositions.is_held_out(composition)


def test_two_listed_objects_lie_in_the_order_of_every_caption():
    rng, noise = random.Random(3), np.random.default_rng(3)
    for _ in range(100):
        composition, objects = dataset.sample(rng, noise, "two")
        written, laid = dataset.worded(rng, composition, objects)
        assert len(written) == dataset.CAPTIONS
        for caption in written:
            first, second = (next(o for o in laid if o.group == g) for g in caption.named)
            assert first.x <= second.x
            assert first.y <= second.y
        assert checking.check(drawing.draw(laid, noise), composition)


def test_one_object_lies_near_the_middle():
    rng, noise = random.Random(5), np.random.default_rng(5)
    for _ in range(100):
        composition, objects = dataset.sample(rng, noise, "single")
        _, (item,) = dataset.worded(rng, composition, objects)
        assert max(abs(item.x - 32), abs(item.y - 32)) <= 8
        assert checking.check(drawing.draw([item], noise), composition)


def test_scenes_that_say_where_things_lie_stay_as_they_were_laid_out():
    rng, noise = random.Random(4), np.random.default_rng(4)
    for category in ("counting", "relation", "complex"):
        composition, objects = dataset.sample(rng, noise, category)
        assert dataset.worded(rng, composition, objects)[1] is objects


def test_bulk_work_is_done_in_bfloat16_only_where_the_processor_has_it(monkeypatch):
    product = torch.ones(2, 2)
    for has, want in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, has=has: has)
        with precision.bulk("cpu"):
            assert (product @ product).dtype == want
        with precision.bulk("cpu", enabled=False):
            assert (product @ product).dtype == torch.float32


def test_settings_of_recipes_are_named_and_numbers():
    command = [sys.executable, "-m", "hadis_scenes.training", "text", "--set"]
    for setting, complaint in (
        ("speed=1", "unknown setting 'speed'"),
        ("rate=fast", "not a number"),
    ):
        done = subprocess.run([*command, setting], capture_output=True, text=True)
        assert done.returncode == 2
        assert complaint in done.stderr
