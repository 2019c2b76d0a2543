"""The main way: a prompt in, an image and its provenance out, by the unmodified openai client."""

import base64
import random

import pytest

from hadis.hardness.scoring import Scorer
from hadis.routing.cascading import second_seed
from hadis.terms.profiles import Deliver
from support.router_fixtures import BIG, TINY, a_lane, call
from support.scripted_workers import drawn_score, picture

KEYS = {
    "request_id", "path", "outcome", "route", "model", "hardness", "quality_score",
    "heavy_quality_score", "seed", "plan_version", "lane", "thresholds", "queue_s", "generate_s",
    "total_s", "unknown_words", "prompt_truncated", "ignored",
}  # fmt: skip
EASY, HARD = a_lane(2.0), a_lane(-1.0)
PROMPTS = [
    "a red circle",
    "two small blue squares and a large yellow triangle to the left of a green cross",
    "an abstract feeling of hope",
    "a dog chases the old man through Paris while it rains heavily over the bridge",
]


def test_a_prompt_becomes_the_picture_that_its_provenance_names(fleet):
    answer = fleet.generate("a red circle", seed=7)
    [image] = answer.data
    want_png = picture(image.hadis["model"], "a red circle", image.hadis["seed"])
    assert base64.b64decode(image.b64_json) == want_png
    assert image.hadis["seed"] == 7


def test_the_answer_is_as_openai_answers(fleet):
    fleet.route(EASY)
    raw = fleet.router.client().images.with_raw_response.generate(
        prompt="a red circle", size="64x64", quality="auto"
    )
    answer = raw.parse()
    assert (answer.size, answer.quality, answer.background) == ("64x64", "medium", "opaque")
    assert answer.output_format == "png"
    assert answer.usage.input_tokens == answer.usage.input_tokens_details.text_tokens == 3
    assert answer.usage.total_tokens == 3 + answer.usage.output_tokens
    assert raw.headers["x-request-id"] == answer.data[0].hadis["request_id"]
    assert int(raw.headers["openai-processing-ms"]) >= 10
    assert raw.headers["x-ratelimit-limit-requests"] == "512"
    assert {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"} <= set(raw.headers)


@pytest.mark.parametrize("options", [{}, {"model": "tiny"}, {"quality": "low"}, {"n": 3}])
def test_every_key_of_the_provenance_is_always_there(fleet, options):
    for image in fleet.generate(**options).data:
        assert set(image.hadis) == KEYS
        assert set(image.hadis["lane"]) == {"light", "heavy"}
        assert set(image.hadis["thresholds"]) == {"hardness", "quality"}


def test_500_paths_follow_from_what_their_provenance_tells(fleet):
    theta, tau = 0.18, 0.4
    fleet.use_cascade(slo_s=120.0)  # however slow the machine, nothing is degraded
    fleet.light.renew(latency_s={"tiny": 0.001, "big": 0.001}, batch_size=8)
    fleet.heavy.renew(latency_s={"tiny": 0.001, "big": 0.001}, batch_size=8)
    fleet.route(a_lane(theta, tau))
    scorer = Scorer()
    prompts = random.Random(4)
    paths = set()
    for _ in range(50):
        prompt = prompts.choice(PROMPTS)
        for image in fleet.generate(prompt, n=10).data:
            told = image.hadis
            assert told["hardness"] == scorer.score(prompt).score
            assert told["thresholds"] == {"hardness": theta, "quality": tau}
            paths.add(told["path"])
            assert told["path"] == recomputed_path(told)
            want_picture = picture(told["model"], prompt, told["seed"])
            assert base64.b64decode(image.b64_json) == want_picture
    assert paths == {"light", "heavy", "light>heavy", "kept"}


def recomputed_path(told):
    if told["hardness"] >= told["thresholds"]["hardness"]:
        return "heavy"
    if told["quality_score"] >= told["thresholds"]["quality"]:
        return "light"
    return "kept" if told["heavy_quality_score"] < told["quality_score"] else "light>heavy"


def test_a_quality_threshold_above_one_escalates_every_light_image(fleet):
    fleet.route(a_lane(2.0, 1.01))
    paths = {fleet.told(seed=seed)["path"] for seed in range(12)}
    assert paths <= {"light>heavy", "kept"}


def test_a_quality_threshold_of_zero_escalates_none(fleet):
    fleet.route(a_lane(2.0, 0.0))
    assert {fleet.told(seed=seed)["path"] for seed in range(12)} == {"light"}
    assert fleet.heavy.counts["received"] == 0


def test_a_switched_off_discriminator_is_not_asked_for_a_score(fleet):
    fleet.route(a_lane(2.0, float("-inf")))
    told = fleet.told()
    assert (told["path"], told["quality_score"]) == ("light", None)
    assert told["thresholds"]["quality"] is None
    assert [body.score for body in fleet.light.worker.bodies] == [False]


def test_a_stage_that_the_cascade_disables_is_off_whatever_the_plan_says(fleet):
    fleet.use_cascade(router_stage=False, discriminator_stage=False, deliver=Deliver.HEAVY)
    fleet.route(a_lane(-1.0, 1.01))
    told = fleet.told()
    assert told["path"] == "light"
    assert told["thresholds"] == {"hardness": None, "quality": None}
    assert 0 < told["hardness"] < 1


def test_an_image_that_nobody_could_score_is_delivered(fleet):
    fleet.light.renew(scores={"tiny": None})
    fleet.route(a_lane(2.0, 0.5))
    assert fleet.told()["path"] == "light"


def test_the_light_image_is_kept_when_the_heavy_one_scores_lower(fleet):
    fleet.light.renew(scores={"tiny": 0.4})
    fleet.heavy.renew(scores={"big": 0.3})
    fleet.route(EASY)
    told = fleet.told(seed=5)
    assert (told["path"], told["outcome"], told["model"]) == ("kept", "escalated", "tiny")
    assert (told["quality_score"], told["heavy_quality_score"]) == (0.4, 0.3)
    assert told["generate_s"] >= 0.035  # both


def test_deliver_heavy_delivers_the_heavy_image_unscored(fleet):
    fleet.use_cascade(deliver=Deliver.HEAVY)
    fleet.light.renew(scores={"tiny": 0.4})
    fleet.heavy.renew(scores={"big": 0.3})
    fleet.route(EASY)
    told = fleet.told()
    assert (told["path"], told["model"]) == ("light>heavy", "big")
    assert (told["quality_score"], told["heavy_quality_score"]) == (0.4, None)


def test_a_lane_of_one_model_retries_with_another_seed(fleet):
    fleet.route(a_lane(2.0, 1.01, heavy=TINY))
    answer = fleet.generate(seed=11)
    told = answer.data[0].hadis
    want_seed = second_seed(11, same_model=True)
    scores = {seed: drawn_score("tiny", "a red circle", seed) for seed in (11, want_seed)}
    assert told["seed"] == max(scores, key=scores.get)
    assert want_seed != 11
    assert base64.b64decode(answer.data[0].b64_json) == picture(
        "tiny", "a red circle", told["seed"]
    )


def test_model_and_seed_of_an_escalated_image_reproduce_it_pinned(fleet):
    fleet.route(a_lane(2.0, 1.01))
    first = fleet.generate(seed=3)
    told = first.data[0].hadis
    fleet.route(a_lane(2.0, 0.0))
    again = fleet.generate(model=told["model"], seed=told["seed"])
    assert again.data[0].b64_json == first.data[0].b64_json
    assert again.data[0].hadis["path"] == "pinned"


def test_n_images_have_the_seeds_from_seed_on_and_equal_single_ones(fleet):
    fleet.route(EASY)
    together = fleet.generate(n=4, seed=7)
    assert [image.hadis["seed"] for image in together.data] == [7, 8, 9, 10]
    alone = [fleet.generate(seed=seed).data[0].b64_json for seed in (7, 8, 9, 10)]
    assert [image.b64_json for image in together.data] == alone


def test_a_seed_is_drawn_and_told_when_absent(fleet):
    seeds = {fleet.told()["seed"] for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_pinned_model_is_used_whatever_the_thresholds_say(fleet):
    fleet.route(HARD)
    told = fleet.told(model="tiny")
    assert (told["path"], told["model"], told["outcome"]) == ("pinned", "tiny", "served_light")
    assert told["lane"] == {"light": None, "heavy": None}
    assert 0 < told["hardness"] < 1
    assert fleet.told(model="big")["outcome"] == "served_heavy"


def test_the_cascade_itself_is_a_model(fleet):
    assert fleet.told(model="pair")["path"] != "pinned"


@pytest.mark.parametrize(
    ("quality", "want_path", "want_echo"),
    [
        ("low", "light", "low"),
        ("high", "heavy", "high"),
        ("hd", "heavy", "high"),
        ("xhigh", "heavy", "xhigh"),
        ("max", "heavy", "max"),
    ],
)
def test_quality_chooses_the_stage(fleet, quality, want_path, want_echo):
    fleet.route(HARD if want_path == "light" else EASY)
    answer = fleet.generate(quality=quality)
    assert (answer.data[0].hadis["path"], answer.quality) == (want_path, want_echo)


@pytest.mark.parametrize("quality", ["auto", "medium", "standard", None])
def test_quality_in_the_middle_leaves_it_to_the_plan(fleet, quality):
    fleet.route(HARD)
    assert fleet.told(quality=quality)["route"] == "planned"


def test_what_is_not_honoured_is_listed(fleet):
    told = fleet.told(user="me", moderation="low", style="vivid", partial_images=2)
    assert told["ignored"] == ["moderation", "partial_images", "style", "user"]


def test_unknown_words_and_truncation_are_told(fleet):
    fleet.light.renew(truncated=True)
    fleet.route(a_lane(2.0, 0.0))
    told = fleet.told("a red xyzzy")
    assert (told["unknown_words"], told["prompt_truncated"]) == (["xyzzy"], True)


def test_format_and_negative_prompt_reach_the_worker(fleet):
    fleet.route(a_lane(2.0, 0.0))
    fleet.generate(output_format="webp", output_compression=80, negative_prompt="blue", size="auto")
    [body] = fleet.light.worker.bodies
    assert (body.output_format, body.output_compression) == ("webp", 80)
    assert (body.negative_prompt, body.width, body.height) == ("blue", 64, 64)


def test_hadis_score_and_the_router_agree(fleet):
    scorer = Scorer()
    for prompt in PROMPTS:
        assert fleet.told(prompt)["hardness"] == scorer.score(prompt).score


def test_models_are_listed_the_cascade_first(fleet):
    client = fleet.router.client()
    assert [model.id for model in client.models.list().data] == ["pair", "tiny", "big"]
    assert client.models.retrieve("big").owned_by == "hadis"


def test_two_lanes_share_the_prompts(fleet):
    fleet.route(
        a_lane(2.0, 0.0, share=0.5),
        a_lane(2.0, 0.0, share=0.5, light=BIG),
    )
    models = [fleet.told()["model"] for _ in range(24)]
    assert 3 <= models.count("tiny") <= 21


def test_metrics_count_every_image_by_its_outcome(fleet):
    before = fleet.outcomes()
    fleet.route(a_lane(2.0, 0.0))
    fleet.generate(n=4)
    fleet.route(HARD)
    fleet.generate(n=2)
    fleet.route(a_lane(2.0, 1.01))
    fleet.generate(n=3)
    after = fleet.outcomes()
    gained = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert gained == {"served_light": 4, "served_heavy": 2, "escalated": 3}


def test_a_clients_retry_is_no_new_demand(fleet):
    def arrived():
        return fleet.router.status()["demand"]["counts"]["arrived"]

    before = arrived()
    heads = {"x-stainless-retry-count": "1"}
    fleet.router.client().images.generate(prompt="a circle", extra_headers=heads)
    assert arrived() == before
    fleet.generate(n=2)
    assert arrived() == before + 2


def test_the_overhead_is_the_time_outside_workers_and_scoring(fleet):
    fleet.heavy.renew(latency_s={"tiny": 0.01, "big": 0.4})
    fleet.route(HARD)
    name = 'hadis_router_overhead_seconds_sum{cascade="pair"}'
    before = fleet.router.metrics()[name]
    fleet.generate()
    assert fleet.router.metrics()[name] - before < 0.2


def test_a_router_without_a_plan_says_so(fleet, tmp_path):
    from support.router_fixtures import RouterUnderTest

    router = RouterUnderTest(folder=tmp_path)
    try:
        status, told, heads = call(
            "POST", f"{router.url}/v1/images/generations", b'{"prompt": "a circle"}'
        )
        assert (status, told["error"]["hadis"]["outcome"]) == (503, "rejected")
        assert 1 <= int(heads["retry-after"]) <= 60
        assert call("GET", f"{router.url}/readyz")[0] == 503
        assert call("GET", f"{router.url}/healthz")[0] == 200
    finally:
        router.stop()
