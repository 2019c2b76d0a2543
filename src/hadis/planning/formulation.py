"""One lane as an integer program, solved by CP-SAT. The only module that knows OR-Tools.

Data
  k in rows: threshold configurations of all pairs of the lookup table;
  i in models, b in batch sizes of a model;
  S workers, T the SLO, quality Q_k;
  n_kib: whole workers that row k needs at model i in batches of b: the load lambda * r_ki times
         the seconds an image, over the share of its time that a worker may be busy, rounded up;
  t_kib: seconds that row k's path spends at model i: the batch L_ib, scoring, and the wait
         alpha * Q_i / lambda_i by Little's law, once for each stage that the row runs there;
  c_i:   workers that hold model i now.

Variables
  z_k in {0, 1}   the configuration that is chosen
  y_ib in {0, 1}  the batch size of a model
  x_i in 0..S     workers of a model
  d_i in 0..S     workers of a model that must load it first

Constraints (numbers as in section 4.4 of the paper)
  (3) sum_k z_k = 1;  sum_b y_ib = 1 for each i;  sum_i x_i <= S
  (4) x_i >= sum_k n_kib z_k                      for each i, b with y_ib = 1
  (5) t_i >= sum_k t_kib z_k                      for each i, b with y_ib = 1;  sum_i t_i <= T
  (7) d_i >= x_i - c_i                            the swaps, where the current workers are known

Objective
  (6) the best Q_k; among equals the fewest swaps sum_i d_i; then the shortest path sum_i t_i.

In words: pick one configuration, one batch size for every model and so many workers that every
model keeps up with what the configuration sends it, no path takes longer than the SLO, and no other
choice promises better pictures. Everything is whole numbers: qualities enter as ranks, seconds as
milliseconds rounded up.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from hadis.planning import feasibility, tables
from hadis.planning.problems import PlanStatus, Problem
from hadis.planning.tables import Table

TICKS_PER_S = 1000
"""Resolution of the path's seconds: a millisecond, as the profile's latencies are measured."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen row by its number in the table, and whether it is proved to be the best."""

    row: int
    status: PlanStatus


def choose(problem: Problem, table: Table) -> Choice | None:
    """Return the best row that is feasible alone; None when no row is.

    Rows that no batch sizes make feasible are left out before the model is built: the solver would
    only find them infeasible again, at ten times the cost.
    """
    candidates = np.flatnonzero(feasibility.assess(problem, table).feasible)
    if not len(candidates):
        return None
    program = _Program(problem, table, [int(row) for row in candidates])
    return program.solve()


class _Program:
    """The constraint program over some rows of a table."""

    def __init__(self, problem: Problem, table: Table, rows: list[int]) -> None:
        self.problem = problem
        self.table = table
        self.rows = rows
        self.model = cp_model.CpModel()
        self.z = [self.model.new_bool_var(f"z{row}") for row in rows]
        self.used = sorted({int(i) for i in table.model[rows][table.uses[rows]]})
        limit = math.floor((problem.slo_s - table.overhead_s) * TICKS_PER_S + tables.ROUNDING)
        self.limit = max(limit, 0)

    def solve(self) -> Choice:
        """Build the model and solve it; a time-out gives the best row found so far."""
        model, problem = self.model, self.problem
        model.add_exactly_one(self.z)  # (3)
        x = {i: model.new_int_var(0, problem.workers, f"x{i}") for i in self.used}
        t = {i: model.new_int_var(0, self.limit, f"t{i}") for i in self.used}
        model.add(sum(x.values()) <= problem.workers)  # (3)
        model.add(sum(t.values()) <= self.limit)  # (5)
        for i in self.used:
            self._add_batches(i, x[i], t[i])

        ranks = np.unique(self.table.quality[self.rows], return_inverse=True)[1]
        swap_weight = self.limit + 1
        rank_weight = swap_weight * (problem.workers + 1)
        objective = self._over_rows(rank_weight * ranks)  # (6)
        objective -= cp_model.LinearExpr.sum(list(t.values()))
        if problem.current_workers is not None:
            objective -= swap_weight * cp_model.LinearExpr.sum(self._swaps(x))
        model.maximize(objective)
        return self._run(ranks)

    def _add_batches(self, i: int, x: cp_model.IntVar, t: cp_model.IntVar) -> None:
        """State (3), (4) and (5) for one model under each of its batch sizes."""
        table, limit = self.table, self.problem.utilisation_limit
        y = [self.model.new_bool_var(f"y{i},{b}") for b in table.batches[i]]
        self.model.add_exactly_one(y)
        at = (table.model[self.rows] == i) & table.uses[self.rows]
        for position, chosen in enumerate(y):
            load = np.where(at, table.load[self.rows, :, position], 0.0).sum(axis=1)
            need = tables.whole_workers(load, at.any(axis=1), limit)
            path_s = np.where(at, table.path_s[self.rows, :, position], 0.0).sum(axis=1)
            ticks = np.ceil(path_s * TICKS_PER_S - tables.ROUNDING)
            impossible = (need > self.problem.workers) | (ticks > self.limit)
            for k in np.flatnonzero(impossible):
                self.model.add_bool_or(~self.z[k], ~chosen)
            workers = self._over_rows(np.where(impossible, 0, need))
            seconds = self._over_rows(np.where(impossible, 0, ticks))
            self.model.add(x >= workers).only_enforce_if(chosen)  # (4)
            self.model.add(t >= seconds).only_enforce_if(chosen)  # (5)

    def _over_rows(self, coefficients: np.ndarray) -> Any:
        """Return sum_k coefficient_k z_k over the rows whose coefficient is not 0."""
        chosen = np.flatnonzero(coefficients)
        return cp_model.LinearExpr.weighted_sum(
            [self.z[k] for k in chosen], [int(coefficients[k]) for k in chosen]
        )

    def _swaps(self, x: dict[int, cp_model.IntVar]) -> list[cp_model.IntVar]:
        """State (7) and return the swaps a model."""
        current = self.problem.current_workers or {}
        swaps = []
        for i, workers in x.items():
            d = self.model.new_int_var(0, self.problem.workers, f"d{i}")
            self.model.add(d >= workers - current.get(self.table.models[i], 0))  # (7)
            swaps.append(d)
        return swaps

    def _run(self, ranks: np.ndarray) -> Choice:
        solver = cp_model.CpSolver()
        # One thread: a pod has few cores, and CP-SAT otherwise starts one for each of the node's.
        solver.parameters.num_workers = 1
        # Its own handler would leave SIGINT at the default: the next Ctrl-C would kill the caller.
        solver.parameters.catch_sigint_signal = False
        # A program this small gains nothing from relaxations (measured at 600 and 960 rows).
        solver.parameters.linearization_level = 0
        solver.parameters.max_time_in_seconds = self.problem.time_limit_s
        status = solver.solve(self.model)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            chosen = next(k for k, z in enumerate(self.z) if solver.boolean_value(z))
            proved = PlanStatus.OPTIMAL if status == cp_model.OPTIMAL else PlanStatus.FEASIBLE
            return Choice(self.rows[chosen], proved)
        # Out of time before any solution, or a path within a tick of the SLO: every row here is
        # feasible alone, so that the best of them still holds all constraints.
        return Choice(self.rows[int(np.argmax(ranks))], PlanStatus.FEASIBLE)
