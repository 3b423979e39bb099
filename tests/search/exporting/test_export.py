"""``python search.py export``, from a finished run to files that run elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import prune_ops
import results
from results.decision import decisions
from results.intervals import wilson
from search import export, parsers
from search.cli import main
from search.exporting import opened
from search.exporting.export import FORMATS
from search.exporting.opened import choose
from search.exporting.pt2 import Pt2
from search.task.task import Task
from spaces import UserError


@pytest.fixture
def best(run: results.Run) -> results.FinalRecord:
    """The final to ship, which is exported where no other is asked for."""
    (decision,) = decisions(run)
    return decision.final


@pytest.fixture
def command(
    run: results.Run, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run ``export`` on the run; exit code, output and errors."""

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["export", str(run.folder), *words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return call


def saved(run: results.Run, task: Task, name: str = "best") -> torch.nn.Module:
    assert task.fresh is not None
    return prune_ops.load(task.fresh(), run.folder / "models" / name).eval()


def test_onnx_with_its_card_from_the_command_line(
    run: results.Run,
    task: Task,
    best: results.FinalRecord,
    command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[onnx]'")
    code, out, _ = command("--to", "onnx", "--out", str(tmp_path / "small.onnx"))
    assert code == 0
    said = " ".join(out.split())
    accuracy = f"{100 * best.test_accuracy[0]:.2f} %"
    assert "over 700 test images: outputs differ by at most " in said
    assert said.endswith(f"test accuracy {accuracy} before, {accuracy} after.")
    assert "It takes any number of images at once." in said
    assert {path.name for path in tmp_path.iterdir()} == {"small.onnx", "small_card.md"}
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    model = saved(run, task)
    for count in (1, 3, 64):
        images, _ = next(iter(task.test.batches(count)))
        (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, model(images).numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("to", ["pt2", "safetensors", "code"])
def test_other_formats_go_into_the_runs_folder(
    to: str,
    run: results.Run,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = command(*(["--as-code"] if to == "code" else ["--to", to]), "--images", "200")
    assert code == 0
    folder = next(path for path in (run.folder / "exports").iterdir() if path.name.endswith(to))
    suffixes = {"code": {".py", ".safetensors"}}.get(to, {f".{to}"})
    wanted = {f"model{suffix}" for suffix in suffixes} | {"model_card.md"}
    assert {path.name for path in folder.iterdir()} == wanted
    assert all(str(folder / name) in out for name in wanted)
    assert "over 200 test images: outputs " in " ".join(out.split())


def test_the_python_interface_with_a_batch_of_ones_own(
    run: results.Run, task: Task, tmp_path: Path
) -> None:
    made = export(run, "uniform-0.5", to="pt2", out=tmp_path / "u", batch=4, task=task, images=10)
    assert (made.files, made.card) == ((tmp_path / "u.pt2",), tmp_path / "u_card.md")
    assert (made.subject.batch, made.trip.items) == (4, 10)
    images, _ = next(iter(task.test.batches(4)))
    again = torch.export.load(tmp_path / "u.pt2").module()
    torch.testing.assert_close(again(images), saved(run, task, "uniform-0.5")(images))


def test_a_file_that_computes_something_else_is_not_left_behind(
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    read = Pt2.read

    def other(self: Pt2, *given: Any) -> Callable[[Tensor], Tensor]:
        right = read(self, *given)
        return lambda images: right(images) * 1.01

    monkeypatch.setattr(Pt2, "read", other)
    code, _, err = command("--to", "pt2", "--out", str(tmp_path / "new" / "net"))
    assert code == 2
    line = err.splitlines()[-1]
    assert line.startswith("error: the torch.export file must compute what the network does, but ")
    assert line.endswith("is the most; nothing was written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--to onx", "argument --to: invalid choice: 'onx'"),
        ("", "one of the arguments --to --as-code is required"),
        ("--to pt2 --as-code", "not allowed with argument"),
        ("--to pt2 --images 0", "--images must be a whole number of at least 1, but got 0"),
        ("--to pt2 --batch some", "--batch must be a whole number of at least 1, but got some"),
        ("--as-code --batch 2", "--batch is of --to onnx and pt2"),
        ("--to pt2 --trial 99", "has no '99' in its models/; give one of best, "),
        ("--to pt2 --out net.onnx", "--out must end in .pt2, but got 'net.onnx'"),
        ("--to pt2 --out .", "--out must name a file, but '.' is a folder"),
        ("--as-code --out my-net.py", "a name that Python can import, but got 'my-net'"),
    ],
)
def test_slips_are_one_line(
    words: str, line: str, run: results.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["export", str(run.folder), *words.split()])
    except SystemExit as end:  # argparse's own
        code = end.code  # type: ignore[assignment]
    assert code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert line in said


def test_without_the_packages_of_a_format_the_extra_is_named_and_nothing_is_written(
    run: results.Run,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(type(FORMATS["onnx"]), "packages", ("onnx_of_nobody",))
    before = sorted(run.folder.rglob("*"))
    code, _, errors = command("--to", "onnx", "--out", str(tmp_path / "net.onnx"))
    assert code == 2
    said = errors.splitlines()[-1]
    assert said.startswith("error: --to onnx needs onnx_of_nobody, but onnx_of_nobody is not inst")
    assert said.endswith("; pip install 'pruning-policy-search[onnx]'")
    assert not list(tmp_path.iterdir())
    assert sorted(run.folder.rglob("*")) == before


def test_with_several_budgets_the_network_must_be_named(
    run: results.Run, best: results.FinalRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(best, budget="0.3")
    about = replace(run.provenance, budgets={**run.provenance.budgets, "0.3": 1})
    two = replace(run, finals=(*run.finals, other), provenance=about)
    monkeypatch.setattr(opened.results, "load", lambda *_: two)
    with pytest.raises(
        UserError, match=r"--trial must say which network, .* best-0\.3 and best-0\.5"
    ):
        choose(run.folder, None)
    assert choose(run.folder, "best-0.5").final.number == best.number
    assert choose(run.folder, "unpruned").final.role == "baseline"


def test_a_task_that_was_made_in_python_must_be_given(
    run: results.Run, task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = replace(run, provenance=replace(run.provenance, command=""))
    monkeypatch.setattr(opened.results, "load", lambda *_: own)
    with pytest.raises(UserError, match=r"was made in Python, .* search\.export\(run, task="):
        export(run, to="safetensors")
    with pytest.raises(UserError, match="--as-code needs the name of what builds the network"):
        export(run, to="code", task=task)
    made = export(run, to="safetensors", task=task, out=tmp_path / "net", images=5)
    assert made.card.read_text().startswith("# digits")


def test_a_run_without_networks_says_where_they_may_be(
    run: results.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = replace(run, folder=tmp_path)
    monkeypatch.setattr(opened.results, "load", lambda *_: elsewhere)
    with pytest.raises(UserError, match="must have networks in its models/, but has none"):
        choose(tmp_path, None)


def test_the_formats_of_the_command_line_are_those_of_the_table() -> None:
    assert set(parsers.FORMATS) == FORMATS.keys()


def test_the_card_says_what_to_know(
    run: results.Run, task: Task, best: results.FinalRecord, tmp_path: Path
) -> None:
    made = export(run, to="safetensors", task=task, out=tmp_path / "net", images=50)
    lines = made.card.read_text().splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        f"# {made.subject.title}",
        *("## The file", "## What it is worth", "## Policy", "## Data", "## Training"),
        "## Provenance",
    ]
    text = "\n".join(lines)
    assert "input: float32, B × 1 × 8 × 8, (x / 255 − mean) / std with mean " in text
    assert made.told.replace("_", r"\_") in text
    assert best.policy is not None
    channels = run.provenance.channels
    for group, kept in best.policy.items():
        assert f"| {group} | {channels[group]} | {kept} |" in text
    mean = sum(best.test_accuracy) / len(best.test_accuracy)
    assert f"Test accuracy {100 * mean:.2f}" in text
    assert f"with {100 * best.test_accuracy[0]:.2f} %." in text
    assert "1 epoch at learning rate 0.01" in text
    assert f"seed {best.seeds[0]}, of the seeds {best.seeds[0]}, {best.seeds[1]}" in text
    assert f"torch {torch.__version__}" in text
    assert "| ms, one image |" in text
    assert "128 training, 494 validation and 700 test images" in text
    assert run.provenance.command in text


def test_the_card_of_the_unpruned_network_has_an_interval_too(
    run: results.Run, task: Task, tmp_path: Path
) -> None:
    unpruned = next(final for final in run.finals if final.role == "baseline")
    (accuracy,) = unpruned.test_accuracy
    made = export(run, "unpruned", to="safetensors", task=task, out=tmp_path / "net", images=5)
    low, high = wilson(round(accuracy * 700), 700)
    assert (
        f"Test accuracy {100 * accuracy:.2f} %; with 700 test images drawn anew, {100 * low:.2f} "
        f"to {100 * high:.2f} % (95 % interval)."
    ) in made.card.read_text()


def test_other_test_images_than_the_run_had_are_told(
    run: results.Run, task: Task, best: results.FinalRecord, tmp_path: Path
) -> None:
    """The labels of half of them are wrong."""
    labels = task.test.labels.clone()  # type: ignore[attr-defined]
    labels[::2] = (labels[::2] + 1) % 10
    other = replace(task, test=replace(task.test, labels=labels))  # type: ignore[type-var]
    made = export(run, to="safetensors", task=other, out=tmp_path / "net")
    said = f"The run measured {100 * best.test_accuracy[0]:.2f} % for this network"
    assert said in made.checks[-1]
    assert said in made.card.read_text()
    assert len(export(run, to="safetensors", task=task, out=tmp_path / "net").checks) == 1


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"to": "onx"}, "unknown format 'onx', did you mean 'onnx'"),
        ({"to": "pt2", "batch": 0}, "0"),
    ],
)
def test_slips_in_python_are_one_line(run: results.Run, how: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        export(run, **how)


def test_a_folder_of_the_version_before_is_exported_too(
    run: results.Run,
    task: Task,
    best: results.FinalRecord,
    tmp_path: Path,
) -> None:
    """A run whose networks were saved as ``weights.pt``."""
    folder = Path(shutil.copytree(run.folder, tmp_path / "old", symlinks=True))
    where = folder / "models" / str(best.number)
    model, about = saved(run, task), json.loads((where / "policy.json").read_text())
    torch.save(dict(model.state_dict()), where / "weights.pt")
    torch.save({"cut": None, "buffers": {}, "inputs": None, "outputs": None, "tolerance": 0.0},
               where / "kept.pt")  # fmt: skip
    (where / "model.safetensors").unlink()
    (where / "policy.json").write_text(json.dumps(about | {"format": 2}))
    made = export(folder, to="safetensors", task=task, images=20)
    assert made.files[0].is_relative_to(folder)
    assert made.trip.largest == 0
