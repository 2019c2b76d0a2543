"""What the operator tells the fetching Job is what the Job understands."""

import pytest

from hadis.errors import InvalidInput
from hadis_operator import supplying
from hadis_operator.rendering import prefetching as rendering
from hadis_operator.rendering import weights
from hadis_server import errands, prefetching
from hadis_server.troubles import Trouble
from support.rendered import a_spec, an_installation, an_owner, container_of

LARGE = {
    "name": "large",
    "source": {
        "repository": "example/large",
        "revision": "v1",
        "overrides": {"vae": "example/vae", "transformer": "/models/mine", "scheduler.shift": "3"},
    },
    "steps": 28,
    "size": "1024x1024",
    "dtype": "bfloat16",
    "pipeline": "StableDiffusion3Pipeline",
    "loras": ["example/$(lora)", "./lora"],
}
CHANGES = (
    ("models", [LARGE, {**LARGE, "name": "larger", "steps": 40}]),
    ("profile", {"name": "any"}),
    ("discriminator", {"kind": "clip", "source": {"repository": "example/clip"}}),
    ("workers.template.modelCache", {"claimName": "weights"}),
)


def _sources() -> tuple[str, str]:
    job = rendering.render(an_owner(), a_spec(*CHANGES), an_installation())
    assert job is not None
    # The kubelet turns $$( into $( and leaves the rest alone.
    arguments = [word.replace("$$(", "$(") for word in container_of(job)["args"]]
    options = prefetching._parse(arguments)
    return options.sources, str(options.marker)


def test_the_jobs_arguments_are_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADIS_CASCADE_DIR", "/opt/cascade")
    sources, marker = _sources()
    cascade = errands.read(sources)
    (model,) = cascade.models  # two variants that need the same files
    assert marker == weights.marker(a_spec(*CHANGES))
    assert (model.source.repository, model.source.revision) == ("example/large", "v1")
    assert (model.pipeline, model.dtype) == ("StableDiffusion3Pipeline", "bfloat16")
    assert model.loras == ("example/$(lora)", "/opt/cascade/lora")
    assert cascade.discriminator is not None


def test_every_repository_is_gone_for_and_no_folder() -> None:
    todo = errands.plan(errands.read(_sources()[0]))
    assert [(errand.repository, errand.revision) for errand in todo] == [
        ("example/large", "v1"),
        ("example/vae", None),
        ("example/$(lora)", None),
        ("example/clip", None),
    ]
    assert {errand.repository for errand in todo} == set(weights._repositories(a_spec(*CHANGES)))


def test_a_model_in_a_folder_needs_its_foreign_parts_only() -> None:
    text = '{"models": [{"source": {"path": "/m", "overrides": {"vae": "a/vae"}}}]}'
    assert [errand.repository for errand in errands.plan(errands.read(text))] == ["a/vae"]


def test_text_that_is_no_list_of_sources_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--sources"):
        errands.read("{}")


def test_the_operator_knows_the_exit_statuses_that_it_tells_apart() -> None:
    assert supplying.EXIT_GATED == Trouble.GATED
    assert supplying.EXIT_NOT_FOUND == Trouble.NOT_FOUND
    assert prefetching.ENDED_BY_SIGNAL in supplying.ENDED_FROM_OUTSIDE
