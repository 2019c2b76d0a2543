import asyncio
from collections.abc import AsyncIterator

import openai
import pytest

from support.images import largest_difference, pixels, provenance
from support.scenes_fleet import ScenesFleet, held_out_prompts

pytestmark = pytest.mark.fleet
PROMPT = "a red circle above a blue square"


@pytest.fixture
async def async_client(fleet: ScenesFleet) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{fleet.url}/v1", api_key="none") as opened:
        yield opened


def test_n_images_are_the_seeds_counted_up(client: openai.OpenAI) -> None:
    model = "scenes-xs"
    four = client.images.generate(prompt=PROMPT, model=model, n=4, extra_body={"seed": 7})
    assert [provenance(datum)["seed"] for datum in four.data or []] == [7, 8, 9, 10]
    for seed, datum in zip(range(7, 11), four.data or [], strict=True):
        alone = client.images.generate(prompt=PROMPT, model=model, extra_body={"seed": seed})
        assert alone.data is not None
        assert datum.b64_json is not None
        assert alone.data[0].b64_json is not None
        assert largest_difference(pixels(datum.b64_json), pixels(alone.data[0].b64_json)) <= 1


async def test_a_seed_gives_one_picture_in_any_company(
    async_client: openai.AsyncOpenAI, fleet: ScenesFleet
) -> None:
    model = "scenes-s"

    async def draw(prompt: str, seed: int) -> str:
        reply = await async_client.images.generate(
            prompt=prompt, model=model, extra_body={"seed": seed}
        )
        assert reply.data is not None
        assert reply.data[0].b64_json is not None
        return reply.data[0].b64_json

    want = pixels(await draw(PROMPT, 7))
    others = held_out_prompts()
    for company in range(1, 9):
        drawn = await asyncio.gather(
            draw(PROMPT, 7), *(draw(others[k], 100 + k) for k in range(company))
        )
        assert largest_difference(pixels(drawn[0]), want) <= 1


async def test_a_hundred_seeds_give_a_hundred_pictures(
    async_client: openai.AsyncOpenAI,
) -> None:
    async def ten(first: int) -> list[str]:
        reply = await async_client.images.generate(
            prompt="a green triangle", model="scenes-xs", n=10, extra_body={"seed": first}
        )
        return [datum.b64_json or "" for datum in reply.data or []]

    # Not all at once: two slow cores need most of the deadline for a hundred pictures.
    drawn = []
    for first in range(0, 100, 20):
        drawn += await asyncio.gather(ten(first), ten(first + 10))
    assert len({picture for batch in drawn for picture in batch}) == 100


def test_model_and_seed_reproduce_an_escalated_image_after_the_plan_has_changed(
    client: openai.OpenAI, fleet: ScenesFleet
) -> None:
    fleet.pin("scenes-xs", "scenes-s", hardness=2.0, quality=1.5)
    try:
        escalated = client.images.generate(prompt=PROMPT)
        assert escalated.data is not None
        told = provenance(escalated.data[0])
        assert told["path"] in ("light>heavy", "kept")
        fleet.pin("scenes-s", "scenes-m", hardness=2.0, quality=0.0)
        again = client.images.generate(
            prompt=PROMPT, model=told["model"], extra_body={"seed": told["seed"]}
        )
    finally:
        fleet.unpin()
    assert again.data is not None
    assert provenance(again.data[0])["path"] == "pinned"
    first, second = escalated.data[0].b64_json, again.data[0].b64_json
    assert first is not None
    assert second is not None
    assert largest_difference(pixels(first), pixels(second)) <= 1
