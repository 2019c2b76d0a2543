"""A router that plays a script: it speaks the public HTTP of HADIS with believable data.

The playground is developed and tested against it, so that a test can say which path the next
picture takes, which error comes, and what the fleet looks like. Run it by hand with
`python tests/support/scripted_router.py --port 8009`.
"""

import argparse
import asyncio
import base64
import io
import json
import math
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image, ImageDraw, ImageFilter

from hadis_router import playground

MODELS = ("spark", "sketch", "canvas", "fresco")
COLOURS = {
    "red": (214, 48, 49), "green": (39, 156, 84), "blue": (45, 98, 214),
    "yellow": (240, 196, 40), "purple": (140, 72, 190), "cyan": (40, 185, 200),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross")
PLANS = (
    {"light": "spark", "heavy": "canvas", "theta": 0.71, "tau": 0.42, "workers": (2, 0, 1, 0)},
    {"light": "spark", "heavy": "fresco", "theta": 0.58, "tau": 0.63, "workers": (1, 0, 0, 2)},
    {"light": "sketch", "heavy": "fresco", "theta": 0.47, "tau": 0.55, "workers": (0, 1, 0, 2)},
)
OUTCOMES = {
    "light": "served_light", "heavy": "served_heavy", "light>heavy": "escalated",
    "kept": "escalated", "degraded": "degraded", "pinned": "served_light",
}  # fmt: skip
PLAN_LASTS_S = 110
EXAMPLES = {
    "cascade": "scenes",
    "about": "Circles, squares, triangles and crosses in six colours, two sizes and up to four of "
    "a kind, side by side or one above the other.",
    "groups": [
        {"title": "One thing", "prompts": ["a red circle", "a large blue square"]},
        {"title": "Two things", "prompts": ["a green cross and a yellow circle"]},
        {"title": "Where things are", "prompts": ["a purple triangle above a cyan square"]},
        {
            "title": "Hard",
            "prompts": ["three small red circles to the left of a large blue square on the right"],
        },
    ],
}


@dataclass
class Script:
    """What the router does next, set by a test, and what it was asked, read by a test."""

    path: str | None = None
    error: tuple[int, dict[str, Any], dict[str, str]] | None = None
    stream_error: dict[str, Any] | None = None
    cut: bool = False
    api_key: str | None = None
    examples: bool = True
    load: bool = True
    plan: bool = True
    plan_changes: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, Any] | None = None
    unknown_words: list[str] = field(default_factory=list)
    light_s: float = 0.12
    heavy_s: float = 0.6
    rate: float = 0.0
    load_s: float = 0.0
    silent_s: float = 0.0
    plan_offset: int = 0
    worker_state: str = "ready"
    generations: list[dict[str, Any]] = field(default_factory=list)
    asked_rates: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cancelled: int = 0


def a_picture(prompt: str, seed: int, *, quality: float, size: int = 64) -> bytes:
    """Draw the things that the prompt names, the worse the lower the quality; PNG bytes."""
    rng = random.Random(f"{prompt}/{seed}")
    scale = 4
    side = size * scale
    shade = rng.randint(226, 246)
    image = Image.new("RGB", (side, side), (shade, shade, shade + 6))
    draw = ImageDraw.Draw(image)
    words = re.findall(r"[a-z]+", prompt.lower())
    things = [(w, c) for c, w in zip([*words, ""], [*words[1:], ""], strict=False) if c in COLOURS]
    for shape, colour in things[:4] or [("circle", "red")]:
        radius = rng.randint(side // 9, side // 6)
        x, y = rng.randint(radius, side - radius), rng.randint(radius, side - radius)
        box = (x - radius, y - radius, x + radius, y + radius)
        ink = COLOURS[colour]
        if shape.startswith("circle"):
            draw.ellipse(box, fill=ink)
        elif shape.startswith("triangle"):
            draw.polygon(((x, box[1]), (box[0], box[3]), (box[2], box[3])), fill=ink)
        elif shape.startswith("cross"):
            draw.rectangle((x - radius // 3, box[1], x + radius // 3, box[3]), fill=ink)
            draw.rectangle((box[0], y - radius // 3, box[2], y + radius // 3), fill=ink)
        else:
            draw.rectangle(box, fill=ink)
    if quality < 0.6:
        image = image.filter(ImageFilter.GaussianBlur((0.7 - quality) * 14))
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def plan_at(second: int, offset: int = 0) -> tuple[int, dict[str, Any]]:
    """Return the version and the plan in force at a second of the script."""
    step = second // PLAN_LASTS_S
    return step + offset + 1, PLANS[(step + offset) % len(PLANS)]


def history(now: int, offset: int, length: int = 300) -> dict[str, Any]:
    """Return five minutes of a load that rises and falls, the same at every call."""
    names = ("demand", "served_light", "served_heavy", "escalated", "degraded", "rejected", "late")
    series: dict[str, list[Any]] = {name: [] for name in names}
    thetas, taus = [], []
    workers: dict[str, list[int]] = {name: [] for name in MODELS}
    seconds = list(range(max(0, now - length + 1), now + 1))
    for second in seconds:
        rng = random.Random(second)
        wave = 3.2 + 2.4 * math.sin(second / 47) + 1.1 * math.sin(second / 13)
        demand = max(0, round(wave + rng.gauss(0, 0.9)))
        ends = [rng.choices(names[1:], (56, 18, 20, 2, 1.2, 0.6))[0] for _ in range(demand)]
        series["demand"].append(demand)
        for name in names[1:]:
            series[name].append(ends.count(name))
        _, plan = plan_at(second, offset)
        thetas.append(plan["theta"])
        taus.append(plan["tau"])
        for name, number in zip(MODELS, plan["workers"], strict=True):
            workers[name].append(number)
    return {
        "interval_s": 1, "seconds": seconds, **series,
        "hardness_threshold": thetas, "quality_threshold": taus, "workers": workers,
    }  # fmt: skip


def status(script: Script, now: int) -> dict[str, Any]:
    """Return the JSON of `/v1/status`."""
    version, plan = plan_at(now, script.plan_offset)
    past = history(now, script.plan_offset)
    lane = {
        "light": plan["light"], "heavy": plan["heavy"],
        "hardness_threshold": plan["theta"], "quality_threshold": plan["tau"],
    }  # fmt: skip
    names = [
        name for name, number in zip(MODELS, plan["workers"], strict=True) for _ in range(number)
    ]
    rng = random.Random(now)
    workers = [
        {
            "name": f"w{index}", "model": name, "state": script.worker_state,
            "role": "light" if name == plan["light"] else "heavy", "waiting": rng.randint(0, 3),
            "running": rng.randint(0, 2), "free_in_s": round(rng.random(), 2),
        }
        for index, name in enumerate(names)
    ]  # fmt: skip
    told = {
        "version": version, "status": "optimal", **lane,
        "quality": {"metric": "fulfilment", "value": 0.887},
        "batch": {plan["light"]: 4, plan["heavy"]: 2},
        "workers": dict(zip(MODELS, plan["workers"], strict=True)),
        "lanes": [{"share": 0.7, **lane},
                  {"share": 0.3, **lane, "light": "spark", "hardness_threshold": 0.66}],
        "route_ratio": {"light": 0.78, "heavy": 0.41},
        "mean_latency_s": 0.64, "latency_s": 1.9, "solve_s": 0.0071, "demand": 4.1,
        "planned_demand": 4.6, "because": "demand rose",
        "reasons": script.reasons if script.reasons is not None else {
            "binding": "workers", "idle_workers": 0, "slack_latency_s": 8.1,
            "utilisation": {plan["light"]: 0.41, plan["heavy"]: 0.82},
            "alternative": {
                "light": "sketch", "heavy": "fresco", "quality": 0.941, "workers_needed": 5,
                "because": "it needs 5 workers of 3",
            },
            "predicted_violation_ratio": 0.0, "notes": [],
        },
        **script.plan_changes,
    }  # fmt: skip
    return {
        "cascade": "scenes", "slo_s": 10.0, "models": list(MODELS),
        "stages": {"router": True, "discriminator": True}, "deliver": "Better",
        "uptime_s": float(now), "ready": True, "plan": told if script.plan else None,
        "workers": workers, "history": past,
        "demand": {"requests_per_second": past["demand"][-1], "counts": {"arrived": 4200}},
    }  # fmt: skip


def provenance(script: Script, body: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what `data[i].hadis` says about a picture on the scripted path."""
    _, plan = plan_at(0, script.plan_offset)
    hardness = min(0.95, 0.18 + len(str(body["prompt"])) / 110)
    path = script.path or ("heavy" if hardness >= plan["theta"] else "light")
    if body.get("model") in MODELS:
        path = "pinned"
    is_pinned = path == "pinned"
    scores = {"light": 0.91, "light>heavy": 0.31, "kept": 0.61, "degraded": 0.27}
    again = {"light>heavy": 0.88, "kept": 0.52}
    delivered_by_heavy = path in ("heavy", "light>heavy")
    model = body["model"] if path == "pinned" else plan["heavy" if delivered_by_heavy else "light"]
    generate_s = {"light": 0.12, "heavy": 0.58, "pinned": 0.4}.get(path, 0.71)
    return {
        "request_id": f"req-{seed:08x}", "path": path, "model": model,
        "route": "pinned" if is_pinned else "planned", "outcome": OUTCOMES.get(path),
        "hardness": 0.74 if path == "heavy" else min(hardness, plan["theta"] - 0.05),
        "quality_score": scores.get(path), "heavy_quality_score": again.get(path),
        "seed": seed, "plan_version": script.plan_offset + 1, "prompt_truncated": False,
        "lane": dict.fromkeys(("light", "heavy")) if is_pinned
        else {"light": plan["light"], "heavy": plan["heavy"]},
        "thresholds": dict.fromkeys(("hardness", "quality")) if is_pinned
        else {"hardness": plan["theta"], "quality": plan["tau"]},
        "queue_s": 0.04, "generate_s": generate_s, "total_s": round(generate_s + 0.058, 3),
        "unknown_words": script.unknown_words, "ignored": [],
    }  # fmt: skip


def create_app(script: Script) -> FastAPI:
    """Build the app; the script may change while it runs."""
    app = FastAPI()
    started = time.monotonic() - 420

    def refused(request: Request) -> JSONResponse | None:
        if script.api_key in (None, request.headers.get("authorization", "")[len("Bearer ") :]):
            return None
        return failure(401, {"message": "Incorrect API key", "code": "invalid_api_key"}, {})

    @app.get("/v1/status")
    async def show_status(request: Request) -> Response:
        await asyncio.sleep(script.silent_s)
        return refused(request) or JSONResponse(status(script, int(time.monotonic() - started)))

    @app.get("/playground/examples")
    async def examples() -> Response:
        return JSONResponse(EXAMPLES) if script.examples else Response(status_code=404)

    @app.get("/playground/load")
    async def load() -> Response:
        if not script.load:
            return failure(404, {"message": "no load process"}, {})
        sent = int(script.rate * 40)
        ends = {
            "served_light": sent * 6 // 10,
            "escalated": sent // 5,
            "served_heavy": sent // 6,
            "rejected": sent // 40,
        }
        return JSONResponse({
            "rate": script.rate, "max_rate": 200.0, "sent": sent,
            "completed": sum(ends.values()), "late": sent // 60, "by_outcome": ends,
        })  # fmt: skip

    @app.put("/playground/load")
    async def set_load(request: Request) -> Response:
        asked = (await request.json())["rate"]
        script.asked_rates.append(asked)
        wait_s, script.load_s = script.load_s, 0.0  # only the first is slow: later ones overtake it
        await asyncio.sleep(wait_s)
        script.rate = asked
        script.rates.append(asked)
        return await load()

    @app.post("/v1/images/generations")
    async def generate(request: Request) -> Response:
        body = await request.json()
        script.generations.append(body)
        if (no := refused(request)) is not None:
            return no
        if script.error is not None:
            status_code, error, headers = script.error
            return failure(status_code, error, headers)
        first = body.get("seed", random.Random(body["prompt"]).randrange(2**32))
        if body.get("stream"):
            return StreamingResponse(
                stream(script, request, body, first), media_type="text/event-stream"
            )
        await asyncio.sleep(script.light_s)
        data = []
        for seed in range(first, first + body["n"]):
            told = provenance(script, body, seed)
            data.append({"b64_json": encoded(body["prompt"], seed, 0.9), "hadis": told})
        return JSONResponse({"created": 0, "data": data, "size": "64x64", "output_format": "png"})

    app.mount("/", StaticFiles(directory=playground.directory(), html=True))
    return app


async def stream(
    script: Script, request: Request, body: dict[str, Any], seed: int
) -> AsyncIterator[str]:
    """Yield the events of one streamed picture; a closed connection is counted."""
    told = provenance(script, body, seed)
    common = {"created_at": 0, "size": "64x64", "quality": "medium", "output_format": "png"}
    try:
        yield ": hb\n\n"
        await asyncio.sleep(script.light_s)
        if script.stream_error is not None:
            yield event("error", {"error": script.stream_error})
            return
        if told["path"] in ("light>heavy", "kept"):
            yield event("image_generation.partial_image", {
                **common, "partial_image_index": 0, "b64_json": encoded(body["prompt"], seed, 0.2),
                "hadis": {**told, "path": "light", "outcome": None, "heavy_quality_score": None},
            })  # fmt: skip
            await asyncio.sleep(script.heavy_s)
        if script.cut:
            raise ConnectionAbortedError("the script cuts this answer off")
        final = 0.35 if told["path"] in ("kept", "degraded") else 0.9
        yield event("image_generation.completed", {
            **common, "b64_json": encoded(body["prompt"], seed, final), "hadis": told, "usage": {},
        })  # fmt: skip
    except (asyncio.CancelledError, GeneratorExit):
        script.cancelled += 1
        raise


def event(kind: str, data: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


def encoded(prompt: str, seed: int, quality: float) -> str:
    """Return a picture as base64."""
    return base64.b64encode(a_picture(prompt, seed, quality=quality)).decode()


def failure(status_code: int, error: dict[str, Any], headers: dict[str, str]) -> JSONResponse:
    """Return an error in the API's shape."""
    base = {"type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": {**base, **error}}, status_code, headers)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=8009)
    uvicorn.run(create_app(Script(rate=4.0)), port=options.parse_args().port, log_level="warning")
