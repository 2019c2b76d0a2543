"""A score is a pure function of the prompt and the weights, in every process."""

import json
import math
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hadis.errors import InvalidInput
from hadis.hardness import features, reading, scoring, weights

HARD = "Two tiny axolotls juggling lanterns to the left of the Eiffel Tower, full of melancholy"


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    scoring.load()


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_prompt_has_eight_features_in_the_order_of_the_paper() -> None:
    hardness = scoring.Scorer().score(HARD)
    assert tuple(hardness.features) == (
        "prompt_length",
        "token_rarity",
        "object_count",
        "abstractness",
        "attribute_density",
        "spatial_relations",
        "action_verbs",
        "named_entities",
    )
    assert all(0 < value < 1 for value in hardness.features.values())


def test_the_score_is_the_weighted_mean_of_the_features() -> None:
    hardness = scoring.Scorer().score(HARD)
    total = sum(weights.DEFAULT.values())
    want_score = sum(weights.DEFAULT[name] * value for name, value in hardness.features.items())
    assert hardness.score == pytest.approx(want_score / total, abs=1e-6)


def test_the_score_does_not_depend_on_the_prompts_before() -> None:
    alone = scoring.Scorer().score(HARD)
    busy = scoring.Scorer()
    for prompt in ("", "ein Hund", "zyzzyva " * 50, "\ud800", "a dog"):
        busy.score(prompt)
    after = busy.score(HARD)
    assert (after.features, after.score) == (alone.features, alone.score)


def test_another_process_finds_the_same_score() -> None:
    here = scoring.Scorer().score(HARD)
    there = json.loads(
        run_python(
            "import json; from hadis.hardness import scoring;"
            f"h = scoring.Scorer().score({HARD!r}); print(json.dumps([h.features, h.score]))"
        )
    )
    assert there == [here.features, here.score]


def test_a_thread_that_did_not_load_the_pipeline_finds_the_same_score() -> None:
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(scoring.Scorer().score(HARD).score))
    thread.start()
    thread.join()
    assert found == [scoring.Scorer().score(HARD).score]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300))
def test_any_text_has_a_finite_score_in_bounds(text: str) -> None:
    hardness = scoring.Scorer().score(text)
    assert 0.0 <= hardness.score <= 1.0
    assert all(0.0 <= value <= 1.0 for value in hardness.features.values())


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(features.NAMES), st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_any_finite_weights_give_a_mean_within_minus_one_and_one(given: dict[str, float]) -> None:
    try:
        resolved = weights.resolve(given)
    except InvalidInput:
        assert len(given) == 8
        assert not any(given.values())
        return
    assert math.fsum(map(abs, resolved.values())) == pytest.approx(1.0)
    assert -1.0 <= scoring.Scorer(given).score(HARD).score <= 1.0


@pytest.mark.parametrize(
    "prompt",
    ["", " \n\t", "🙂🙂", "\x00\x1b[31m", "\ud800", "红色的猫", "(" * 3000, "_" * 50, "…"],
)
def test_text_without_english_words_is_scored_all_the_same(prompt: str) -> None:
    assert 0.0 <= scoring.Scorer().score(prompt).score < 0.2


def test_capitals_throughout_change_only_the_look_of_a_prompt() -> None:
    assert scoring.Scorer().score("A RED SQUARE ABOVE A DOG").features["named_entities"] == 0


@pytest.mark.parametrize("text", ["(", "🙂", "a,", "a-", "a red dog, ", "\"'", "e\u0301\u0316"])
def test_the_longest_prompts_take_bounded_time(text: str) -> None:
    scorer = scoring.Scorer()
    started_s = time.thread_time()
    hardness = scorer.score((text * 32_000)[:32_000])
    assert time.thread_time() - started_s < 1.0
    assert hardness.truncated


def test_a_short_prompt_is_read_to_its_end() -> None:
    assert not scoring.Scorer().score(HARD).truncated


def test_what_was_cut_off_changes_nothing_but_the_length() -> None:
    scorer = scoring.Scorer()
    longer = scorer.score("a red dog " * 200 + "above Paris").features
    shorter = scorer.score("a red dog " * 200).features
    assert {**longer, "prompt_length": 0} == {**shorter, "prompt_length": 0}


def test_new_words_do_not_stay_in_memory() -> None:
    scorer = scoring.Scorer()
    strings = reading.load().vocab.strings
    scorer.score("warm up")
    want_count = len(strings)
    for number in range(200):
        scorer.score(f"a blorp{number} over a fizzle{number * 7} by Zorg{number}")
    assert len(strings) == want_count


def test_the_time_spent_is_reported_in_milliseconds() -> None:
    ticks = iter([1.0, 1.25])
    scorer = scoring.Scorer(clock=lambda: next(ticks))
    assert scorer.score("a dog").ms == 250.0


def test_scoring_imports_neither_torch_nor_anything_like_it() -> None:
    assert (
        run_python(
            "import sys; from hadis.hardness import scoring; scoring.Scorer().score('a dog');"
            "print([name for name in ('torch', 'cupy', 'tensorflow') if name in sys.modules])"
        )
        == "[]"
    )


def test_torch_can_be_imported_after_scoring_and_the_finders_are_as_before() -> None:
    pytest.importorskip("torch", reason="the worker extra is not installed")
    assert (
        run_python(
            "import sys, warnings; warnings.simplefilter('ignore'); before = list(sys.meta_path);"
            "from hadis.hardness import scoring; scoring.load();"
            "kept = [f for f in sys.meta_path if 'hadis' in type(f).__module__];"
            "import torch; print(kept, torch.ones(2).sum().item())"
        )
        == "[] 2.0"
    )


def test_importing_the_package_does_not_import_spacy() -> None:
    code = "import sys; from hadis.hardness import scoring; print('spacy' in sys.modules)"
    assert run_python(code) == "False"
