"""The fetching Job against a hub that speaks HTTP: what it brings, leaves, resumes and reports."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from diffusers import SD3Transformer2DModel

from hadis_server.troubles import Trouble
from support import adapters
from support.live_workers import PATIENCE_S
from support.pretended_hub import TOKEN, PretendedHub, Repository, files_of

UNET = "unet/diffusion_pytorch_model.safetensors"
LOAD_OFFLINE = """
import json, sys
import torch
from hadis_server import discriminating, errands, hub, pipelines, sizing

pipelines.quiet()
cascade, told = errands.read(sys.argv[1]), []
for spec in cascade.models:
    expected = sizing.expected_bytes(spec, torch.device("cpu"))
    pipeline = pipelines.load_weights(spec, torch.device("cpu"))
    assert abs(expected / pipelines.weights_bytes(pipeline) - 1) < 0.1, expected
    assert not hasattr(pipeline, "safety_checker") or pipeline.safety_checker is None
    told.append([type(pipeline).__name__, pipeline.vae.config.get("shift_factor")])
    told += [hub.find_lora(lora).name for lora in spec.loras]
if cascade.discriminator is not None:
    told.append(type(discriminating.load(cascade.discriminator, torch.device("cpu"))).__name__)
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Job:
    """A claim and the hub that it is filled from; the Job's process ends before `run` returns."""

    hub: PretendedHub
    claim: Path

    @property
    def marker(self) -> Path:
        return self.claim / ".hadis" / "0a1b2c3d"

    @property
    def termination_log(self) -> Path:
        return self.claim / "termination-log"

    def environment(self, **changes: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
        ours = {"HF_HUB_CACHE": str(self.claim / "hub"), "HF_ENDPOINT": self.hub.url}
        return {**inherited, **ours, "HF_HOME": str(self.claim / "home"), **changes}

    def start(self, sources: dict[str, Any], **environment: str) -> "subprocess.Popen[str]":
        self.termination_log.touch()
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "hadis_server.prefetching"),
                *("--sources", json.dumps(sources), "--marker", str(self.marker)),
                *("--termination-log", str(self.termination_log)),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
        )

    def run(self, sources: dict[str, Any], **environment: str) -> tuple[int, str]:
        process = self.start(sources, **environment)
        _, log = process.communicate(timeout=PATIENCE_S)
        return process.returncode, log

    def there(self, repository: str) -> set[str]:
        """Return the files of a repository in the cache."""
        snapshots = self.claim / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots"
        return {
            str(file.relative_to(folder))
            for folder in snapshots.iterdir()
            for file in folder.rglob("*")
            if file.is_file()
        }

    def state(self) -> dict[str, int]:
        """Return when each file and folder of the cache was changed last."""
        cache = self.claim / "hub"
        return {str(path): path.lstat().st_mtime_ns for path in (cache, *cache.rglob("*"))}

    def partial(self) -> list[Path]:
        return sorted((self.claim / "hub").glob("models--*/blobs/*.incomplete"))


@pytest.fixture(scope="module")
def hub() -> Iterator[PretendedHub]:
    with PretendedHub() as running:
        yield running


@pytest.fixture(scope="module")
def models(
    hub: PretendedHub, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Repository]:
    """Repositories as they are in the wild: beside what is needed lies what is not."""
    pickle, other = {"pytorch_model.bin": b"pickle"}, b"not to be fetched"
    sd = files_of(folders["sd"])
    index = json.loads(sd["model_index.json"])
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    sharded = tmp_path_factory.mktemp("sharded") / "sd3"
    shutil.copytree(folders["sd3"], sharded)
    transformer = SD3Transformer2DModel.from_pretrained(sharded / "transformer")
    shutil.rmtree(sharded / "transformer")
    transformer.save_pretrained(sharded / "transformer", max_shard_size="60KB")
    contents: dict[str, dict[str, bytes]] = {
        "tiny/sdxl": {
            **files_of(folders["sdxl"]),
            "sdxl_1.0.safetensors": other,
            "unet/diffusion_pytorch_model.fp16.safetensors": other,
            "unet/diffusion_pytorch_model.bin": other,
            "text_encoder/model.onnx": other,
            "README.md": other,
        },
        "tiny/sd3": files_of(sharded),
        "tiny/sd": {
            **sd,
            "model_index.json": json.dumps(index).encode(),
            "safety_checker/config.json": b"{}",
            "safety_checker/model.safetensors": other,
        },
        "tiny/vae": {
            **files_of(folders["sd3"] / "vae"),
            "sdxl_vae.safetensors": other,
            "diffusion_pytorch_model.bin": other,
            "demo/config.json": other,
        },
        "tiny/clip": {**files_of(folders["clip"]), **pickle},
        "tiny/lora": {
            "pytorch_lora_weights.safetensors": adapters.of(folders["sdxl"]),
            "checkpoint-100/pytorch_lora_weights.safetensors": other,
            "another.safetensors": other,
        },
    }
    made = {name: hub.add(name, files) for name, files in contents.items()}
    made["tiny/gated"] = hub.add("tiny/gated", contents["tiny/sd"], gated=True)
    return made


@pytest.fixture
def job(hub: PretendedHub, models: dict[str, Repository], tmp_path: Path) -> Job:
    return Job(hub, tmp_path)


def sources(*models: dict[str, Any], judge: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"models": list(models)}
    if judge is not None:
        found["discriminator"] = {"source": {"repository": judge}, "kind": "clip"}
    return found


def model(repository: str, **fields: Any) -> dict[str, Any]:
    return {"source": {"repository": repository, **fields.pop("source", {})}, **fields}


@pytest.fixture(scope="module")
def everything(models: dict[str, Repository]) -> dict[str, Any]:
    commit = models["tiny/sd3"].commit
    return sources(
        model(
            "tiny/sdxl",
            source={"overrides": {"vae": "tiny/vae", "scheduler.shift": "3"}},
            loras=["tiny/lora"],
        ),
        model("tiny/sd3", source={"revision": commit}, dtype="bfloat16"),
        model("tiny/sd", pipeline="StableDiffusionPipeline"),
        judge="tiny/clip",
    )


@pytest.fixture(scope="module")
def fetched(
    hub: PretendedHub, everything: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, str]:
    """A claim with all of it, and what the Job logged."""
    job = Job(hub, tmp_path_factory.mktemp("claim"))
    status, log = job.run(everything)
    assert status == 0, log
    return job, log


def test_workers_load_what_was_fetched_without_asking_the_hub(
    fetched: tuple[Job, str], everything: dict[str, Any]
) -> None:
    job, _ = fetched
    asked, before = len(job.hub.asked), job.state()
    offline = job.environment(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    ran = subprocess.run(
        [sys.executable, "-c", LOAD_OFFLINE, json.dumps(everything)],
        env=offline,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [
        ["StableDiffusionXLPipeline", 0.06],  # the shift of the other repository's vae
        "pytorch_lora_weights.safetensors",
        ["StableDiffusion3Pipeline", 0.06],
        ["StableDiffusionPipeline", None],
        "ClipSimilarity",
    ]
    assert len(job.hub.asked) == asked
    # Workers mount the claim to read from it only.
    assert job.state() == before


def test_nothing_else_is_fetched(
    fetched: tuple[Job, str], models: dict[str, Repository], folders: dict[str, Path]
) -> None:
    job, _ = fetched
    sdxl = {name for name in files_of(folders["sdxl"]) if not name.startswith("vae/")}
    assert job.there("tiny/sdxl") == sdxl
    assert job.there("tiny/sd3") == set(models["tiny/sd3"].files)
    assert len([name for name in job.there("tiny/sd3") if "-of-" in name]) > 1
    assert job.there("tiny/sd") == set(files_of(folders["sd"]))
    assert job.there("tiny/vae") == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert job.there("tiny/clip") == set(files_of(folders["clip"]))
    assert job.there("tiny/lora") == {"pytorch_lora_weights.safetensors"}


def test_the_log_and_the_marker_say_what_is_there(
    fetched: tuple[Job, str], models: dict[str, Repository]
) -> None:
    job, log = fetched
    told = json.loads(job.marker.read_text(encoding="utf-8"))["fetched"]
    assert {entry["repository"]: entry["commit"] for entry in told} == {
        name: repository.commit for name, repository in models.items() if name != "tiny/gated"
    }
    assert "fetching tiny/sdxl (1 of 6)" in log
    assert "tiny/lora (5 of 6) is there after" in log
    assert job.marker.stat().st_mode & 0o777 == 0o664
    # No half-written marker, nothing partial.
    assert sorted(file.name for file in job.marker.parent.iterdir()) == ["0a1b2c3d", "lock"]
    assert job.partial() == []


def test_a_marker_that_is_there_ends_the_job_at_once(fetched: tuple[Job, str]) -> None:
    job, _ = fetched
    asked = len(job.hub.asked)
    status, log = job.run(sources(model("tiny/sd")), HADIS_CASCADE_DIR="/")
    assert (status, len(job.hub.asked)) == (0, asked)
    assert "nothing to fetch" in log
    imported = "import hadis_server.prefetching, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imported], check=False).returncode == 0


def test_a_job_waits_for_another_one_and_takes_over_what_it_did(job: Job) -> None:
    job.marker.parent.mkdir()
    with (job.marker.parent / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = job.start(sources(model("tiny/sd")))
        assert process.stderr is not None
        assert "another Job fetches into this cache" in process.stderr.readline()
        job.marker.write_text("{}", encoding="utf-8")
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "meanwhile" in log


def test_a_job_that_is_ended_goes_on_where_it_was(job: Job, folders: dict[str, Path]) -> None:
    job.hub.stall(UNET)
    job.hub.asked.clear()
    process = job.start(sources(model("tiny/sd")))
    assert job.hub.stalling.wait(PATIENCE_S)
    others = set(files_of(folders["sd"])) - {UNET}
    give_up_s = time.monotonic() + PATIENCE_S
    while not others <= job.there("tiny/sd"):
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM
    assert not job.marker.exists()
    assert len(job.partial()) == 1
    job.hub.release()
    job.hub.asked.clear()
    status, log = job.run(sources(model("tiny/sd")))
    assert status == 0, log
    assert job.hub.downloads() == [f"tiny/sd/{UNET}"]
    assert job.marker.is_file()
    assert job.partial() == []


def test_every_model_that_cannot_be_had_is_named_and_the_others_are_fetched(job: Job) -> None:
    wanted = sources(model("tiny/gated"), model("tiny/nothing"), judge="tiny/clip")
    status, log = job.run(wanted)
    last = log.splitlines()[-1]
    assert status == Trouble.GATED
    assert "tiny/gated: the hub wants a token (401)" in last
    assert f"accept the licence on {job.hub.url}/tiny/gated" in last
    assert "; tiny/nothing: the hub wants a token (401), or the name is wrong" in last
    assert job.termination_log.read_text(encoding="utf-8") == f"{last}\n"
    assert "model.safetensors" in job.there("tiny/clip")
    assert not job.marker.exists()


def test_with_a_token_a_gated_model_is_fetched_and_a_missing_one_is_missing(job: Job) -> None:
    wanted = sources(
        model("tiny/gated"), model("tiny/nothing"), model("tiny/sd", source={"revision": "v2"})
    )
    status, log = job.run(wanted, HF_TOKEN=TOKEN)
    last = log.splitlines()[-1]
    assert status == Trouble.NOT_FOUND
    assert "tiny/nothing: the hub has no such repository (404)" in last
    assert "; tiny/sd: the hub has no such revision (404)" in last
    assert UNET in job.there("tiny/gated")
    assert TOKEN not in log


def test_who_forbids_to_ask_the_hub_is_told_so(job: Job) -> None:
    status, log = job.run(sources(model("tiny/sd")), HF_HUB_OFFLINE="1")
    assert status == Trouble.UNREACHABLE
    assert "HF_HUB_OFFLINE is set" in log.splitlines()[-1]


@pytest.mark.parametrize("text", ["", "[]", '{"models": [{}]}', '{"models": 3}'])
def test_sources_that_nobody_wrote_are_refused(job: Job, text: str) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "hadis_server.prefetching"),
            *("--sources", text, "--marker", str(job.marker)),
        ],
        capture_output=True,
        text=True,
        env=job.environment(),
        check=False,
    )
    assert ran.returncode == Trouble.USAGE
    assert "--sources is not what the operator writes" in ran.stderr.splitlines()[-1]
