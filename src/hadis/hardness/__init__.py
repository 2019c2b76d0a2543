"""How hard a prompt is to draw: eight features of its text, and their weighted mean.

The router, `hadis score` and the profiler score through `scoring.Scorer`, so that one prompt has
one score everywhere. `reading` is the only door to spaCy and keeps torch out of the process;
nothing here knows about models, thresholds or queues.
"""
