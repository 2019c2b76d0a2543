"""What waits in a worker: batches of equal shape, order by deadline, and clients that leave."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path

from support.live_workers import (
    PATIENCE_S,
    Answer,
    LiveWorker,
    a_cascade,
    a_model,
    a_request,
    pixels,
)


def send(worker: LiveWorker, body: dict[str, object]) -> socket.socket:
    """Send a request and leave the reply to the caller, who may drop the connection."""
    content = json.dumps(body).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: w\r\nContent-Length: {len(content)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", worker.port))
    connection.sendall(head.encode() + content)
    return connection


async def test_what_waits_with_one_shape_is_made_in_one_batch(worker: LiveWorker) -> None:
    same = [a_request("light", seed=seed) for seed in range(4)]
    answers = await worker.generate_together([*same, a_request("light", width=64)])
    assert [answer.status for answer in answers] == [200] * 5
    assert [answer.report["batch_size"] for answer in answers] == [4, 4, 4, 4, 1]


async def test_a_batch_is_never_larger_than_assigned_and_never_waited_for(
    worker: LiveWorker,
) -> None:
    worker.assign("light", batch_size=2)
    answers = await worker.generate_together([a_request("light", seed=seed) for seed in range(5)])
    assert sorted(answer.report["batch_size"] for answer in answers) == [1, 2, 2, 2, 2]


async def test_the_same_seed_gives_the_same_picture_alone_and_in_a_batch(
    worker: LiveWorker,
) -> None:
    worker.assign("heavy", batch_size=4)
    alone = [worker.generate("heavy", seed=seed) for seed in range(4)]
    answers = await worker.generate_together([a_request("heavy", seed=seed) for seed in range(4)])
    assert [answer.report["batch_size"] for answer in answers] == [4] * 4
    for answer, want in zip(answers, alone, strict=True):
        assert abs(pixels(answer) - pixels(want)).max() <= 1


async def test_the_earliest_deadline_is_served_first(worker: LiveWorker) -> None:
    worker.assign("light", batch_size=1)
    bodies = [a_request("light", remaining_s=remaining_s) for remaining_s in (50, 30, 40)]
    answers = await worker.generate_together(bodies)
    waited_s = [answer.report["queue_s"] for answer in answers]
    assert waited_s[1] < waited_s[2] < waited_s[0]


async def test_rows_with_and_without_negative_prompts_do_not_share_a_batch(
    worker: LiveWorker,
) -> None:
    answers = await worker.generate_together(
        [a_request("heavy"), a_request("heavy", negative_prompt="blue")]
    )
    assert [answer.report["batch_size"] for answer in answers] == [1, 1]


async def test_a_row_whose_client_left_is_removed_and_its_neighbours_come_out_equal(
    worker: LiveWorker,
) -> None:
    prompts = ["red", "green circle", "blue square", "two"]
    want = await worker.generate_together([a_request("slow", prompt=prompt) for prompt in prompts])
    removed_before = worker.metric("hadis_worker_images_total", model="slow", result="cancelled")
    answers: dict[int, Answer] = {}

    def ask(at: int) -> None:
        answers[at] = worker.generate("slow", prompt=prompts[at])

    callers = [threading.Thread(target=ask, args=(at,)) for at in (0, 2, 3)]
    with worker.held():
        leaving = send(worker, a_request("slow", prompt=prompts[1]))
        for caller in callers:
            caller.start()
        worker.wait_waiting(4)
    worker.wait(lambda status: status["models"]["slow"]["running"] == 4, within_s=PATIENCE_S)
    leaving.close()
    worker.wait(lambda status: status["models"]["slow"]["running"] != 4, within_s=5)
    for caller in callers:
        caller.join()
    assert sorted(answers) == [0, 2, 3]
    assert {answer.report["batch_size"] for answer in answers.values()} == {4}
    assert all(answer.content == want[at].content for at, answer in answers.items())
    cancelled = worker.metric("hadis_worker_images_total", model="slow", result="cancelled")
    assert cancelled == removed_before + 1
    assert all(worker.generate("light", seed=seed).status == 200 for seed in range(3))


def test_fifty_clients_that_leave_empty_the_queue_within_a_second_and_denoising_stops(
    worker: LiveWorker,
) -> None:
    connections = [send(worker, a_request("slow", seed=seed)) for seed in range(50)]
    worker.wait(
        lambda status: status["queue"]["running"] + status["queue"]["waiting"] == 50,
        within_s=PATIENCE_S,
    )
    for connection in connections:
        connection.close()
    worker.wait(lambda status: status["queue"]["waiting"] == 0, within_s=1.0)
    worker.wait(lambda status: status["queue"]["running"] == 0, within_s=5.0)
    began_s, busy_s = time.monotonic(), worker.status()["busy_s"]
    answer = worker.generate("light")
    assert answer.status == 200
    # Nothing of the fifty is left to be made: the thread works for this one only.
    assert worker.status()["busy_s"] - busy_s <= time.monotonic() - began_s
    assert answer.report["queue"] == {"waiting": 0, "running": 0, "free_in_s": 0.0}


async def test_a_new_assignment_loses_nothing_that_waits(worker: LiveWorker) -> None:
    bodies = [a_request(("light", "heavy")[seed % 2], seed=seed) for seed in range(20)]
    with worker.held():
        sent = asyncio.create_task(worker.generate_all(bodies))
        await asyncio.to_thread(worker.wait_waiting, 20)
        for model in ("heavy", "light", "heavy"):
            in_force = await asyncio.to_thread(worker.assign, model, role="heavy")
            assert in_force["model"] == model
    answers = await sent
    assert [answer.status for answer in answers] == [200] * 20
    assert [answer.report["model"] for answer in answers] == [body["model"] for body in bodies]
    # The model of the last assignment was served first.
    waited_s = {
        model: [answer.report["queue_s"] for answer in answers if answer.report["model"] == model]
        for model in ("light", "heavy")
    }
    assert max(waited_s["heavy"]) < min(waited_s["light"])


async def test_jobs_that_outlive_the_grace_are_refused_and_their_batch_stops(
    folders: dict[str, Path],
) -> None:
    with LiveWorker(a_cascade(a_model("m", folders["sd"], steps=40))) as worker:
        worker.assign("m", batch_size=1)
        worker.wait_resident("m")
        sent = asyncio.create_task(worker.generate_all([a_request("m", seed=n) for n in range(3)]))
        await asyncio.to_thread(
            worker.wait, lambda status: status["queue"]["waiting"] == 2, within_s=PATIENCE_S
        )
        worker.station.give_up()
        answers = await sent
    assert {(answer.status, answer.reason) for answer in answers} == {(503, "draining")}
