"""Compression baselines: what is trained and how, and nothing twice."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from trainings import Killed, Remembering, Store

import prune_ops
import results
import spaces
from prune_ops import Compression
from results import CompressionBaseline, FinalRecord
from results.record import Candidate
from results.training import TrainingSpec
from search.cli import main
from search.config import SearchConfig
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import Failure, TrainingJob, TrainingResult
from search.plans.compression_baselines import CompressionBaselines, expected
from search.plans.finals import Finalist, Finals
from search.task.building import build_task
from search.training import checkpoints
from search.training.checkpoints import InFolder, State
from search.training.loop import FINETUNE, Recipe, train
from spaces import Budget

WAYS = ("magnitude", "ternary")


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    cache = Path(tmp_path_factory.mktemp("cache"))
    task = build_task("digits_cnn", train_images=128, baseline_epochs=2, cache=cache, device="cpu")
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])
    budgets = ("0.5", "0.3")
    asked = {
        "budget": budgets,
        "final_epochs": 1,
        "final_seeds": 2,
        "seed": 5,
        "compression_baselines": WAYS,
    }
    config = SearchConfig.of(criterion="l1", **asked)
    return Evaluator(
        task=task,
        space=space,
        scores={"l1": prune_ops.normalised(scores["l1"])},
        config=config,
    )


@pytest.fixture(scope="module")
def finals(evaluator: Evaluator) -> list[FinalRecord]:
    """The baseline, a best policy at each of two budgets, and uniform widths."""
    half, third = Budget.parse("0.5"), Budget.parse("0.3")
    first, second = evaluator.space.uniform(0.4), evaluator.space.uniform(0.3)
    contenders = [
        Finalist("trial 7", Candidate(first, "l1"), half, 7, best=True),
        Finalist("uniform@0.5", Candidate(evaluator.space.uniform(0.5), "l1"), half),
        Finalist("trial 8", Candidate(second, "l1"), third, 8, best=True),
    ]
    return Store().carry_out(Finals(contenders, evaluator), evaluator, Local())


Whole = tuple[list[CompressionBaseline], list[TrainingJob]]


@pytest.fixture(scope="module")
def whole(evaluator: Evaluator, finals: list[FinalRecord]) -> Whole:
    engine = Remembering()
    plan = CompressionBaselines(finals, evaluator)
    return Store().carry_out(plan, evaluator, engine), engine.asked


def test_each_budget_has_a_sparse_network_as_large_as_the_searched_one(
    evaluator: Evaluator,
    finals: list[FinalRecord],
    whole: Whole,
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
    assert by_name["unpruned"][0].nonzero == evaluator.space.full_params
    for name in ("unpruned", "magnitude at 0.5", "ternary"):
        assert {(r.flops, r.flops_fraction) for r in by_name[name]} == {
            (evaluator.space.full_flops, 1.0)
        }
    assert [r.seed for r in by_name["ternary"]] == [5, 6]
    assert len(asked) == len(expected(evaluator)) == 6
    assert {job.candidate.policy for job in asked} == {evaluator.space.full}


def test_sizes_are_those_of_the_networks(
    evaluator: Evaluator,
    finals: list[FinalRecord],
    whole: Whole,
) -> None:
    found = {r.name: r for r in whole[0]}
    model = evaluator.task.model
    layers = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    norms = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    others = 4 * (4 * norms + 10)  # scale, shift, mean and variance; the bias of the last layer
    assert found["unpruned"].bytes == 4 * sum(layers) + others
    assert found["ternary"].bytes == sum(math.ceil(n / 4) + 4 for n in layers) + others
    assert 0 < found["ternary"].nonzero < evaluator.space.full_params
    params = finals[1].params
    assert found["magnitude at 0.5"].bytes > 4 * params  # it must say where they belong
    assert found["magnitude at 0.5"].bytes <= 4 * params + 4 * 2 * norms + sum(
        math.ceil(n / 8) for n in layers
    )
    zeros = evaluator.space.full_params - params
    assert found["magnitude at 0.5"].sparsity == zeros / sum(layers)


def test_they_are_fine_tuned_like_the_finals(evaluator: Evaluator, whole: Whole) -> None:
    job = next(job for job in whole[1] if job.spec.way == "ternary")
    usual = evaluator.specs.in_mode(evaluator.space.full, 1)
    assert job.spec == replace(usual, way="ternary")
    record = next(r for r in whole[0] if r.name == "ternary" and r.seed == job.seed)
    alone = evaluator.train_final(job)
    assert (alone.val_accuracy, alone.test_accuracy) == (record.val_accuracy, record.test_accuracy)
    assert alone.weights == {}


def test_where_a_run_trains_from_scratch_they_are_fine_tuned_all_the_same(
    evaluator: Evaluator, finals: list[FinalRecord]
) -> None:
    config = evaluator.config.having(train="scratch-b", lr=0.3)
    scratch = replace(evaluator, config=config)
    spec = CompressionBaselines(finals, scratch).jobs[0].spec
    assert (spec.epochs, spec.scratch) == (1, False)
    assert scratch.specs.recipe(spec) == FINETUNE.suited_to(128)


def test_cut_short_it_goes_on_with_what_was_kept(
    evaluator: Evaluator, finals: list[FinalRecord], whole: Whole
) -> None:
    store, engine, plan = Store(), Remembering(), CompressionBaselines(finals, evaluator)
    with pytest.raises(Killed):
        store.carry_out(plan, evaluator, Remembering(cut=4))
    assert store.carry_out(plan, evaluator, engine) == whole[0]
    assert engine.asked == whole[1][:2]
    assert store.ticks == 4 + 2
    assert store.rows[-1] == whole[0]


def test_what_fails_and_what_cannot_be_is_left_out_and_told_of(
    evaluator: Evaluator, finals: list[FinalRecord]
) -> None:
    tiny = replace(finals[1], params=500)
    plan, store = CompressionBaselines([finals[0], tiny], evaluator), Store()

    def fails(job: TrainingJob) -> Failure | None:
        return Failure("diverged", "bad luck") if job.seed == 5 else None

    records = store.carry_out(plan, evaluator, Remembering(fails=fails))
    assert [(r.name, r.seed) for r in records if r.name == "ternary"] == [("ternary", 6)]
    rest = evaluator.space.full_params - sum(
        w.numel() for w in prune_ops.layer_weights(evaluator.task.model)
    )
    assert plan.failures(store.trainer(evaluator, Local()).known) == [
        "magnitude at 0.5 was left out: it must have the 500 parameters of trial 7, but biases and "
        f"all else that cannot become zero have {rest:,}",
        "ternary could not be trained with seed 5: bad luck",
    ]


def test_what_two_budgets_share_is_trained_once(
    evaluator: Evaluator, finals: list[FinalRecord]
) -> None:
    only = replace(evaluator, config=evaluator.config.having(compression_baselines=("magnitude",)))
    twin = replace(finals[3], params=finals[1].params)
    engine = Remembering()
    records = Store().carry_out(CompressionBaselines([finals[1], twin], only), only, engine)
    sparse = [r for r in records if r.way == "magnitude"]
    assert [(r.budget, r.seed) for r in sparse] == [("0.5", 5), ("0.5", 6), ("0.3", 5), ("0.3", 6)]
    assert sparse[0].test_accuracy == sparse[2].test_accuracy
    assert len(engine.asked) == 2


@pytest.mark.parametrize("compression", [Compression("magnitude", 0.8), Compression("ternary")])
def test_the_weights_stay_compressed_through_training_and_the_task_is_untouched(
    evaluator: Evaluator, compression: Compression
) -> None:
    before = {name: value.clone() for name, value in evaluator.task.model.state_dict().items()}
    how = TrainingSpec(0.05, 2, way=compression.way, zeros=compression.zeros)
    network = evaluator.trained(Candidate(evaluator.space.full), how, seed=0)
    assert all(
        torch.equal(value, before[n]) for n, value in evaluator.task.model.state_dict().items()
    )
    assert sorted(network.state_dict()) == sorted(before)
    start = prune_ops.layer_weights(
        prune_ops.without_parametrization(compression.of(evaluator.task.model))
    )
    for weight, was in zip(prune_ops.layer_weights(network), start, strict=True):
        assert not torch.equal(weight, was)
        if compression.way == "ternary":
            assert weight.unique().numel() == 3
        else:
            assert torch.equal(weight == 0, was == 0)


@pytest.mark.parametrize("compression", [Compression("magnitude", 0.8), Compression("ternary")])
def test_a_training_cut_short_goes_on_from_its_checkpoint(
    evaluator: Evaluator, compression: Compression, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = TrainingSpec(0.05, 2, way=compression.way, zeros=compression.zeros)
    whole = evaluator.trained(Candidate(evaluator.space.full), how, seed=0)
    save = InFolder.save

    def save_and_cut(self: InFolder, key: str, state: State) -> None:
        save(self, key, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(InFolder, "save", save_and_cut)
    kept = replace(evaluator, checkpoints=InFolder(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        kept.trained(Candidate(evaluator.space.full), how, seed=0)
    resumed = kept.trained(
        Candidate(evaluator.space.full), how, seed=0
    )  # a second cut would raise here
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_step_moves_the_shadow_weights_as_it_moves_plain_ternary_ones(
    evaluator: Evaluator,
) -> None:
    recipe = Recipe(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    small = Compression("ternary").of(evaluator.task.model)
    plain = prune_ops.without_parametrization(small)
    shadow = small.blocks[1].conv1.parametrizations.weight.original  # type: ignore[union-attr]
    weight = plain.get_parameter("blocks.1.conv1.weight")
    apart = (shadow - weight).detach().clone()
    for network in (small, plain):
        train(network, evaluator.task.train, recipe, epochs=0, seed=3, device=evaluator.task.device)
    assert not torch.equal(
        weight, prune_ops.without_parametrization(small).get_parameter("blocks.1.conv1.weight")
    )
    torch.testing.assert_close(shadow - weight, apart)


OPTIONS = [
    *("--trials", "2", "--rungs", "1", "--final-epochs", "1", "--final-seeds", "2"),
    *("--repeats", "0", "--train-images", "128", "--compression-baselines", "magnitude", "ternary"),
    *("--name", "beside", "--no-gains", "--lr", "0.005"),
]


def test_on_the_command_line_and_after_an_interruption_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs: list[TrainingJob] = []
    train_final = Evaluator.train_final

    def train_and_tell(self: Evaluator, job: TrainingJob) -> TrainingResult:
        jobs.append(job)
        return train_final(self, job)

    def train_three(self: Evaluator, job: TrainingJob) -> TrainingResult:
        if len([done for done in jobs if done.spec.way]) == 3:
            raise KeyboardInterrupt
        return train_and_tell(self, job)

    monkeypatch.setattr(Evaluator, "train_final", train_three)
    assert main([*OPTIONS, "--runs-dir", str(tmp_path)]) == 130
    assert "interrupted; go on with: python search.py" in capsys.readouterr().err
    begun = results.load(tmp_path / "beside").beside
    assert begun["way"].tolist() == [
        *("unpruned", "channels", "channels"),
        *("magnitude", "magnitude", "ternary"),
    ]
    monkeypatch.setattr(Evaluator, "train_final", train_and_tell)
    assert main(["--resume", "--runs-dir", str(tmp_path)]) == 0
    assert len(jobs) == len(set(jobs))
    assert len([job for job in jobs if job.spec.way]) == 4
    run = results.load(tmp_path / "beside")
    assert run.beside["name"].tolist()[-4:] == ["magnitude at 0.5"] * 2 + ["ternary"] * 2
    assert len(pd.read_csv(run.folder / "beside.csv")) == len(run.others) == 1 + 2 + 4
    networks = len({f.policy for f in run.finals[1:]})
    assert run.provenance.test_reads == 1 + 2 * networks + 4
    assert "Other ways to compress" in (run.folder / "report.html").read_text()
    assert "--compression-baselines magnitude ternary" in (run.folder / "report.md").read_text()


def test_unless_asked_for_none_is_trained(evaluator: Evaluator) -> None:
    def trainings(**options: Any) -> int:
        asked = {"criterion": "l1", **options}
        return len(expected(replace(evaluator, config=SearchConfig.of(**asked))))

    assert trainings() == 0
    assert trainings(compression_baselines=["magnitude"], budget=[0.5, 0.3]) == 16
    assert trainings(compression_baselines=WAYS, final_seeds=1) == 2
