"""Serving goes on with the models of before while those of a changed cascade are being fetched.

Weights take minutes to hours, and a worker that was told of models that are not in the cache yet
could serve neither these nor the former ones. So until the Job is done the plan on record stays the
one to plan, to tell and to start by, and no slot is rolled; the number of workers follows at once.
"""

from dataclasses import replace

from hadis.errors import HadisError
from hadis.wire import manifests
from hadis_operator.objects import Manifest
from hadis_operator.reading import Given
from hadis_operator.rendering import plans, weights


def hold(given: Given, record: Manifest | None, *, is_fetched: bool | None, serves: bool) -> Given:
    """Return what is in force: what is given, or still what the plan's ConfigMap records.

    `is_fetched` is None when no Job fetches; `serves` tells whether any slot exists that could
    have the models of before.
    """
    data = (record or {}).get("data") or {}
    before = data.get(weights.HASH_FILE)
    if is_fetched is not False or not serves or before in (None, given.models_hash):
        return given
    try:
        known = manifests.read_told(data[plans.CASCADE_KEY], source=plans.CASCADE_KEY)
    except (KeyError, HadisError):
        return given  # nothing to go back to
    cascade = replace(known.cascade, workers=given.cascade.workers, planner=given.cascade.planner)
    return replace(
        given,
        cascade=cascade,
        told_profile=known.profile,
        models_hash=str(before),
        is_held=True,
    )
