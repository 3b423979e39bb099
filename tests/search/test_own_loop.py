"""The user's own training loop: what it is given, what is taken from it, and what is refused."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import loops
import pytest
import torch
from torch import Tensor, nn

import results
import search
from results.training import FINALS
from search import Task
from search.cli import main
from search.comparison.config import FULL, CompareConfig
from search.comparison.full import check_own_loop
from search.engines.workers import Processes
from search.errors import Diverged, LoopError
from search.evaluation.jobs import DIVERGED, failure_of
from search.training import checkpoints
from search.training.checkpoints import Checkpoint, InFolder
from search.training.own_loop import LoopCheckpoint, name_of, train_by
from spaces import UserError
from spaces.state import state_of

CPU = torch.device("cpu")
TIMED = 2
"""Trainings of an epoch by which a process that begins tells how long the rest will take."""
FAST: dict[str, Any] = {
    **{"trials": 4, "starts": ("l1",), "criterion": "l1", "rungs": (1, 2), "repeats": 1},
    **{"final_epochs": 2, "final_seeds": 2, "gains": False, "sampler": "random"},
    **{"surgery": "plain", "proxies": ("params",), "rank_by": "params"},
}


def run_by(loop: Any, model: nn.Module | None = None, epochs: int = 1, seed: int = 0) -> nn.Module:
    model = loops.network() if model is None else model
    train_by(loop, model, epochs=epochs, seed=seed, device=CPU)
    return model


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(state_of(first).values(), state_of(second).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def moved(model: nn.Module, *_: Any) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1


def test_it_is_given_the_network_in_train_mode_whole_epochs_and_a_seed() -> None:
    given: list[Any] = []

    def loop(model: nn.Module, epochs: int, seed: int) -> None:
        given.extend([model, model.training, epochs, seed, torch.is_grad_enabled()])
        moved(model)

    model = loops.network().eval()
    with torch.no_grad():
        assert run_by(loop, model, epochs=3, seed=5) is model
    assert given == [model, True, 3, 5, True]
    assert not model.training


def test_a_seed_of_many_bits_becomes_one_that_numpy_takes() -> None:
    seeds: list[int] = []

    def loop(model: nn.Module, _epochs: int, seed: int) -> None:
        seeds.append(seed)
        moved(model)

    for seed in (0, 2**32 - 1, 2**32, 2**33, 2**33 + 1, 2**65 + 1):
        run_by(loop, seed=seed)
    assert seeds[:2] == [0, 2**32 - 1]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_what_it_draws_follows_from_the_seed_and_the_callers_random_state_stays() -> None:
    def loop(model: nn.Module, *_: Any) -> None:
        with torch.no_grad():
            model[0].weight.normal_()

    first, again, other = (run_by(loop, seed=seed) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)
    state = torch.get_rng_state()
    run_by(loop, first, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_that_is_returned_is_taken() -> None:
    def loop(model: nn.Module, *_: Any) -> nn.Module:
        trained = copy.deepcopy(model)
        moved(trained)
        trained[1].running_mean += 7
        return trained

    model = run_by(loop)
    assert torch.equal(model[0].weight, loops.network()[0].weight + 1)
    assert torch.equal(model[1].running_mean, torch.full((32,), 7.0))


def test_what_it_does_besides_training_is_undone() -> None:
    def loop(model: nn.Module, *_: Any) -> None:
        moved(model)
        model.eval().requires_grad_(False)
        torch.set_grad_enabled(False)

    model = loops.network()
    model[3].bias.requires_grad_(False)
    run_by(loop, model)
    assert torch.is_grad_enabled()
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["3.bias"]
    run_by(moved, model)  # as the next stage of a layerwise schedule


class Takes:
    """An object that is called."""

    def __call__(self, model: nn.Module, *_: int) -> None:
        moved(model)


def test_any_callable_has_a_name() -> None:
    assert name_of(loops.train) == "loops:train"
    assert name_of(Takes()).endswith(":Takes")


def narrower(model: nn.Module, *_: Any) -> None:
    model[0] = nn.Linear(6, 16)


def halved(model: nn.Module, *_: Any) -> None:
    model.half()


def wrapped(model: nn.Module, *_: Any) -> nn.Module:
    return nn.Sequential(copy.deepcopy(model))


def nowhere(model: nn.Module, *_: Any) -> None:
    model.to_empty(device="meta")


def leaves(_model: nn.Module, *_: Any) -> None:
    sys.exit("usage: train.py")


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        (loops.broken, r"loops:broken must train .* KeyError: 'lr' \(.*loops.py, line \d+\)$"),
        (leaves, r"fails with SystemExit: usage: train.py \(.*test_own_loop.py, line \d+\)$"),
        (lambda *_: {"loss": 0.3}, "must return the network .* returned dict; leave the return"),
        (narrower, r"but 0.weight is float32 \(16, 6\) instead of float32 \(32, 6\), and 1 more"),
        (halved, r"but 0.weight is float16 \(32, 6\) instead of float32 \(32, 6\)"),
        (wrapped, r"but 0.weight is missing instead of float32 \(32, 6\), .* return it bare"),
        (lambda *_: None, "left its weights as they were; if it trains a copy, return that"),
        (nowhere, "on the meta device, which has no values"),
    ],
)
def test_what_goes_wrong_in_it_is_one_line(loop: Callable[..., Any], said: str) -> None:
    with pytest.raises(LoopError, match=said) as told:
        run_by(loop)
    assert "\n" not in str(told.value)
    failure = failure_of(told.value)
    assert (failure.kind, failure.reason) == ("LoopError", str(told.value))


def test_weights_that_are_not_finite_have_diverged() -> None:
    def loop(model: nn.Module, *_: Any) -> None:
        model[3].weight.data[0, 0] = math.nan

    with pytest.raises(Diverged, match=r"after 2 epochs of .* 3\.weight is not finite") as told:
        run_by(loop, epochs=2)
    assert failure_of(told.value).kind == DIVERGED


def test_memory_that_runs_out_in_it_is_told_as_such() -> None:
    def loop(*_: Any) -> None:
        raise MemoryError

    with pytest.raises(LoopError) as told:
        run_by(loop)
    assert failure_of(told.value).kind == "out of memory"


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        ("train", "must be a function of .model, epochs, seed., but got str"),
        (lambda _model: None, r"must take \(model, epochs, seed\), but takes \(_model\)"),
        (lambda _model, _epochs, _seed, _rank: None, "missing a required argument: '_rank'"),
    ],
)
def test_what_cannot_be_called_so_is_refused_with_the_task(loop: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        replace(loops.plain(), train_loop=loop)


def test_one_that_keeps_checkpoints_goes_on_from_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    monkeypatch.setenv("EPOCHS_IN", str(tmp_path / "epochs"))
    kept = Checkpoint(InFolder(tmp_path / "kept"), "key")

    def trained(**environment: str) -> nn.Module:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        model = loops.network()
        train_by(loops.counted, model, epochs=4, seed=3, device=CPU, checkpoint=kept)
        return model

    with pytest.raises(KeyboardInterrupt):
        trained(**{loops.FAILING: "1"})
    assert kept.checkpoints.load("key")
    model = trained(**{loops.FAILING: ""})
    assert (tmp_path / "epochs").read_text().split() == ["0", "1", "2", "3"]
    assert kept.checkpoints.load("key") is None
    assert same(model, trained())


def test_a_checkpoint_is_kept_at_most_once_a_minute(tmp_path: Path) -> None:
    kept = LoopCheckpoint(Checkpoint(InFolder(tmp_path), "key"))
    kept.save({"epochs": 1})
    assert kept.load() is None
    kept._saved_at -= checkpoints.EVERY_SECONDS
    kept.save({"epochs": 2})
    kept.save({"epochs": 3})
    assert kept.load() == {"epochs": 2}


def searched(task: Task, folder: Path, name: str = "mine", **options: Any) -> results.Run:
    return search.search(task, 0.6, runs_dir=str(folder), name=name, **{**FAST, **options})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[results.Run, results.Run]:
    """By a loop that does what ours does, and by ours."""
    folder = Path(tmp_path_factory.mktemp("runs"))
    return (
        searched(loops.task(), folder),
        searched(loops.plain(), folder, "ours", lr=loops.RATE, batch_size=32),
    )


def scores(run: results.Run) -> list[Any]:
    finals = [(f.name, f.val_accuracy, f.test_accuracy) for f in run.finals]
    return [*finals, *((r.policy, r.accuracy) for r in run.records)]


def test_it_trains_every_rung_and_final_in_the_place_of_ours(
    runs: tuple[results.Run, results.Run],
) -> None:
    own, ours = runs
    assert scores(own) == scores(ours)
    assert {len(r.accuracy) for r in own.records} == {2}


def test_its_computation_is_counted_by_the_images_of_the_task(
    runs: tuple[results.Run, results.Run],
) -> None:
    for record in runs[0].training_records:
        if record.purpose == FINALS:
            assert record.training_flops == 3 * record.flops * 128 * 2
            assert record.spec.lr == 0


def test_no_rate_is_swept_and_the_report_says_whose_loop_it_was(
    runs: tuple[results.Run, results.Run],
) -> None:
    own, ours = runs
    assert not own.swept
    assert own.provenance.recipe == "by the user's own loop, loops:train"
    assert (
        ours.provenance.recipe
        == "SGD with Nesterov momentum 0.9, weight decay 0.0005, batches of 32"
    )
    assert "by the user's own loop, loops:train" in (own.folder / "report.md").read_text()


def test_it_is_compared_by_its_loop_alone(runs: tuple[results.Run, results.Run]) -> None:
    asked = {"seeds": 2, "finetune_epochs": 1, "base_epochs": 1}
    run = search.compare(runs[0].folder, loops.task(), **asked)
    arms = {record.arm for record in run.compared.arms}
    assert arms == {"finetune", "random-channels", "scratch-e", "scratch-b", "scratch-b+"}
    assert {record.lr for record in run.compared.arms} == {0}
    assert not run.compared.sweep
    said = " ".join(run.compared.cautions)
    assert "loops:train, which has its own learning rates" in said
    assert "left out: --arms finetune-small sets the learning rate" in said
    report = run.report().with_suffix(".md").read_text()
    assert "that the sweep found" not in report


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"arms": ("finetune", "finetune-small")}, "--arms finetune-small sets the learning rate"),
        ({"arms": ("distilled",)}, "--arms distilled distils, which your own loop does not"),
        ({"structures": ("slimming",)}, "--structures slimming trains sparsely"),
        ({"rates": (0.1,)}, "--rates are of our own training loop"),
    ],
)
def test_what_only_our_loop_does_is_not_compared(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_own_loop(CompareConfig.of(**asked))
    check_own_loop(CompareConfig.of(full=True, **FULL))


def test_nor_is_it_in_a_run(runs: tuple[results.Run, results.Run]) -> None:
    with pytest.raises(UserError, match="distillation is of our own training loop, but the train"):
        search.compare(runs[0].folder, loops.task(), arms=("distilled",))


def test_a_run_goes_on_with_the_loop_it_began_with(
    runs: tuple[results.Run, results.Run],
) -> None:
    where = {"runs_dir": str(runs[0].folder.parent), "name": runs[0].folder.name}
    with pytest.raises(UserError, match="differs in its training loop; give the loop"):
        search.search(loops.plain(), resume=True, trials=5, **where)


@pytest.mark.parametrize(
    "option",
    [
        *({"lr": 0.1}, {"batch_size": 8}, {"precision": "bfloat16"}, {"distill": True}),
        *({"optimizer": "adamw"}, {"label_smoothing": 0.1}, {"clip_norm": 1.0}, {"ema": 0.9}),
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_of_our_loop_are_refused(option: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is of our own training loop, but the training loop loop"):
        searched(loops.task(), tmp_path, **option)


def commanded(folder: Path, *words: str) -> int:
    options = "--trials 2 --starts l1 --criterion l1 --rungs 1 --repeats 0 --final-epochs 1"
    options += " --surgery plain --sampler random --proxies params --rank-by params"
    options += f" --final-seeds 1 --no-gains --budget 0.6 --name mine --runs-dir {folder}"
    return main([*words, *options.split()])


NAMED = "--model loops:network --data loops:splits --loss loops:squares --metric loops:metric"


@pytest.fixture
def named(tmp_path: Path) -> list[str]:
    path = tmp_path / "weights.pt"
    torch.save(loops.network().state_dict(), path)
    return [*NAMED.split(), "--weights", str(path)]


def test_the_command_line_takes_one_and_workers_find_it(named: list[str], tmp_path: Path) -> None:
    assert commanded(tmp_path, *named, "--train-loop", "loops:train", "--workers", "2") == 0
    run = results.load(tmp_path / "mine")
    assert run.provenance.recipe == "by the user's own loop, loops:train"
    assert {record.state for record in run.records} <= {"complete", "stopped"}
    assert all(math.isfinite(score) for final in run.finals for score in final.test_accuracy)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--train-loop loops:broken", "fails with KeyError: 'lr' ("),
        ("--train-loop loops:none", "must name a function"),
        ("--train-loop loops", "--train-loop must be package.module:name"),
        ("--train-loop loops:train --lr 0.1", "--lr is of our own training loop, but --train-loop"),
        ("--train-loop loops:network", "must take (model, epochs, seed), but takes ()"),
    ],
)
def test_what_cannot_train_is_told_before_the_first_trial(
    words: str, said: str, named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commanded(tmp_path, *named, *words.split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    if (tmp_path / "mine").is_dir():
        assert not results.load(tmp_path / "mine").records


def test_it_needs_a_trained_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commanded(tmp_path, *NAMED.split(), "--train-loop", "loops:train") == 2
    assert "needs a trained one to prune" in capsys.readouterr().err


def test_what_is_cut_short_in_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training that is done stays; the one that was under way is repeated."""
    task = replace(loops.plain(), train_loop=loops.fails_late)
    whole = searched(task, tmp_path, "whole")
    calls = len(loops._calls)
    loops._calls.clear()
    monkeypatch.setenv(loops.FAILING, str(calls // 2))
    with pytest.raises(KeyboardInterrupt):
        searched(task, tmp_path)
    run = searched(task, tmp_path, resume=True)
    assert scores(run) == scores(whole)
    assert len(loops._calls) <= calls + 4  # the one that was cut, and the timing of each process


def test_what_workers_cannot_be_sent_is_one_line() -> None:
    with pytest.raises(UserError, match=r"must be picklable, but .* at the top of a module$"):
        Processes(2, lambda job: job, lambda job, _failure, _seconds: job)


class Frozen(nn.Module):
    """A network whose loop trains its head alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


def test_a_loop_may_train_a_part_of_the_weights() -> None:
    def loop(model: Frozen, *_: Any) -> None:
        moved(model.head)

    model = Frozen()
    body, head = copy.deepcopy(model.body), copy.deepcopy(model.head)
    run_by(loop, model)
    assert same(model.body, body)
    assert not same(model.head, head)
