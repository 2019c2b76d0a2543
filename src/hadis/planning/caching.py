"""A plan cache in front of the solver that never costs more quality than it is told to.

More demand never allows better pictures. So a plan that was solved for a lower demand, with an
empty fleet and nothing waiting, bounds what is possible now; and one that was solved for any other
demand is a candidate, which is checked against every constraint of the present problem. When the
best candidate is within `tolerance` of the bound, it is the answer. Otherwise the solver decides,
and what it finds narrows the gap for the next time: the cache fills where the demand goes, and
online solves correct whatever it does not know (section 5.5 of the paper).

A cache holds plans of one *family* of problems, which differ only in demand, queues and what the
workers hold. Another table, fleet or SLO starts it anew.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace

from hadis.planning import arranging, solving
from hadis.planning.problems import Plan, PlanStatus, Problem, RowShare
from hadis.planning.solving import Clock

TOLERANCE = 0.005
"""Of the table's range of quality: a quarter of the gain for which a plan in force is left."""
MOST_ENTRIES = 64
"""Every hundredth of the demands between a quiet and a busy hour; the closest pair loses one."""
SAME_QUALITY = 1e-9


@dataclass(frozen=True, slots=True)
class Entry:
    """The best plan for a demand in an empty fleet; `quality`: higher is better."""

    demand_per_s: float
    quality: float
    mix: tuple[RowShare, ...]


@dataclass(frozen=True, slots=True)
class PlanCache:
    """Entries of one family by ascending demand, and how often they answered."""

    family: Problem | None = None
    entries: tuple[Entry, ...] = ()
    hits: int = 0
    misses: int = 0


def solve(
    cache: PlanCache,
    problem: Problem,
    *,
    tolerance: float = TOLERANCE,
    learns: bool = True,
    clock: Clock | None = None,
) -> tuple[Plan, PlanCache]:
    """Return a plan at most `tolerance` of the table's range worse than the best, and the cache.

    What it does not know is solved for an empty fleet as well, to be known the next time. That is
    half of the time; with `learns` False a plan that is waited for comes sooner.
    """
    started_s = clock() if clock else 0.0
    family = _family(problem)
    if cache.family != family:
        cache = replace(cache, family=family, entries=())
    allowed = tolerance * _range(problem)
    plan = _answer(cache, problem, allowed)
    if plan is not None:
        cache = replace(cache, hits=cache.hits + 1)
    else:
        cache = replace(cache, misses=cache.misses + 1)
        plan = None if learns else solving.solve(problem)
    if plan is None:
        alone = solving.solve(replace(family, demand_per_s=problem.demand_per_s))
        if alone.status is PlanStatus.OPTIMAL:
            entry = Entry(problem.demand_per_s, problem.sign * alone.quality, alone.mix)
            cache = replace(cache, entries=_with(cache.entries, entry))
            plan = _answer(cache, problem, allowed)
        plan = plan or solving.solve(problem)
    return replace(plan, solve_s=clock() - started_s if clock else 0.0), cache


def _family(problem: Problem) -> Problem:
    """Return the problem without what differs within a family: an empty fleet without demand."""
    return replace(
        problem,
        demand_per_s=0.0,
        queue={},
        arrival_per_s={},
        residual_s={},
        backlog_s={},
        current_workers=None,
        swap_s={},
        pools=None,
    )


def _answer(cache: PlanCache, problem: Problem, allowed: float) -> Plan | None:
    """Return the best cached plan that the problem allows; None when it may be too poor."""
    at = bisect_left(cache.entries, problem.demand_per_s, key=lambda entry: entry.demand_per_s)
    same = at < len(cache.entries) and cache.entries[at].demand_per_s == problem.demand_per_s
    if at == 0 and not same:
        return None
    bound = cache.entries[at if same else at - 1].quality
    best: tuple[float, tuple[RowShare, ...]] | None = None
    for entry in cache.entries[max(at - 1, 0) : at + 2]:
        arrangement = arranging.arrange(problem, entry.mix)
        if arrangement is None:
            continue
        value = entry.quality - arranging.cost(problem, arrangement.workers)
        if best is None or value > best[0]:
            best = value, entry.mix
    if best is None or best[0] < bound - allowed:
        return None
    short = bound - best[0]
    if short <= SAME_QUALITY:
        return solving.solve_mix(problem, best[1], status=PlanStatus.OPTIMAL, is_chosen=True)
    note = f"from the plan cache: at most {short:.2g} worse than the best"
    return solving.solve_mix(problem, best[1], is_chosen=True, notes=(note,))


def _with(entries: tuple[Entry, ...], entry: Entry) -> tuple[Entry, ...]:
    """Return the entries with one more; of too many, one goes that its neighbours speak for."""
    others = [one for one in entries if one.demand_per_s != entry.demand_per_s]
    found = sorted([*others, entry], key=lambda one: one.demand_per_s)
    if len(found) > MOST_ENTRIES:
        gaps = [found[n + 1].quality - found[n - 1].quality for n in range(1, len(found) - 1)]
        del found[1 + max(range(len(gaps)), key=gaps.__getitem__)]
    return tuple(found)


def _range(problem: Problem) -> float:
    metric = problem.profile.quality.metric
    values = [row.measured[metric] for row in problem.profile.rows]
    return max(values) - min(values)
