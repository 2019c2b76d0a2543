"""What router, worker and operator processes share: ports, servers, probes, logs, API keys.

A shell library without policy. It imports no other shell.
"""
