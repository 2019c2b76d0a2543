"""One cluster for all cluster tests, which run last of all: what the tests share is made once.

Modules run from those that only look to those that harm, and each says by its fixtures what it
finds installed and serving. What a run lacks is said by name, as the reason of the skip.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.lab import images, lengths, testcluster
from cluster.lab import prometheus as prometheuses
from cluster.lab.cascades import SCENES, Cascade
from cluster.lab.clients import Load
from cluster.lab.clusters import Access, Cluster
from cluster.lab.commands import Told
from cluster.lab.figures import Figures
from cluster.lab.hands import Hands
from cluster.lab.lengths import Lengths
from cluster.lab.prometheus import Prometheus
from cluster.lab.releases import Release
from cluster.lab.writes import Writes

HERE = Path(__file__).parent
ORDER = (
    "test_installation",
    "test_manifests",
    "test_security",
    "test_monitoring",
    "test_replanning",
    "test_rest",
    "test_scaling",
    "test_several_cascades",
    "test_bad_input",
    "test_fetching",
    "test_faults",
    "test_outages",
    "test_node_loss",
    "test_upgrade",
    "test_deletion",
    "test_uninstallation",
    "test_namespaced",
    "test_real_api",
)
"""From what looks only to what leaves nothing behind."""
LIMIT_S = 900
RATE = 0.4
"""Of the load that faults befall: one that a lone worker on a busy core carries as well."""
IMAGES_NAMESPACE = "images"
FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cluster tests, and put them last, in their own order."""
    own = [item for item in items if HERE in item.path.parents]
    for item in own:
        item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("timeout") is None:
            # The cluster itself takes minutes the first time, and is not the first test's fault.
            item.add_marker(pytest.mark.timeout(LIMIT_S, func_only=True))
    items[:] = [item for item in items if item not in own]
    items += sorted(own, key=lambda item: ORDER.index(item.path.stem))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures, and write them where HADIS_CLUSTER_FIGURES says."""
    figures = config.stash[FIGURES]
    if figures.made:
        terminalreporter.section("figures of the cluster")
        for line in figures.table():
            terminalreporter.write_line(line)
    file = os.environ.get("HADIS_CLUSTER_FIGURES")
    if file and figures.made:
        figures.write(Path(file))


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def lasting() -> Lengths:
    return lengths.chosen()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of KUBECONFIG, or one made here, with the images on its nodes."""
    access = Access.given()
    missing = testcluster.lacking() if access is None else access.lacking()
    missing = missing or prometheuses.lacking()
    if missing:
        pytest.skip(missing)
    archives = images.build_all()
    with ExitStack() as stack:
        access = access or stack.enter_context(testcluster.running())
        running = stack.enter_context(Cluster.open(access))
        running.load(archives)
        yield running


@pytest.fixture(scope="session")
def writes(cluster: Cluster) -> Iterator[Writes]:
    """Everything that is written from now on."""
    with Writes.recorded(cluster.api) as record:
        yield record


@pytest.fixture(scope="session")
def prometheus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    server = Prometheus(cluster, tmp_path_factory.mktemp("prometheus"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def release(cluster: Cluster, prometheus: Prometheus) -> Release:
    """The one release that most tests share; `installed` has it as they want it."""
    return Release(cluster, prometheus.url)


@pytest.fixture(scope="module")
def installed(release: Release) -> Release:
    """The chart, for all namespaces, with two operators."""
    release.ensure()
    return release


@pytest.fixture(scope="session")
def hands(cluster: Cluster) -> Hands:
    reaching = Hands(cluster)
    reaching.reach_in()
    return reaching


@pytest.fixture(scope="session")
def applied(cluster: Cluster, release: Release) -> Told:
    """What `kubectl apply -f cascades/scenes/cascade.yaml` said, in a restricted namespace."""
    # Made before `installed`, which lasts for a module only.
    release.ensure()
    cluster.make_namespace(IMAGES_NAMESPACE)
    return cluster.kubectl("apply", "-n", IMAGES_NAMESPACE, "-f", str(SCENES))


@pytest.fixture(scope="module")
def scenes(installed: Release, applied: Told) -> Cascade:
    """The scenes cascade, applied from its own file, serving with two workers."""
    cascade = Cascade(installed.cluster, IMAGES_NAMESPACE)
    if cascade.live["spec"]["workers"]["count"] != 2:
        cascade.scale(2)
    cascade.wait_ready(2)
    return cascade


@pytest.fixture
def load(scenes: Cascade) -> Iterator[Load]:
    """A load of `RATE` images a second on the scenes cascade, which has been served for a while."""
    scenes.wait_ready(2)
    with Load.on(scenes.url, RATE) as running:
        running.wait_served(3)
        yield running
