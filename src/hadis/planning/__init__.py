"""From demand to assignments: forecast, plan, place. Pure; every shell calls `cycles.run_cycle`."""
