"""What the router tells about itself: `/status` to the controller, `/v1/status` to people."""

from hadis.wire.reports import RouterStatus
from hadis_router.fleet_view import Worker
from hadis_router.service import Router


def control_status(router: Router) -> RouterStatus:
    """Return `GET /status` of the control port."""
    now_s = router.clock()
    return RouterStatus(
        name=router.settings.name,
        uid=router.settings.uid,
        cascade=router.cascade.name,
        generation=router.cascade.generation,
        ready=router.not_ready() is None,
        routing=router.view.body,
        demand=router.metrics.demand(now_s, router.view, router.admission.in_flight),
        unreachable=[worker.ref.name for worker in router.view.unreachable()],
    )


def public_status(router: Router) -> dict[str, object]:
    """Return `GET /v1/status`."""
    now_s = router.clock()
    cascade = router.cascade
    demand = router.metrics.demand(now_s, router.view, router.admission.in_flight)
    body = router.view.body
    return {
        "cascade": cascade.name,
        "slo_s": cascade.slo_s,
        "models": [spec.name for spec in cascade.models],
        "stages": {
            "router": cascade.router_stage,
            "discriminator": cascade.discriminator_stage,
        },
        "deliver": cascade.deliver,
        "uptime_s": round(now_s - router.started_s, 3),
        "ready": router.not_ready() is None,
        "not_ready": router.not_ready(),
        "plan": None if body is None else _plan(router),
        "workers": [_worker(router, worker, now_s) for worker in router.view.workers.values()],
        "demand": {
            "requests_per_second": round(router.history.demand_per_s(now_s), 3),
            "counts": demand.model_dump(mode="json"),
        },
        "history": router.history.body(now_s),
    }


def _plan(router: Router) -> dict[str, object]:
    """Return the controller's summary, with what the routing table itself knows filled in."""
    body = router.view.body
    assert body is not None
    lane = max(body.lanes, key=lambda lane: lane.share)
    known: dict[str, object] = {
        "version": body.version,
        "status": None,
        "light": lane.light,
        "heavy": lane.heavy,
        "hardness_threshold": lane.hardness_threshold,
        "quality_threshold": lane.quality_threshold,
        "quality": None,
        "batch": {},
        "workers": {},
        "lanes": [lane.model_dump(mode="json") for lane in body.lanes],
        "route_ratio": None,
        "mean_latency_s": None,
        "latency_s": None,
        "solve_s": None,
        "demand": None,
        "reasons": {},
    }
    return {**known, **(body.plan or {}), "version": body.version}


def _worker(router: Router, worker: Worker, now_s: float) -> dict[str, object]:
    in_flight = worker.in_flight
    running = min(in_flight, max(1, worker.last_batch))
    return {
        "name": worker.ref.name,
        "model": worker.ref.model,
        "role": router.view.role_of(worker.ref.model),
        "state": "unreachable" if worker.is_avoided else "ready",
        "waiting": in_flight - running,
        "running": running,
        "free_in_s": round(max(0.0, worker.clock_s - now_s), 3) if in_flight else 0.0,
    }
