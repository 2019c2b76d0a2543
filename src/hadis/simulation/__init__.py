"""A trace replayed under virtual time: production's planning and routing on virtual workers.

`replaying.replay` is the way in. Nothing here reads files, sleeps or knows the wall clock, except
that a caller may pass a clock to time the solver with.
"""
