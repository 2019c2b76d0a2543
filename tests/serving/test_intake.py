"""The door between event loop and denoising thread: when is everything that was accepted done?"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from hadis.wire.generation import GenerateBody
from hadis_server.batching import Shape
from hadis_server.intake import Intake
from hadis_server.jobs import Draining, GenerationFailed, Job, Picture

PICTURE = Picture(b"", "image/png", None, 0.0, 0.0, 0.0, 1, (), False, 0)


@dataclass(frozen=True)
class AVariant:
    serial: int = 1


def an_intake() -> Intake:
    return Intake(clock=lambda: 0.0, estimate=lambda _model, batch: float(batch), max_waiting=9)


def a_job(deadline_s: float = 60.0) -> Job:
    body = GenerateBody(
        request_id="r", model="m", prompt="p", seed=1, width=64, height=64, remaining_s=deadline_s
    )
    return Job(body, AVariant(), None, Shape("m", 64, 64, 3, 1.0), 0.0, deadline_s)


def test_an_intake_is_busy_until_the_picture_is_handed_over() -> None:
    intake = an_intake()
    job = a_job()
    assert intake.busy is False
    intake.submit(job)
    assert intake.busy is True
    assert intake.take() == [job]
    intake.release()
    # The denoising thread is done, the encoding thread is not: a drain must wait for it.
    assert (intake.waiting(), intake.running()) == (0, 0)
    assert intake.busy is True
    job.finish(PICTURE)
    assert intake.busy is False


@pytest.mark.parametrize("how", ["cancel", "expire", "fail", "close"])
def test_every_other_end_of_a_job_frees_the_intake_once(how: str) -> None:
    intake = an_intake()
    job, other = a_job(), a_job()
    intake.submit(job)
    intake.submit(other)
    if how == "cancel":
        intake.cancel(job)
    elif how == "expire":
        assert intake.expire(job)
    elif how == "fail":
        job.fail(GenerationFailed("broken"))
    else:
        for left in intake.close():
            left.fail(Draining("closing"))
    job.finish(PICTURE)
    assert intake.busy is (how != "close")
    other.finish(PICTURE)
    assert intake.busy is False


def test_what_expired_in_the_queue_is_no_longer_waited_for() -> None:
    intake = an_intake()
    intake.submit(a_job(deadline_s=-1.0))
    kept = a_job()
    intake.submit(kept)
    assert intake.take() == [kept]
    kept.finish(PICTURE)
    assert intake.busy is False


def test_a_refused_job_leaves_the_intake_idle() -> None:
    intake = an_intake()
    intake.drain()
    with pytest.raises(Draining):
        intake.submit(a_job())
    assert intake.busy is False


def test_a_draining_intake_hands_out_what_was_accepted_and_no_idle_errand() -> None:
    intake = an_intake()
    job = a_job()
    intake.submit(job)
    intake.run(lambda: None, when_idle=True)
    intake.drain()
    assert intake.take() == [job]
    intake.release()
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(intake.take)
        try:
            with pytest.raises(TimeoutError):
                taken.result(timeout=0.3)
        finally:
            intake.close()
        assert taken.result() is None
