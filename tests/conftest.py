"""Settings and servers that tests share."""

import os

# As many processes as cores run the tests, and each starts others: more threads would only queue.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests start hundreds of processes: without byte code each would compile the packages anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Memory that was freed is kept for what comes next: large networks are copied hundreds of times.
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(8 << 30))

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import postgres as real
import pytest
from cluster import ENVIRONMENT, Cluster
from hypothesis import settings

from search.engines import Engine

ROOT = Path(__file__).parents[1]

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

RAY = (
    "search/test_engine_ray_commands.py",
    "search/test_engine_ray.py",
    "contracts/test_engines.py",
)
"""Left to one process, one after another: they share a cluster. The first wants none to be there,
when it begins."""

ALONE = ("fuzz/test_random_networks.py", "spaces/test_torchvision.py")
"""Files whose tests share nothing: any process runs any of them."""

FIRST = (*RAY, "fuzz/test_random_commands.py", "search/test_sigkill.py")
"""The slowest, so that no core has one of them left when the others are done."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """All cores run the whole suite; of a part of it, only ``-n`` does that."""
    whole = config.args_source is config.ArgsSource.TESTPATHS
    ours = not hasattr(config, "workerinput")  # those that run it come here too
    if whole and ours and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = "logical"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {str(ROOT / "tests" / name): place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(str(item.path), len(FIRST)))


def pytest_collection_finish() -> None:
    """What has been imported stays: no need to look for garbage in it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process runs the whole of a file, whose tests share what they have made."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.endswith(ALONE):
                return nodeid
            return "Ray" if file.endswith(RAY) else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[real.Server]:
    """A PostgreSQL of this session's own."""
    bin = real.binaries()
    if bin is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    with real.server(bin) as server:
        yield server


SHARED = ExitStack()
"""What tests of Ray share, until the last of them is done."""


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A cluster that nobody needs any more would take its share of the cores from other tests."""
    if _of_ray(item) and not _of_ray(nextitem):
        SHARED.close()


def _of_ray(item: pytest.Item | None) -> bool:
    return item is not None and str(item.path).endswith(RAY)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two Ray nodes of one CPU each, on 127.0.0.2 and 127.0.0.3."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[tune]'")
    with SHARED:
        started = SHARED.enter_context(Cluster(cpus=1))
        started.add("127.0.0.3", cpus=1)
        yield started


@pytest.fixture(scope="session")
def ray_engine(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The Ray engine, this process connected to the cluster as its driver."""
    from search.engines import ray_cluster
    from search.engines.ray_tune import RayTune

    modules = ("cluster", "evaluators", "loops", "waiting")
    for name in modules:
        import_module(name)  # before they cannot be found any more
    patched = SHARED.enter_context(pytest.MonkeyPatch.context())
    for name, value in ENVIRONMENT.items():
        patched.setenv(name, value)
    with patched.context() as elsewhere:
        # Workers look for modules where the driver does. On this machine they would find them
        # there, on others they have only what travels.
        elsewhere.chdir(tmp_path_factory.mktemp("elsewhere"))
        elsewhere.setattr(sys, "path", [path for path in sys.path if not _ours(path)])
        SHARED.enter_context(ray_cluster.connected(cluster.address, modules))
    return RayTune(ray_cluster.Demand(cpus=1, gpus=0))


def _ours(path: str) -> bool:
    return Path(path).resolve().is_relative_to(ROOT)
