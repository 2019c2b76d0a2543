"""`data[i].hadis`: how an image came about. Every key is always there, null where it says nothing.

The path follows from what is told: hardness >= its threshold is `heavy`, else a quality score below
its threshold is an escalation. `quality_score` is that of the light image, the one that was judged;
`heavy_quality_score` is there when the heavy image of an escalation was scored as well.
"""

from dataclasses import dataclass

from hadis.routing.entry import Route
from hadis.routing.lifecycles import outcome_of
from hadis.terms.assignments import Lane
from hadis.wire.assignments import finite_or_none
from hadis_router.cascade_runs import Picture

DIGITS = 4  # of seconds: 0.1 ms


@dataclass(frozen=True, slots=True)
class Context:
    """What the images of a request have in common."""

    request_id: str
    route: Route
    hardness: float
    lane: Lane
    plan_version: int
    ignored: tuple[str, ...]
    arrived_s: float


def tell(
    picture: Picture, context: Context, now_s: float, *, is_partial: bool = False
) -> dict[str, object]:
    """Return the provenance of a picture that is handed out now.

    A partial image has no outcome: it is not what is delivered.
    """
    lane = context.lane
    is_pinned = context.route is Route.PINNED  # then no lane had a say
    return {
        "request_id": context.request_id,
        "path": picture.path,
        "outcome": None if is_partial else outcome_of(picture.path, by_heavy=picture.by_heavy),
        "route": context.route,
        "model": picture.model,
        "hardness": context.hardness,
        "quality_score": picture.quality_score,
        "heavy_quality_score": picture.heavy_quality_score,
        "seed": picture.seed,
        "plan_version": context.plan_version,
        "lane": {
            "light": None if is_pinned else lane.light,
            "heavy": None if is_pinned else lane.heavy,
        },
        "thresholds": {
            "hardness": None if is_pinned else finite_or_none(lane.hardness_threshold),
            "quality": None if is_pinned else finite_or_none(lane.quality_threshold),
        },
        "queue_s": round(picture.queue_s, DIGITS),
        "generate_s": round(picture.generate_s, DIGITS),
        "total_s": round(now_s - context.arrived_s, DIGITS),
        "unknown_words": list(picture.unknown_words),
        "prompt_truncated": picture.prompt_truncated,
        "ignored": list(context.ignored),
    }
