"""The command line: help that fits, errors in one line with exit code 2."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import results
import spaces
from results.solving import SENSITIVITY
from search.cli import COMMANDS, main
from search.config import SearchConfig
from search.folder import resolve_folder
from search.options import flag
from spaces import Space
from spaces.walk import Uncounted


def line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, but for what is said before a discovery."""
    shown = re.sub(r"\Adiscovering .*\n", "", capsys.readouterr().err)
    assert shown.count("\n") == 1
    return shown


def helped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    shown = capsys.readouterr().out
    assert end.value.code == 0
    assert max(map(len, shown.splitlines())) <= 80
    return shown


def test_help_is_one_screen_with_an_example_first(capsys: pytest.CaptureFixture[str]) -> None:
    shown = helped(["--help"], capsys)
    assert len(shown.splitlines()) <= 34
    assert shown.index("python search.py --budget 0.5\n") < shown.index("--help")
    assert all(command in shown for command in COMMANDS)
    first = {flag(o.name) for _, o in SearchConfig().leaves() if o.metadata["first"]}
    told = {word for line in shown.splitlines() for word in line.split()[:1] if word[:2] == "--"}
    assert told == first | {"--version", "--help-all"}


def test_the_help_of_compare_has_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    shown = helped(["compare", "--help"], capsys)
    assert len(shown.splitlines()) <= 48
    assert all(f"\n  {name} " in shown for name in ("--full", "--seeds", "--structures", "--arms"))


def test_the_help_of_solve_says_which_runs_can_be_solved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = " ".join(helped(["solve", "--help"], capsys).split())
    sampler, start = SearchConfig().policies.sampler, SENSITIVITY
    assert f"if its --sampler is {sampler}, as usual, or {start} is among its --starts" in shown


@pytest.mark.parametrize("command", [[], ["compare"]])
def test_all_of_the_help_names_every_flag(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = helped([*command, "--help-all"], capsys)
    assert all(flag(option.name) in shown for _, option in SearchConfig().leaves())
    assert shown.index("python search.py") < shown.index("--help-all")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert helped(["--version"], capsys) == f"search.py {version('pruning-policy-search')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "half"], "error: budget must be a fraction in (0, 1]"),
        (["--budget", "-1"], "but got '-1'"),
        (["--sampler", "nsg2"], "did you mean 'nsga2'?"),
        (["--model", "resnet21"], "did you mean 'resnet"),
        (["--data", "digit"], "did you mean 'digits'?"),
        (["--budget", "0.001"], "error: budget must be reachable, between 0.026 and 1"),
        (["--resume", "--name", "none"], "--resume needs a run to go on with"),
        (["--resume"], "--resume needs a run that is not finished"),
        (["--name", ""], "--name must name a folder in --runs-dir, but got ''; leave it out"),
        (["--name", ".."], "--name must name a folder in --runs-dir, without a dot before it"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--rank-by", "synflow"], "--rank-by must be one of the --proxies (predicted_damage reco"),
        (
            ["--proxies", "reconstructed", "zico", "--train-images", "128"],
            "proxy 'zico' needs calibration batches of 2 images or more, at least 2, but got 1",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--runs-dir", str(tmp_path)]) == 2
    assert words in line(capsys)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cache"] == []
    assert not (tmp_path / ".cache" / "baselines").exists()  # nothing was trained


def test_a_mistyped_command_is_told_from_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compar", "runs/mine"]) == 2
    assert "unknown command 'compar', did you mean 'compare'?" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["--device", "cuda", "--runs-dir", str(tmp_path)]) == 2
    assert line(capsys) == (
        "error: device must be one of auto, cpu, as torch finds no CUDA device here, but got "
        "'cuda'; leave it out to take what there is\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["search", "serach", "serch"])
def test_a_search_needs_no_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "--budget", "0.5"]) == 2
    told = f"unknown command '{word}'; a search needs none, did you mean to leave it out?"
    assert told in line(capsys)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--budgets", "0.5"], " (did you mean --budget?)"),
        (["compare", "--arm=finetune"], " (did you mean --arms?)"),
        (["--colour", "red"], ""),
        (["-b", "0.5"], ""),
    ],
)
def test_the_option_nearest_to_an_unknown_one_is_named(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    typed = " ".join(word for word in arguments if word != "compare")
    assert line(capsys) == f"error: unrecognized arguments: {typed}{hint}; see --help\n"


@pytest.mark.parametrize(
    "arguments",
    [["--trials", "many"], ["--budgets", "0.5"], ["--seed=--"], ["--seed", "1", "a\nb"]],
)
def test_arguments_that_do_not_parse_are_one_line_too(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert line(capsys).startswith("error: ")


@pytest.mark.parametrize("command", [["report"], ["compare"], ["report", "one", "--out"]])
@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "\udcff"])
def test_what_no_file_can_be_called_is_refused(
    command: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, name]) == 2
    assert " must " in line(capsys)


def test_a_report_that_has_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "one", "--out", ""]) == 2
    assert line(capsys) == "error: --out must name a file or a folder, but got ''; leave it out\n"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux")
def test_a_folder_that_takes_no_file_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--runs-dir", "/proc/none"]) == 2
    assert line(capsys) == (
        "error: --runs-dir must be a folder that can be written, but /proc is not\n"
    )


def test_a_folder_that_is_no_run_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert main(["--name", "mine", "--runs-dir", str(tmp_path)]) == 2
    assert "exists and is none; choose another name" in line(capsys)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_another_config_is_refused_with_the_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    about = {"config": SearchConfig.of(trials=7).to_dict()}
    (tmp_path / "mine" / "config.json").write_text(json.dumps(about))
    arguments = ["--name", "mine", "--runs-dir", str(tmp_path), "--seed", "3"]
    assert main(arguments) == 2
    assert "--trials 7 there, 48 here; --seed 0 there, 3 here" in line(capsys)
    assert main([*arguments, "--resume"]) == 2
    assert line(capsys).endswith("differs: --seed 0 there, 3 here; leave these out\n")
    (tmp_path / "mine" / "finished").touch()
    assert main(arguments) == 2
    assert "holds a finished run" in line(capsys)


def test_inspect_prints_groups_frozen_channels_and_the_reachable_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "--model", "digits_cnn"]) == 0
    shown = capsys.readouterr().out
    assert "blocks.2.conv2" in shown
    assert "network output" in shown
    assert "0.011 (16,848 FLOPs)" in " ".join(shown.split())
    assert list(tmp_path.iterdir()) == []


def test_inspect_prints_one_object_for_other_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two convolutions of 3 × 3 without bias on 8 × 8, then 32 inputs to 10 classes with bias."""
    (tmp_path / "loud.py").write_text(
        "from torch import nn\n"
        "print('imported')\n"
        "def build(num_classes):\n"
        "    print('built')\n"
        "    a = nn.Conv2d(1, 4, 3, padding=1, bias=False)\n"
        "    b = nn.Conv2d(4, 2, 3, padding=1, stride=2, bias=False)\n"
        "    return nn.Sequential(a, nn.ReLU(), b, nn.Flatten(), nn.Linear(32, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    words = "--model loud:build --data digits --round-to 1 --json"
    code = main(["inspect", *words.split()])
    shown = capsys.readouterr()
    assert code == 0
    told = json.loads(shown.out)
    assert {"imported", "built"} <= {*shown.err.splitlines()}
    first, second = [64 * 9 * n for n in (1, 2, 3, 4)], [16 * 9 * 2 * n for n in (1, 2, 3, 4)]
    assert told["model"] == "loud:build"
    assert told["inputs"] == [[1, 8, 8]]
    assert told["flops"] == first[3] + second[3] + 320
    assert told["params"] == 36 + 72 + 330
    assert told["floor_flops"] == first[0] + second[0] // 2 + 160
    assert told["groups"][0] == {
        "name": "0",
        "channels": 4,
        "widths": [1, 2, 3, 4],
        "flops": [a + b + 320 for a, b in zip(first, second, strict=True)],
        "params": [9 * n + 18 * n + 330 for n in (1, 2, 3, 4)],
        "layers": ["0", "2"],
    }
    assert [group["name"] for group in told["groups"]] == ["0", "2"]
    assert told["frozen"] == [{"name": "4", "channels": 10, "reason": "network output"}]
    assert told["uncounted"] == []


CHOOSY = """
from torch import nn

class Choosy(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        self.neck = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = self.backbone(x)
        return self.head(self.neck(x if x.sum() > 0 else -x).mean((2, 3)))

def build(num_classes):
    return Choosy(num_classes)
"""


@pytest.fixture
def choosy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model that asks what the numbers are."""
    (tmp_path / "choosy.py").write_text(CHOOSY)
    monkeypatch.chdir(tmp_path)
    return "choosy:build"


def test_inspect_looks_inside_a_part_and_says_what_flops_are_of(
    choosy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", "digits"]
    assert main(["inspect", "--model", choosy, *flags, "--inside", "backbone"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "FLOPs and budgets are those of backbone, inside which is pruned; the rest" in shown
    assert "takes 1,064 more" in shown
    assert "backbone output" in shown
    assert main(["inspect", "--model", choosy, *flags]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "FLOPs and budgets are those of backbone and neck, inside which is pruned" in shown
    assert main(["inspect", "--model", choosy, *flags, "--inside", "bakbone"]) == 2
    assert "unknown module 'bakbone', did you mean 'backbone'?" in line(capsys)


def test_a_search_prunes_inside_a_part_and_counts_as_the_counters_do(
    choosy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = "--trials 2 --starts l1 --train-images 128 --rungs 1 --final-epochs 1 --final-seeds 1"
    flags = [*quick.split(), "--criterion", "l1", "--lr", "0.005", "--inside", "backbone"]
    assert main(["--model", choosy, *flags, "--runs-dir", str(tmp_path), "--name", "mine"]) == 0
    assert "warning: FLOPs and budgets are those of backbone" in capsys.readouterr().err
    report = (tmp_path / "mine" / "report.md").read_text()
    assert "exactly what the search did" in report
    assert "those of backbone" in report


@pytest.fixture
def gap(monkeypatch: pytest.MonkeyPatch) -> str:
    """Every network has an operation that is not counted; the line that says so."""
    found = spaces.discover

    def discover(*arguments: Any) -> Space:
        gaps = (Uncounted("stem", "torchvision.deform_conv2d"), Uncounted("", "my::op"))
        return dataclasses.replace(found(*arguments), uncounted=gaps)

    monkeypatch.setattr(spaces, "discover", discover)
    return (
        "not counted: torchvision.deform_conv2d in stem, my::op in the network itself (so budgets "
        "are of the rest)"
    )


def test_inspect_names_what_is_not_counted(gap: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--model", "digits_cnn"]) == 0
    assert gap in " ".join(capsys.readouterr().out.split())


def test_a_search_names_what_is_not_counted_once_before_and_again_at_its_end(
    gap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trials", "2", "--criterion", "l1", "--starts", "l1", "--train-images", "128"]
    options += [
        "--rungs",
        "1",
        "--final-epochs",
        "1",
        "--final-seeds",
        "1",
        "--name",
        "mine",
        "--lr",
        "0.005",
    ]
    assert main([*options, "--runs-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[1] == gap  # after the discovery, before the baseline
    assert shown.err.count(gap) == 1
    ending = f"N{gap[1:]}."
    assert ending in " ".join(shown.out.split())
    assert ending in (tmp_path / "mine" / "report.md").read_text()
    assert results.load(tmp_path / "mine").provenance["uncounted"] == [
        {"module": "stem", "operation": "torchvision.deform_conv2d"},
        {"module": "", "operation": "my::op"},
    ]


def test_inspect_without_data_takes_the_input_the_model_was_made_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["inspect", "--model", "resnet20"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "40,551,040 FLOPs (multiply-adds) for one image of 3 × 32 × 32; 269,722" in shown
    assert "zeros of a pad" in shown


def test_a_model_with_nothing_to_prune_is_refused_with_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare.py").write_text(
        "from torch import nn\n"
        "def linear(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["--model", "bare:linear", "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "all are frozen (1: network output" in line(capsys)


def test_sparsity_without_batchnorm_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unnormed.py").write_text(
        "from torch import nn\n"
        "def convs(num_classes):\n"
        "    layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten()\n"
        "    return nn.Sequential(*layers, nn.Linear(128, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", "unnormed:convs", "--sparsity", "1e-4"]
    assert main([*arguments, "--runs-dir", str(tmp_path / "runs")]) == 2
    refusal = line(capsys)
    assert "error: sparsity must act on the scales of BatchNorm, but no layer has" in refusal
    assert refusal.rstrip().endswith("; leave --sparsity out")
    assert not (tmp_path / "runs" / ".cache" / "baselines").exists()


def test_a_run_goes_on_with_another_engine(tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    (runs / "mine").mkdir(parents=True)
    began = SearchConfig.of(engine="ray", address="10.0.0.1:6379", name="mine")
    about = {"config": began.to_dict(), "id": "0"}
    (runs / "mine" / "config.json").write_text(json.dumps(about))
    options = {"resume": True, "name": "mine", "runs_dir": str(runs)}
    again = f"python search.py --resume --name mine --runs-dir '{runs}' --engine"
    assert resolve_folder(options).resume_command == f"{again} ray --address 10.0.0.1:6379"
    here = resolve_folder({**options, "engine": "local"})
    assert (here.config.run.engine, here.config.run.address) == ("local", None)
    assert here.resume_command == f"{again} local"
    there = resolve_folder({**options, "engine": "ray", "address": "auto"})
    assert there.resume_command == f"{again} ray --address auto"
