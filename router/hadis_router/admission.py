"""Who is let in: a bounded number of images, and only those that can be in time.

A request is judged by the lightest path that it may take. The judgement costs microseconds and
comes before the prompt is scored: under ten times too much load most of the router's work is to
say no.
"""

from collections import Counter

from hadis.errors import NoWorker, Overloaded
from hadis.routing import admitting
from hadis.routing.entry import Route
from hadis.terms.assignments import Lane
from hadis.terms.cascades import OnOverload, RouterLimits
from hadis.terms.ids import ModelName
from hadis_router.fleet_view import FleetView


class Admission:
    """The images in the router, and whether there is room for more."""

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self.in_flight = 0
        self._unsent: Counter[ModelName] = Counter()

    def admit(
        self,
        *,
        images: int,
        model: ModelName,
        now_s: float,
        latest_s: float,
        backlog_s: float,
        limits: RouterLimits,
    ) -> None:
        """Count `images` in; `note_scored` and `release` count them out again.

        Raises Overloaded when there are too many already or `model`, the lightest that would do,
        is not expected to be done by `latest_s` behind the others; NoWorker when nobody has it.
        """
        if self.in_flight + images > limits.max_in_flight:
            raise Overloaded(
                f"the router holds {self.in_flight} of at most {limits.max_in_flight} images",
                retry_after_s=1.0,
            )
        finish_s = self.finish_s(model, now_s, images=images)
        if finish_s is None:
            raise NoWorker(f"no ready worker holds {model}", retry_after_s=2.0)
        excess_s = finish_s + backlog_s - latest_s
        # An idle fleet that is expected to be too slow may only have been slow once; nobody would
        # ever find out if the expectation alone kept everyone out. What the profile itself rules
        # out needs no finding out.
        is_hopeless = now_s + self._view.book.stated_s(model) > latest_s
        if excess_s > 0 and (self.in_flight > 0 or is_hopeless):
            raise Overloaded(
                f"{model} is not expected to be done in time: {excess_s:.1f} s too late",
                retry_after_s=excess_s,
            )
        self.in_flight += images
        self._unsent[model] += images

    def note_scored(self, images: int, model: ModelName) -> None:
        """Note that admitted images go to workers now, whose clocks count them from here on."""
        self._unsent[model] -= images

    def release(self, images: int) -> None:
        """Count the images of an ended request out."""
        self.in_flight -= images

    def finish_s(self, model: ModelName, now_s: float, *, images: int = 1) -> float | None:
        """Return when a model's earliest worker is cautiously expected to be done."""
        # Those still being scored are sent first; no worker's clock knows of them yet.
        images += self._unsent[model]
        finish_s = self._view.expected_finish_s(model, now_s, images=images)
        if finish_s is None:
            return None
        return admitting.cautious_finish_s(finish_s, now_s, self._view.caution(model, now_s))

    def hoped_finish_s(self, model: ModelName, now_s: float) -> float | None:
        """As `finish_s`, but without caution where a worker of the model is idle.

        For images that may fail, as there is another to fall back on: with no queue to be wrong
        about, it is better to try, and only an image that is made teaches less caution.
        """
        if self._unsent[model] == 0 and self._view.is_idle(model, now_s):
            return self._view.expected_finish_s(model, now_s)
        return self.finish_s(model, now_s)


def gate_model(
    route: Route, lane: Lane, pinned: ModelName | None, on_overload: OnOverload
) -> ModelName:
    """Return the model by whose queue a request is judged.

    Under Degrade a planned request needs no more than a light image; under Shed it is let in only
    while there is room for the heavy one, so that those inside keep their quality.
    """
    if pinned is not None:
        return pinned
    if route is Route.HEAVY_ONLY:
        return lane.heavy
    if route is Route.PLANNED and on_overload is OnOverload.SHED:
        return lane.heavy
    return lane.light
