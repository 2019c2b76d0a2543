"""The figures of the HADIS paper (arXiv 2509.00642), from its authors' published measurements.

Each figure is a module that names the replays and bounds it needs (`tasks`), makes its numbers of
their results (`numbers`) and draws them (`pictures`). Pictures are drawn from the numbers alone, as
they stand in the JSON file beside them. `claims` holds what the paper says against what came out,
`page` writes docs/paper-results.md. `python -m benchmarks.paper --help` tells how to run it.
"""
