"""What every test shares: with HADIS_FAIL_ON_SKIP a skipped test fails the run."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn skips into a failure where everything is supposed to be there."""
    if not os.environ.get("HADIS_FAIL_ON_SKIP"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("HADIS_FAIL_ON_SKIP: skipped tests fail this run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
