"""The operator's command line, and a start that cannot succeed."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hadis_operator import settings
from hadis_operator.__main__ import main
from support import rendered


@pytest.fixture
def _keep_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_pod_says_who_and_where_it_is() -> None:
    environment = {"POD_NAME": "hadis-7f", "POD_NAMESPACE": "hadis-system"}
    arguments = ["--installation=/etc/hadis/installation.yaml", "--lease=hadis"]
    chosen = settings.parse([*arguments, "--log-level=debug"], environment)
    assert (chosen.namespace, chosen.lease) == ("hadis-system", "hadis")
    assert chosen.identity.startswith("hadis-7f_")
    assert (chosen.metrics_port, chosen.kubeconfig, chosen.log_level) == (9090, None, "DEBUG")
    # A container that is begun again is somebody else: its old lease is not its own.
    assert settings.parse([], environment).identity != chosen.identity


def test_a_kubeconfig_comes_from_the_option_before_the_variable() -> None:
    environment = {"KUBECONFIG": "/a"}
    assert settings.parse([], environment).kubeconfig == "/a"
    assert settings.parse(["--kubeconfig", "/b"], environment).kubeconfig == "/b"


@pytest.mark.usefixtures("_keep_logging")
def test_a_wrong_installation_is_answered_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "installation.yaml"
    for text, want in ((None, "installation.yaml"), ("images: []\n", "version")):
        if text is not None:
            file.write_text(text)
        assert main(["--installation", str(file), "--metrics-port", "0"]) == 2
        assert want in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.usefixtures("_keep_logging")
def test_without_a_way_to_the_api_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "installation.yaml"
    file.write_text(rendered.INSTALLATION)
    arguments = ["--installation", str(file), "--metrics-port", "0", "--host", "127.0.0.1"]
    assert main(arguments) == 2
    assert "--kubeconfig" in capsys.readouterr().err.strip().splitlines()[-1]
