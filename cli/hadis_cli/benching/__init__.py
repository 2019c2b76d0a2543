"""Open-loop load on a HADIS endpoint: the engine of `hadis bench` and of the load slider.

Requests leave when the schedule says so, whatever became of the earlier ones; a client that waited
for answers would slow down just when the server does and hide its trouble.
"""
