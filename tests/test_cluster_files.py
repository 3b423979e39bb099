"""docs/cluster.md and the files beside it: what can be checked of them without a cluster."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from search.config import SearchConfig
from search.parsers import search_parser

yaml = pytest.importorskip("yaml", reason="PyYAML comes with Ray: pip install 'ray[tune]'")

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cluster.md"
FILES = sorted((ROOT / "docs" / "cluster").iterdir())
TEXTS = {path.name: path.read_text() for path in (PAGE, ROOT / "docs" / "scale.md", *FILES)}
LAUNCHER = yaml.safe_load(TEXTS["ray-cluster.yaml"])
CLAIMS = {}
for document in yaml.safe_load_all(TEXTS["kuberay.yaml"]):
    if document["kind"] == "RayJob":
        JOB = document
    else:
        CLAIMS[document["metadata"]["name"]] = document
CLUSTER = JOB["spec"]["rayClusterSpec"]
HEAD = CLUSTER["headGroupSpec"]["template"]["spec"]
WORKERS = [group["template"]["spec"] for group in CLUSTER["workerGroupSpecs"]]


def ray_file(name: str) -> Path:
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        pytest.skip("Ray is not installed: pip install 'ray[tune]'")
    return Path(spec.origin).parent / name


def searches() -> Iterator[tuple[str, list[str]]]:
    """Every call of search.py with flags: in the page, in the comments, in the entry point."""
    for name, text in TEXTS.items():
        for line in text.splitlines():
            for call in re.findall(r"search\.py((?: +[^\s`'&|]+)+)", line):
                if call.split()[0].startswith("--"):
                    yield name, call.split()
    yield "the entry point", JOB["spec"]["entrypoint"].split("search.py")[1].split()


@pytest.mark.parametrize(("where", "flags"), list(searches()), ids=lambda value: str(value)[:60])
def test_every_call_of_the_search_is_one_that_it_takes(where: str, flags: list[str]) -> None:
    config = SearchConfig.of(**vars(search_parser().parse_args(flags)))
    assert config.run.engine == "ray" or config.run.address is None
    assert where in {*TEXTS, "the entry point"}


def test_the_three_commands_of_a_small_cluster_are_there() -> None:
    block = TEXTS["cluster.md"].split("```")[1].split("\n")
    assert block[1:4] == [
        "ray start --head --port=6379",
        "ray start --address=HEAD:6379",
        "python search.py --budget 0.5 --engine ray --address auto",
    ]
    assert any(name == "scale.md" or "--storage" in flags for name, flags in searches())


def test_ray_knows_the_flags_it_is_given() -> None:
    known = ray_file("scripts/scripts.py").read_text()
    calls = re.findall(r"ray start((?: +--[^\s`'&|]+)+)", "\n".join(TEXTS.values()))
    assert len(calls) >= 4
    for flag in {word.partition("=")[0] for call in calls for word in call.split()}:
        assert f'"{flag}"' in known


def test_one_version_of_ray_is_meant_everywhere() -> None:
    pinned = (
        r"""ray(?:\[\w+\])?==([\d.]+)|rayproject/ray:([\d.]+)|:ray([\d.]+)|rayVersion: "([\d.]+)"""
    )
    found = re.findall(pinned, "\n".join(TEXTS.values()))
    (version,) = {next(filter(None, groups)) for groups in found}
    assert len(found) >= 8
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (least,) = re.findall(
        r"ray\[tune\]>=([\d.]+)", " ".join(extras["optional-dependencies"]["ray"])
    )
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_the_launcher_file_is_what_rays_own_schema_asks_for() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with Ray: pip install 'ray[tune]'")
    schema = json.loads(ray_file("autoscaler/ray-schema.json").read_text())
    jsonschema.validate(LAUNCHER, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(LAUNCHER | {"worker_ips": []}, schema)


def test_the_launcher_names_each_machine_once_and_starts_ray_on_all() -> None:
    provider = LAUNCHER["provider"]
    machines = [provider["head_ip"], *provider["worker_ips"]]
    assert provider["type"] == "local"
    assert len(set(machines)) == len(machines) == 3
    head, workers = LAUNCHER["head_start_ray_commands"], LAUNCHER["worker_start_ray_commands"]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head[-1]
    port = re.search(r"--port=(\d+)", head[-1])
    assert port is not None
    assert workers[-1].endswith(f"--address=$RAY_HEAD_IP:{port[1]}")


def test_the_kubernetes_job_has_what_a_rayjob_needs() -> None:
    assert JOB["apiVersion"] == "ray.io/v1"
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    names = [group["groupName"] for group in CLUSTER["workerGroupSpecs"]]
    assert len(set(names)) == len(names)
    for group in CLUSTER["workerGroupSpecs"]:
        assert 1 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert isinstance(group["rayStartParams"], dict)


@pytest.mark.parametrize("pod", [HEAD, *WORKERS], ids=lambda pod: pod["containers"][0]["name"])
def test_every_pod_has_limits_the_image_and_its_volumes(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    assert f"docker build -t {container['image']} " in TEXTS["cluster.md"]
    volumes = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert set(volumes.values()) <= CLAIMS.keys()


def test_the_jobs_search_fits_its_pods_and_finds_its_folders() -> None:
    flags = JOB["spec"]["entrypoint"].split("search.py")[1].split()
    config = SearchConfig.of(**vars(search_parser().parse_args(flags)))
    runs, images = Path(config.run.runs_dir), Path(config.task.data.partition(":")[2])
    assert _mounted(HEAD, runs, writable=True)
    assert all(_mounted(pod, images) for pod in (HEAD, *WORKERS))
    for pod in WORKERS:
        limits = pod["containers"][0]["resources"]["limits"]
        assert config.run.gpus_per_trial is not None
        assert config.run.cpus_per_trial / config.run.gpus_per_trial <= int(limits["cpu"])
        assert config.run.gpus_per_trial <= limits["nvidia.com/gpu"]


def _mounted(pod: dict[str, Any], path: Path, writable: bool = False) -> bool:
    mounts = pod["containers"][0]["volumeMounts"]
    return any(
        path.is_relative_to(mount["mountPath"]) and not (writable and mount.get("readOnly"))
        for mount in mounts
    )


@cache
def messages() -> set[str]:
    """How every string in the code begins, up to the first value that is filled in."""
    found = set()
    for package in ("search", "results", "spaces"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                first = node.values[0] if isinstance(node, ast.JoinedStr) else node
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found


ROWS = re.findall(
    r"^\| `(.+?)` \|", TEXTS["cluster.md"].split("## When something is wrong")[1], re.M
)


@pytest.mark.parametrize("row", ROWS)
def test_every_message_that_the_page_explains_is_one_that_the_code_says(row: str) -> None:
    begins = row.partition("...")[0]
    assert len(ROWS) >= 10
    assert any(
        message.startswith(begins) or (len(message) > 8 and begins.startswith(message))
        for message in messages()
    )
