"""`POST /generate`: an image and a report, or one reason why there is none."""

import io
from collections import Counter

import pytest
from PIL import Image

from support.live_workers import SIZE, LiveWorker, a_request


def test_an_image_comes_back_with_its_report(worker: LiveWorker) -> None:
    answer = worker.generate("heavy", score=True, prompt="a red zebra above a circle")
    assert answer.status == 200
    assert answer.media_type == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (SIZE, SIZE)
    report = answer.report
    assert (report["worker"], report["uid"]) == ("w0", "uid-0")
    assert (report["model"], report["seed"], report["batch_size"]) == ("heavy", 7, 1)
    assert 0 <= report["quality_score"] <= 1
    assert report["generate_s"] > 0 < report["score_s"]
    assert report["unknown_words"] == ["zebra"]
    assert report["text_tokens"] == 6
    assert report["prompt_truncated"] is False
    assert report["queue"] == {"waiting": 0, "running": 0, "free_in_s": 0.0}


def test_an_image_is_scored_only_when_asked(worker: LiveWorker) -> None:
    assert worker.generate("light").report["quality_score"] is None


def test_every_class_of_pipeline_is_served(worker: LiveWorker) -> None:
    for model in ("light", "sdxl", "sd3"):
        assert worker.generate(model).status == 200


@pytest.mark.parametrize(
    ("output_format", "want_format"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")]
)
def test_the_image_is_encoded_as_asked(
    worker: LiveWorker, output_format: str, want_format: str
) -> None:
    answer = worker.generate("light", output_format=output_format)
    assert answer.media_type == f"image/{output_format}"
    assert Image.open(io.BytesIO(answer.content)).format == want_format


def test_stronger_compression_makes_smaller_files(worker: LiveWorker) -> None:
    for output_format in ("jpeg", "webp"):
        small, large = (
            worker.generate("light", output_format=output_format, output_compression=quality)
            for quality in (5, 100)
        )
        assert len(small.content) < len(large.content)


def test_the_seed_decides_the_picture(worker: LiveWorker) -> None:
    first, again, other = (worker.generate("light", seed=seed).content for seed in (5, 5, 6))
    assert first == again != other
    assert worker.generate("light", seed=2**32 - 1).status == 200


def test_a_prompt_beyond_the_text_encoders_is_served_and_said_to_be_cut(
    worker: LiveWorker,
) -> None:
    answer = worker.generate("light", prompt="red " * 40)
    assert answer.status == 200
    assert answer.report["prompt_truncated"] is True
    assert answer.report["text_tokens"] == 40
    # sd3 has a third encoder that reads all of it.
    assert worker.generate("sd3", prompt="red " * 20).report["prompt_truncated"] is False


def test_thousands_of_unknown_words_leave_a_header_that_clients_accept(
    worker: LiveWorker,
) -> None:
    prompt = " ".join(f"wörd{number}" for number in range(3000))
    answer = worker.generate("light", prompt=prompt)
    assert answer.status == 200
    assert answer.report["unknown_words"][0] == "wörd0"
    assert 50 < len(answer.report["unknown_words"]) < 3000


@pytest.mark.parametrize("prompt", ["", " ", "\x00\n", "🎨" * 50, "日本語の赤い円"])
def test_odd_prompts_are_served(worker: LiveWorker, prompt: str) -> None:
    assert worker.generate("light", prompt=prompt).status == 200


@pytest.mark.parametrize(
    ("change", "want_field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"width": 0}, "width"),
        ({"prompt": 7}, "prompt"),
        ({"output_format": "gif"}, "output_format"),
        ({"remaining_s": None}, "remaining_s"),
        ({"remaining_s": "NaN"}, "remaining_s"),
    ],
)
def test_an_unusable_field_is_named(
    worker: LiveWorker, change: dict[str, object], want_field: str
) -> None:
    answer = worker.generate("light", **change)
    assert (answer.status, answer.reason) == (400, "invalid")
    assert answer.message.startswith(f"{want_field}:")


def test_a_model_that_is_not_resident_is_refused_with_the_queue_state(worker: LiveWorker) -> None:
    answer = worker.generate("giant")
    assert (answer.status, answer.reason) == (409, "not_resident")
    assert "giant is not in the cascade tiny" in answer.message
    # Whoever asks for what there is not must not be able to add series.
    assert worker.metric("hadis_worker_images_total", model="giant") == 0
    assert worker.metric("hadis_worker_images_total", model="unknown", result="not_resident") >= 1
    assert answer.report["queue"]["waiting"] == 0


def test_what_expires_in_the_queue_is_never_made(worker: LiveWorker) -> None:
    steps_before = worker.metric("hadis_denoise_step_seconds_count", model="heavy")
    with worker.held():
        answer = worker.generate("heavy", remaining_s=0.2)
        assert (answer.status, answer.reason) == (504, "expired")
    assert worker.generate("heavy", remaining_s=-1).status == 504
    assert worker.generate("light").status == 200
    assert worker.metric("hadis_denoise_step_seconds_count", model="heavy") == steps_before


def test_a_job_that_is_being_made_when_its_time_runs_out_is_finished(worker: LiveWorker) -> None:
    assert worker.generate("slow", remaining_s=0.3).status == 200


async def test_a_full_queue_refuses_at_once(worker: LiveWorker) -> None:
    room = worker.settings.max_waiting
    bodies = [a_request("light", remaining_s=0.5) for _ in range(room + 1)]
    with worker.held():
        answers = await worker.generate_all(bodies)
    reasons = Counter(answer.reason for answer in answers)
    assert reasons == {"expired": room, "overloaded": 1}
    refused = next(answer for answer in answers if answer.reason == "overloaded")
    assert refused.status == 503
    assert refused.report["queue"]["waiting"] == room


async def test_a_prompt_that_breaks_its_pipeline_does_not_take_its_batch_along(
    worker: LiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = worker.station.resident("light")
    assert resident is not None
    cls = type(resident.variant.pipeline)
    encode = cls.encode_prompt

    def fragile(self: object, prompt: list[str], *args: object, **kwargs: object) -> object:
        if "cross" in prompt:
            raise RuntimeError("the encoder tripped over a cross")
        return encode(self, prompt, *args, **kwargs)

    monkeypatch.setattr(cls, "encode_prompt", fragile)
    prompts = ["red", "cross", "blue"]
    answers = await worker.generate_together(
        [a_request("light", prompt=prompt) for prompt in prompts]
    )
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[1].reason == "failed"
    assert "tripped over a cross" in answers[1].message
    monkeypatch.undo()
    assert worker.generate("light", prompt="cross").status == 200


def test_the_metrics_carry_the_contracts_names_and_the_cascade(worker: LiveWorker) -> None:
    worker.generate("light", score=True)
    for name in (
        "hadis_queue_wait_seconds_count",
        "hadis_batch_size_count",
        "hadis_denoise_step_seconds_count",
        "hadis_quality_score_count",
        "hadis_model_load_seconds_count",
    ):
        assert worker.metric(name, cascade="tiny", model="light") >= 1, name
    text = worker.probe("/metrics").text
    for name in ("hadis_num_requests_running", "hadis_num_requests_waiting"):
        assert f'{name}{{cascade="tiny",model="light"}} 0.0' in text
    assert "hadis_model_swaps_total" in text
    assert "python_info" not in text  # the registry is the worker's own
