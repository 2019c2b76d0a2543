"""A folder as a user of `hadis up` has one: tiny weights, a cascade file, examples."""

import json
import textwrap
from pathlib import Path

LIGHT_STEPS, HEAVY_STEPS = 2, 12


def write_cascade(folder: Path, *, workers: int = 1, planner: str = "{}", slo: str = "20s") -> Path:
    """Write weights (once) and cascade.yaml; the two models share weights and differ in steps."""
    if not (folder / "weights").exists():
        from support import tiny_pipelines  # only here, because it brings torch along

        tiny_pipelines.save_stable_diffusion(folder / "weights")
        tiny_pipelines.save_clip(folder / "clip")
    examples = {"groups": [{"title": "Easy", "prompts": ["a red circle", "a blue square"]}]}
    (folder / "examples.json").write_text(json.dumps(examples))
    file = folder / "cascade.yaml"
    file.write_text(manifest(workers=workers, planner=planner, slo=slo))
    return file


def manifest(*, workers: int = 1, planner: str = "{}", slo: str = "20s", extra: str = "") -> str:
    """The text of the cascade file; `extra` is put into the spec."""
    return textwrap.dedent(
        f"""\
        apiVersion: hadis.dev/v1alpha1
        kind: HadisCascade
        metadata: {{name: tiny}}
        spec:
          slo: {{latency: {slo}}}
          models:
            - {{name: small, source: {{path: weights}}, steps: {LIGHT_STEPS}, size: 32x32}}
            - {{name: large, source: {{path: weights}}, steps: {HEAVY_STEPS}, size: 32x32}}
          profile: {{name: tiny}}
          escalation: {{deliver: Better}}
          discriminator: {{source: {{path: clip}}, kind: clip}}
          workers: {{count: {workers}}}
          planner: {planner}
          {extra}
        ---
        apiVersion: hadis.dev/v1alpha1
        kind: HadisProfile
        metadata: {{name: tiny}}
        spec:
          quality: {{metric: fulfilment, direction: higher}}
          deliver: Better
          models:
            - {{name: small, latencies: [{{batch: 1, seconds: 0.05}}, {{batch: 4, seconds: 0.1}}]}}
            - {{name: large, latencies: [{{batch: 1, seconds: 0.2}}, {{batch: 4, seconds: 0.4}}]}}
          rows:
            - {{light: small, heavy: small, directRatio: 0, routeRatio: {{light: 1, heavy: 0}},
               measured: {{fulfilment: 0.5}}}}
            - {{light: small, heavy: large, qualityThreshold: 0.5, directRatio: 0,
               routeRatio: {{light: 1, heavy: 0.5}}, measured: {{fulfilment: 0.8}}}}
            - {{light: large, heavy: large, directRatio: 0, routeRatio: {{light: 1, heavy: 0}},
               measured: {{fulfilment: 0.9}}}}
        """
    )
