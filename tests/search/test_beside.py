"""Other ways to compress, set beside the finals: what is trained and how, and nothing twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import prune_ops
import results
import spaces
from prune_ops import Compression
from results import BesideRecord, FinalRecord
from search import checkpoints
from search.beside import Beside, trainings
from search.checkpoints import InFolder, State
from search.cli import main
from search.config import SearchConfig
from search.engines.local import Local
from search.finals import Finalist, Finals
from search.task import build_task
from search.train import FINETUNE, Recipe, train
from search.trial import Climb, Failure, FinalJob, FinalOutcome, Training
from spaces import Budget

WAYS = ("magnitude", "ternary")


class Engine(Local):
    """The local engine, last job first; it remembers the jobs, and may fail or be cut short."""

    def __init__(self, cut: int | None = None, failing: int | None = None) -> None:
        super().__init__()
        self.asked: list[FinalJob] = []
        self.cut, self.failing = cut, failing

    def finals(
        self, climb: Climb, jobs: Sequence[FinalJob]
    ) -> Iterator[tuple[FinalJob, FinalOutcome]]:
        self.asked += jobs
        for number, (job, outcome) in enumerate(super().finals(climb, jobs[::-1])):
            if number == self.cut:
                raise KeyboardInterrupt
            failure = Failure("kind", "bad luck") if number == self.failing else None
            yield job, replace(outcome, failure=failure)


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Climb:
    cache = Path(tmp_path_factory.mktemp("cache"))
    task = build_task(train_images=128, baseline_epochs=2, cache=cache, device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])
    budgets = ("0.5", "0.3")
    asked = {"budget": budgets, "final_epochs": 1, "final_seeds": 2, "seed": 5, "beside": WAYS}
    config = SearchConfig.of(criterion="l1", **asked)
    return Climb(task, space, {"l1": prune_ops.normalised(scores["l1"])}, config)


@pytest.fixture(scope="module")
def finals(climb: Climb, tmp_path_factory: pytest.TempPathFactory) -> list[FinalRecord]:
    """The baseline, a best policy at each of two budgets, and uniform widths."""
    half, third = Budget.parse("0.5"), Budget.parse("0.3")
    first, second = climb.space.uniform(0.4), climb.space.uniform(0.3)
    contenders = [
        Finalist("trial 7", first, "l1", half, 7, best=True),
        Finalist("uniform@0.5", climb.space.uniform(0.5), "l1", half),
        Finalist("trial 8", second, "l1", third, 8, best=True),
    ]
    models = tmp_path_factory.mktemp("models")
    return Finals(contenders, climb, models, (), lambda _: None).run(Local(), lambda _: None)


class Kept:
    def __init__(self) -> None:
        self.records: list[BesideRecord] = []
        self.shown = 0

    def keep(self, records: list[BesideRecord]) -> None:
        self.records = records

    def show(self) -> None:
        self.shown += 1


@pytest.fixture(scope="module")
def whole(climb: Climb, finals: list[FinalRecord]) -> tuple[list[BesideRecord], list[FinalJob]]:
    engine = Engine()
    return Beside(finals, climb, (), lambda _: None).run(engine, lambda: None), engine.asked


def test_each_budget_has_a_sparse_network_as_large_as_the_searched_one(
    climb: Climb, finals: list[FinalRecord], whole: tuple[list[BesideRecord], list[FinalJob]]
) -> None:
    records, asked = whole
    names = ["unpruned", "trial 7", "magnitude at 0.5", "trial 8", "magnitude at 0.3", "ternary"]
    assert list(dict.fromkeys(r.name for r in records)) == names
    params = {final.name: final.params for final in finals}
    by_name = {name: [r for r in records if r.name == name] for name in names}
    for searched, sparse in (("trial 7", "magnitude at 0.5"), ("trial 8", "magnitude at 0.3")):
        assert {r.nonzero for r in by_name[searched]} == {params[searched]}
        assert {r.nonzero for r in by_name[sparse]} == {params[searched]}
        assert {r.budget for r in by_name[sparse]} == {sparse.split()[-1]}
    assert by_name["unpruned"][0].nonzero == climb.space.full_params
    for name in ("unpruned", "magnitude at 0.5", "ternary"):
        assert {(r.flops, r.flops_fraction) for r in by_name[name]} == {
            (climb.space.full_flops, 1.0)
        }
    assert [r.seed for r in by_name["ternary"]] == [5, 6]
    assert len(asked) == trainings(climb.config) == 6
    assert {job.policy for job in asked} == {climb.space.full}


def test_sizes_are_those_of_the_networks(
    climb: Climb, finals: list[FinalRecord], whole: tuple[list[BesideRecord], list[FinalJob]]
) -> None:
    found = {r.name: r for r in whole[0]}
    model = climb.task.model
    layers = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    others = 4 * (4 * norms + 10)  # scale, shift, mean and variance; the bias of the last layer
    assert found["unpruned"].bytes == 4 * sum(layers) + others
    assert found["ternary"].bytes == sum(math.ceil(n / 4) + 4 for n in layers) + others
    assert 0 < found["ternary"].nonzero < climb.space.full_params
    params = finals[1].params
    assert found["magnitude at 0.5"].bytes > 4 * params  # it must say where they belong
    assert found["magnitude at 0.5"].bytes <= 4 * params + 4 * 2 * norms + sum(
        math.ceil(n / 8) for n in layers
    )
    zeros = climb.space.full_params - params
    assert found["magnitude at 0.5"].sparsity == zeros / sum(layers)


def test_rivals_are_fine_tuned_like_the_finals(
    climb: Climb, whole: tuple[list[BesideRecord], list[FinalJob]]
) -> None:
    job = next(
        j for j in whole[1] if j.training and j.training.compression == Compression("ternary")
    )
    usual = climb.in_mode(climb.space.full, 1)
    assert job == FinalJob(
        climb.space.full, 5, replace(usual, compression=Compression("ternary")), keep=False
    )
    record = next(r for r in whole[0] if r.name == "ternary" and r.seed == 5)
    alone = climb.final(job)
    assert (alone.val_accuracy, alone.test_accuracy) == (record.val_accuracy, record.test_accuracy)
    assert alone.weights == {}


def test_where_a_run_trains_from_scratch_rivals_are_fine_tuned_all_the_same(
    climb: Climb, finals: list[FinalRecord]
) -> None:
    scratch = replace(climb, config=climb.config.having(train="scratch-b", lr=0.3))
    engine = Engine(cut=0)
    with pytest.raises(KeyboardInterrupt):
        Beside(finals, scratch, (), lambda _: None).run(engine, lambda: None)
    how = engine.asked[0].training
    assert how is not None
    assert (how.recipe, how.epochs, how.scratch) == (FINETUNE.suited_to(128), 1, False)


def test_cut_short_it_goes_on_with_what_was_kept(
    climb: Climb, finals: list[FinalRecord], whole: tuple[list[BesideRecord], list[FinalJob]]
) -> None:
    kept, engine = Kept(), Engine()
    with pytest.raises(KeyboardInterrupt):
        Beside(finals, climb, (), kept.keep).run(Engine(cut=4), kept.show)
    known = [BesideRecord.from_json(record.to_json()) for record in kept.records]
    assert known == kept.records
    assert Beside(finals, climb, known, kept.keep).run(engine, kept.show) == whole[0]
    assert engine.asked == whole[1][:2]
    assert kept.shown == 4 + 6
    assert kept.records == whole[0]


def test_what_fails_and_what_cannot_be_is_left_out_and_told_of(
    climb: Climb, finals: list[FinalRecord]
) -> None:
    tiny = replace(finals[1], params=500)
    beside = Beside([finals[0], tiny], climb, (), lambda _: None)
    records = beside.run(Engine(failing=1), lambda: None)
    assert [(r.name, r.seed) for r in records if r.name == "ternary"] == [("ternary", 6)]
    others = climb.space.full_params - sum(
        w.numel() for w in prune_ops.layer_weights(climb.task.model)
    )
    assert beside.failures == [
        "magnitude at 0.5 was left out: it must have the 500 parameters of trial 7, but biases and "
        f"all else that cannot become zero have {others:,}",
        "ternary could not be trained with seed 5: bad luck",
    ]


def test_what_two_budgets_share_is_trained_once(climb: Climb, finals: list[FinalRecord]) -> None:
    only = replace(climb, config=climb.config.having(beside=("magnitude",)))
    twin = replace(finals[3], params=finals[1].params)
    engine = Engine()
    records = Beside([finals[1], twin], only, (), lambda _: None).run(engine, lambda: None)
    sparse = [r for r in records if r.way == "magnitude"]
    assert [(r.budget, r.seed) for r in sparse] == [("0.5", 5), ("0.5", 6), ("0.3", 5), ("0.3", 6)]
    assert sparse[0].test_accuracy == sparse[2].test_accuracy
    assert len(engine.asked) == len(results.beside.trainings(records)) == 2


@pytest.mark.parametrize("compression", [Compression("magnitude", 0.8), Compression("ternary")])
def test_the_weights_stay_compressed_through_training_and_the_task_is_untouched(
    climb: Climb, compression: Compression
) -> None:
    before = {name: value.clone() for name, value in climb.task.model.state_dict().items()}
    how = Training(Recipe(lr=0.05), 2, compression=compression)
    network = climb.trained(climb.space.full, how, seed=0)
    assert all(torch.equal(value, before[n]) for n, value in climb.task.model.state_dict().items())
    assert sorted(network.state_dict()) == sorted(before)
    start = prune_ops.layer_weights(
        prune_ops.without_parametrization(compression.of(climb.task.model))
    )
    for weight, was in zip(prune_ops.layer_weights(network), start, strict=True):
        assert not torch.equal(weight, was)
        if compression.way == "ternary":
            assert weight.unique().numel() == 3
        else:
            assert torch.equal(weight == 0, was == 0)


@pytest.mark.parametrize("compression", [Compression("magnitude", 0.8), Compression("ternary")])
def test_a_training_cut_short_goes_on_from_its_checkpoint(
    climb: Climb, compression: Compression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Training(Recipe(lr=0.05), 2, compression=compression)
    whole = climb.trained(climb.space.full, how, seed=0)
    save = InFolder.save

    def save_and_cut(self: InFolder, key: str, state: State) -> None:
        save(self, key, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(InFolder, "save", save_and_cut)
    kept = replace(climb, checkpoints=InFolder(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        kept.trained(climb.space.full, how, seed=0)
    resumed = kept.trained(climb.space.full, how, seed=0)  # a second cut would raise here
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_step_moves_the_shadow_weights_as_it_moves_plain_ternary_ones(climb: Climb) -> None:
    recipe = Recipe(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    small = Compression("ternary").of(climb.task.model)
    plain = prune_ops.without_parametrization(small)
    shadow = small.blocks[1].conv1.parametrizations.weight.original  # type: ignore[union-attr]
    weight = plain.get_parameter("blocks.1.conv1.weight")
    apart = (shadow - weight).detach().clone()
    for network in (small, plain):
        train(network, climb.task.train, recipe, epochs=0, seed=3, device=climb.task.device)
    assert not torch.equal(
        weight, prune_ops.without_parametrization(small).get_parameter("blocks.1.conv1.weight")
    )
    torch.testing.assert_close(shadow - weight, apart)


OPTIONS = [
    *("--trials", "2", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "2"),
    *("--repeats", "0", "--train-images", "128", "--beside", "magnitude", "ternary"),
    *("--name", "beside"),
]


def test_on_the_command_line_and_after_an_interruption_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: list[FinalJob] = []
    final = Climb.final

    def train_and_tell(self: Climb, job: FinalJob) -> FinalOutcome:
        jobs.append(job)
        return final(self, job)

    def train_three(self: Climb, job: FinalJob) -> FinalOutcome:
        if len([done for done in jobs if done.training]) == 3:
            raise KeyboardInterrupt
        return train_and_tell(self, job)

    monkeypatch.setattr(Climb, "final", train_three)
    assert main([*OPTIONS, "--runs-dir", str(tmp_path)]) == 130
    assert "interrupted; go on with: python search.py" in capsys.readouterr().err
    begun = results.load(tmp_path / "beside").beside
    assert begun["way"].tolist() == [
        *("unpruned", "channels", "channels"),
        *("magnitude", "magnitude", "ternary"),
    ]
    monkeypatch.setattr(Climb, "final", train_and_tell)
    assert main(["--resume", "--runs-dir", str(tmp_path)]) == 0
    assert len(jobs) == len(set(jobs))
    assert len([job for job in jobs if job.training]) == 4
    run = results.load(tmp_path / "beside")
    assert run.beside["name"].tolist()[-4:] == ["magnitude at 0.5"] * 2 + ["ternary"] * 2
    assert len(pd.read_csv(run.folder / "beside.csv")) == len(run.others) == 1 + 2 + 4
    networks = len({f.policy for f in run.finals[1:]})
    assert run.provenance["test_reads"] == 1 + 2 * networks + 4
    assert "Beside other ways to compress" in (run.folder / "report.html").read_text()
    assert "--beside magnitude ternary" in (run.folder / "report.md").read_text()


def test_without_being_asked_for_nothing_is_set_beside() -> None:
    assert trainings(SearchConfig()) == 0
    assert trainings(SearchConfig.of(beside=["magnitude"], budget=[0.5, 0.3])) == 6
    assert trainings(SearchConfig.of(beside=WAYS, final_seeds=1)) == 2
