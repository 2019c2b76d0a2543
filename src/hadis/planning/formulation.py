"""One lane as an integer program, solved by CP-SAT. The only module that knows OR-Tools.

Data
  k in rows: threshold configurations of all pairs of the lookup table;
  i in models, b in batch sizes of a model;
  S workers, of which a model may have S_i; T the SLO; quality Q_k;
  n_kib: whole workers that row k needs at model i in batches of b: the load lambda * r_ki times
         the seconds an image, and the backlog to work off, over the share of its time that a
         worker may be busy, rounded up;
  m_k:   workers that the backlog of models which row k does not use keeps busy;
  t_kib: time that row k's path spends at model i: the batch L_ib, scoring, the batch that is
         running already, and the wait alpha * Q_i / lambda_ki by Little's law (lambda_ki: what
         row k sends to the model), once for each stage that the row runs there;
  c_i:   workers that hold model i now;  p_i: the quality that one swap to it costs.

Variables
  z_k in {0, 1}   the configuration that is chosen
  y_ib in {0, 1}  the batch size of a model
  x_i in 0..S_i   workers of a model
  d_i in 0..S_i   workers of a model that must load it first
  q               the quality of the configuration

Constraints (numbers as in section 4.4 of the paper)
  (3) sum_k z_k = 1;  sum_b y_ib = 1 for each i;  sum_i x_i + sum_k m_k z_k <= S
  (4) x_i >= sum_k n_kib z_k                      for each i, b with y_ib = 1
  (5) t_i >= sum_k t_kib z_k                      for each i, b with y_ib = 1;  sum_i t_i <= T
  (7) d_i >= x_i - c_i                            the swaps, where the current workers are known
  (8) q <= Q_k                                    for each k with z_k

Objective
  (6) the best q - sum_i p_i d_i; among equals the fewest swaps sum_i d_i; then the shortest path
      sum_i t_i.

In words: pick one configuration, one batch size for every model and so many workers that every
model keeps up with what the configuration sends it, no path takes longer than the SLO, and no other
choice promises better pictures after what its swaps cost. Everything is whole numbers: times are
microseconds; qualities enter as ranks where swaps are free, so that no two of them are ever
confused, and else in hundred-millionths of the table's range.

Why (8) and no sum of Q_k z_k in the objective: CP-SAT bounds such a sum by all of its rows at once.
It would not see that a plan in hand rules out every row of less quality, and with a thousand
workers it takes the sum for an overflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from hadis.planning import tables
from hadis.planning.feasibility import Feasibility
from hadis.planning.problems import PlanStatus, Problem
from hadis.planning.tables import Floats, Ints, Table

RESOLUTION = 100_000_000
"""Parts of the table's range of quality that are told apart where swaps have a price."""
LARGEST = 2**61
"""The objective stays below this, with room for CP-SAT's own sums of 64 bits."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen row by its number in the table, and whether it is proved to be the best."""

    row: int
    status: PlanStatus


def choose(problem: Problem, table: Table, assessed: Feasibility) -> Choice | None:
    """Return the best row that is feasible alone; None when no row is.

    Rows that no batch sizes make feasible are left out before the model is built: the solver would
    only find them infeasible again, at ten times the cost.
    """
    rows = np.flatnonzero(assessed.feasible)
    if not len(rows):
        return None
    return _Program(problem, table, rows[np.argsort(-table.quality[rows], kind="stable")]).solve()


class _Program:
    """The constraint program over some rows of a table, the best quality first."""

    def __init__(self, problem: Problem, table: Table, rows: Ints) -> None:
        self.problem = problem
        self.table = table
        self.rows = rows
        self.model = cp_model.CpModel()
        self.z = [self.model.new_bool_var(f"z{row}") for row in rows]
        uses = table.spread(table.uses.astype(np.int64))[rows] > 0
        self.used = [int(i) for i in np.flatnonzero(uses.any(axis=0))]
        self.need, self.path_us = self._needs(uses)

    def solve(self) -> Choice:
        """Build the model and solve it; a time-out gives the best row found so far."""
        model, table = self.model, self.table
        model.add_exactly_one(self.z)  # (3)
        x = {i: model.new_int_var(0, int(table.caps[i]), f"x{i}") for i in self.used}
        t = {i: model.new_int_var(0, table.limit_us, f"t{i}") for i in self.used}
        reserved = self._over_rows(np.ceil(table.stranded[self.rows] - tables.ROUNDING))
        model.add(_total(list(x.values())) + reserved <= self.problem.workers)  # (3)
        model.add(_total(list(t.values())) <= table.limit_us)  # (5)
        y = [variable for i in self.used for variable in self._add_batches(i, x[i], t[i])]
        d = self._swaps(x)
        worth, price = self._worth(list(d))
        q = self._quality(worth)
        model.maximize(self._objective(q, int(worth.max()), t, d, price))  # (6)
        # The best row is tried first, so that what is left is to prove that no tie is better.
        model.add_decision_strategy(
            [*self.z, q, *y], cp_model.CHOOSE_FIRST, cp_model.SELECT_MAX_VALUE
        )
        model.add_decision_strategy(
            [*x.values(), *t.values(), *d.values()],
            cp_model.CHOOSE_FIRST,
            cp_model.SELECT_MIN_VALUE,
        )
        return self._run()

    def _needs(self, uses: Any) -> tuple[Floats, Ints]:
        """Return n_kib and t_kib; what cannot be had is one more than there is."""
        table = self.table
        load = table.spread(table.load)[self.rows] + table.extra[:, None] * uses[:, :, None]
        need = tables.whole_workers(load, uses[:, :, None], self.problem.utilisation_limit)
        path_us = table.spread(table.path_us)[self.rows]
        return (
            np.minimum(need, table.caps[:, None] + 1),
            np.minimum(path_us, table.limit_us + 1),
        )

    def _add_batches(self, i: int, x: cp_model.IntVar, t: cp_model.IntVar) -> list[Any]:
        """State (3), (4) and (5) for one model under each of its batch sizes."""
        y = [self.model.new_bool_var(f"y{i},{b}") for b in self.table.batches[i]]
        self.model.add_exactly_one(y)
        for position, chosen in enumerate(y):
            workers = self._over_rows(self.need[:, i, position])
            us = self._over_rows(self.path_us[:, i, position])
            self.model.add(x >= workers).only_enforce_if(chosen)  # (4)
            self.model.add(t >= us).only_enforce_if(chosen)  # (5)
        return y

    def _swaps(self, x: dict[int, cp_model.IntVar]) -> dict[int, cp_model.IntVar]:
        """State (7) and return the swaps a model."""
        held = self.table.held
        if held is None:
            return {}
        d = {i: self.model.new_int_var(0, int(self.table.caps[i]), f"d{i}") for i in x}
        for i, swaps in d.items():
            self.model.add(swaps >= x[i] - int(held[i]))  # (7)
        return d

    def _quality(self, worth: Ints) -> cp_model.IntVar:
        """State (8) and return q."""
        q = self.model.new_int_var(0, int(worth.max()), "q")
        for chosen, value in zip(self.z, worth.tolist(), strict=True):
            self.model.add(q <= value).only_enforce_if(chosen)  # (8)
        return q

    def _objective(
        self,
        q: cp_model.IntVar,
        most: int,
        t: dict[int, cp_model.IntVar],
        d: dict[int, cp_model.IntVar],
        price: dict[int, int],
    ) -> Any:
        """Return (6), its three parts weighed so that none ever outweighs the one before it."""
        swaps_end = self.problem.workers + 1
        # Ties in the path are told apart as finely as 64 bits allow: in microseconds, up to fleets
        # of thousands of workers.
        levels = most + sum(price.values()) * self.problem.workers + len(price) + 1
        coarse = max(1, -(-levels * swaps_end * (self.table.limit_us + 3) // LARGEST))
        path_end = self.table.limit_us // coarse + 2
        path = self.model.new_int_var(0, path_end - 1, "path")
        self.model.add(coarse * path >= _total(list(t.values())))
        cost = [(price[i] * swaps_end + 1) * path_end * swaps for i, swaps in d.items()]
        return swaps_end * path_end * q - _total(cost) - path

    def _worth(self, models: Sequence[int]) -> tuple[Ints, dict[int, int]]:
        """Return the rows' qualities and the models' swap prices as whole numbers."""
        quality = self.table.quality[self.rows]
        if not self.table.price.any():
            return np.unique(quality, return_inverse=True)[1], dict.fromkeys(models, 0)
        unit = (self.table.quality.max() - self.table.quality.min()) / RESOLUTION
        worth = np.rint((quality - quality.min()) / unit).astype(np.int64)
        return worth, {i: int(np.rint(self.table.price[i] / unit)) for i in models}

    def _over_rows(self, coefficients: Any) -> Any:
        """Return sum_k coefficient_k z_k over the rows whose coefficient is not 0."""
        chosen = np.flatnonzero(coefficients)
        return cp_model.LinearExpr.weighted_sum(
            [self.z[k] for k in chosen], [int(coefficients[k]) for k in chosen]
        )

    def _run(self) -> Choice:
        solver = cp_model.CpSolver()
        # One thread: a pod has few cores, and CP-SAT otherwise starts one for each of the node's.
        solver.parameters.num_workers = 1
        # Its own handler would leave SIGINT at the default: the next Ctrl-C would kill the caller.
        solver.parameters.catch_sigint_signal = False
        # A program this small gains nothing from relaxations or presolve (`benchmarks/planner.py`);
        # probing alone takes a second where thousands of rows are feasible.
        solver.parameters.linearization_level = 0
        solver.parameters.cp_model_presolve = False
        solver.parameters.cp_model_probing_level = 0
        solver.parameters.symmetry_level = 0
        solver.parameters.search_branching = cp_model.FIXED_SEARCH
        solver.parameters.max_time_in_seconds = self.problem.time_limit_s
        status = solver.solve(self.model)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            chosen = next(k for k, z in enumerate(self.z) if solver.boolean_value(z))
            proved = PlanStatus.OPTIMAL if status == cp_model.OPTIMAL else PlanStatus.FEASIBLE
            return Choice(int(self.rows[chosen]), proved)
        if status != cp_model.UNKNOWN:
            raise AssertionError(f"the program is {solver.status_name()}: {self.model.validate()}")
        # Out of time before any solution: every row here is feasible alone, so that the best of
        # them still holds all constraints.
        return Choice(int(self.rows[0]), PlanStatus.FEASIBLE)


def _total(variables: Sequence[Any]) -> Any:
    return cp_model.LinearExpr.sum(variables)
