"""Distillation: its loss by hand, what it leaves alone, where it is used, and what it costs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from evaluators import IMAGES, own_job, toy
from torch import Tensor, nn
from trainings import Remembering, Store

import prune_ops
import search
import spaces
from results.record import Candidate
from results.spending import spent
from results.training import TrainingSpec, training_flops
from search.config import SearchConfig
from search.data.splits import TensorSplit
from search.evaluation import evaluator as evaluation
from search.evaluation.evaluator import Evaluator
from search.forecast import Speed
from search.plans.compression_baselines import expected
from search.task.building import build_task
from search.task.fit import check_teacher
from search.task.task import Task
from search.training import checkpoints
from search.training.checkpoints import InFolder, State
from search.training.distillation import Teacher
from search.training.layerwise import layer_flops, stages
from search.training.loop import Recipe, train
from search.training.specs import flops_of_training
from search.training.trainer import NO_WEIGHTS
from spaces import ModelError

CPU = torch.device("cpu")
RECIPE = Recipe(lr=0.05, batch_size=8)
HOW = {"distill": 0.9, "temperature": 4.0}


def split(images: int = 64) -> TensorSplit:
    """Two classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % 2
    noise = torch.randint(0, 100, (images, 1, 6, 6), generator=generator)
    pixels = (noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return TensorSplit(pixels, labels, (0.4,), (0.3,))


def network(width: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    first = nn.Conv2d(1, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    return nn.Sequential(*first, nn.Dropout(0.5), nn.Flatten(), nn.Linear(16 * width, 2))


def taught(weight: float, temperature: float = 4.0, seed: int = 3) -> dict[str, Tensor]:
    teacher = Teacher(network(8, seed=9).eval(), weight, temperature)
    model = network()
    train(model, split(), RECIPE, epochs=2, seed=seed, device=CPU, teacher=teacher)
    return model.state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.5])
@pytest.mark.parametrize("weight", [0.9, 0.3, 1.0])
def test_the_loss_and_its_gradient_by_hand(weight: float, temperature: float) -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(scale=3, size=(2, 5, 4))
    targets = np.array([0, 3, 1, 1, 2])
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    entropy = -np.log(softmax(student)[np.arange(5), targets]).mean()
    divergence = (p * np.log(p / q)).sum(axis=1).mean()
    logits = torch.tensor(student, requires_grad=True)
    answers = F.log_softmax(torch.tensor(teacher) / temperature, dim=1)
    loss = Teacher(nn.Identity(), weight, temperature).loss(logits, torch.tensor(targets), answers)
    wanted = (1 - weight) * entropy + weight * temperature**2 * divergence
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    loss.backward()
    # Of KL it is (q - p) / T for each image (Hinton et al., equation 2), here times T².
    hard = (softmax(student) - np.eye(4)[targets]) / 5
    soft = temperature * (q - p) / 5
    gradient = (1 - weight) * hard + weight * soft
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-6, atol=1e-9)


def test_the_answers_are_those_of_the_teacher_at_the_temperature_without_a_graph() -> None:
    model, images = network().eval(), next(split().batches(8))[0]
    answers = Teacher(model, 0.9, 4.0).answers(images)
    assert not answers.requires_grad
    wanted = softmax(model(images).detach().numpy() / 4)
    np.testing.assert_allclose(answers.exp().numpy(), wanted, rtol=1e-5)


def test_training_is_a_plain_loop_on_the_same_augmented_batches() -> None:
    model, plain, teacher = network(), network(), network(8, seed=9).eval()
    for one in (model, plain):
        one[3].p = 0.0
    train(model, split(), RECIPE, epochs=1, seed=3, device=CPU, teacher=Teacher(teacher, 0.7, 2.0))
    optimizer = torch.optim.SGD(
        plain.parameters(), lr=1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    for step, (x, y) in enumerate(split().batches(8, augment=True, seed=3, epoch=0)):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * (step + 0.5) / 8)) / 2
        optimizer.zero_grad()
        p, logits = F.softmax(teacher(x).detach() / 2, dim=1), plain(x)
        kl = (p * (p.log() - F.log_softmax(logits / 2, dim=1))).sum(dim=1).mean()
        (0.3 * F.cross_entropy(logits, y) + 0.7 * 4 * kl).backward()
        optimizer.step()
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_of_no_weight_it_is_plain_training_bit_for_bit() -> None:
    model = network()
    train(model, split(), RECIPE, epochs=2, seed=3, device=CPU)
    assert same(taught(0.0), model.state_dict())
    assert not same(taught(0.5), model.state_dict())


def test_the_seed_settles_everything() -> None:
    once = taught(0.9)
    torch.rand(3)
    assert same(once, taught(0.9))
    assert not same(once, taught(0.9, seed=4))
    assert not same(once, taught(0.9, temperature=2.0))


def test_the_teacher_is_left_as_it_was() -> None:
    model = network(8).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = Teacher(model, 0.9, 4.0)
    train(network(), split(), RECIPE, epochs=1, seed=0, device=CPU, teacher=teacher)
    assert same(before, model.state_dict())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_with_all_weight_on_it_the_labels_do_not_matter() -> None:
    data = split()
    other = dataclasses.replace(data, labels=1 - data.labels)
    found = []
    for each in (data, other):
        model = network()
        teacher = Teacher(network(8, seed=9).eval(), 1.0, 4.0)
        train(model, each, RECIPE, epochs=1, seed=0, device=CPU, teacher=teacher)
        found.append(model.state_dict())
    assert same(*found)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    cache = tmp_path_factory.mktemp("cache")
    return build_task(
        "digits_cnn", train_images=128, baseline_epochs=3, cache=Path(cache), device="cpu"
    )


@pytest.fixture(scope="module")
def evaluator(task: Task) -> Evaluator:
    space = spaces.discover(task.model, task.example)
    scores = prune_ops.score(task.model, space, (), ["l1"])["l1"]
    config = SearchConfig.of(criterion="l1", final_epochs=1, distill=True)
    return Evaluator(task=task, space=space, scores={"l1": scores}, config=config)


def with_options(evaluator: Evaluator, **options: Any) -> Evaluator:
    return dataclasses.replace(evaluator, config=evaluator.config.having(**options))


@pytest.mark.parametrize("mode", ["finetune", "scratch-e", "scratch-b"])
def test_every_spec_of_a_run_that_distils_says_so(evaluator: Evaluator, mode: str) -> None:
    half = evaluator.space.uniform(0.5)
    asked = with_options(evaluator, train=mode, distill_temperature=2.0)
    plain = with_options(evaluator, train=mode, distill=False)
    for one, how in ((asked, (0.9, 2.0)), (plain, (0.0, 0.0))):
        specs = [one.specs.in_mode(half, 2), one.specs.final(half), one.specs.finetuning()]
        assert {(spec.distill, spec.temperature) for spec in specs} == {how}
    # Equal computation is that of the pruned network alone.
    assert asked.specs.in_mode(half, 2).epochs == plain.specs.in_mode(half, 2).epochs
    baselines = expected(with_options(evaluator, compression_baselines=["ternary"]))
    assert {(job.spec.distill, job.spec.temperature) for job in baselines} == {(0.9, 4.0)}


def test_a_rung_and_a_final_are_taught_by_the_unpruned_network(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers: list[Teacher | None] = []

    def watched(*args: Any, **options: Any) -> None:
        teachers.append(options["teacher"])
        train(*args, **options)

    monkeypatch.setattr(evaluation, "train", watched)
    policy = evaluator.space.uniform(0.3)
    assert evaluator.evaluate_rung(Candidate(policy), 1, seed=0).failure is None
    gradual = with_options(evaluator, schedule="layerwise")
    for one in (evaluator, gradual, with_options(evaluator, train="scratch-e")):
        assert one.train_final(own_job(one, policy, 0)).failure is None
    assert len(teachers) == 3 + len(list(stages(evaluator.space, policy))) + 1
    unpruned = evaluator.task.model
    for teacher in teachers:
        assert teacher is not None
        assert (teacher.weight, teacher.temperature) == (0.9, 4.0)
        assert teacher.model is not unpruned
        assert same(teacher.model.state_dict(), unpruned.state_dict())
    teachers.clear()
    plain = with_options(evaluator, distill=False)
    assert plain.evaluate_rung(Candidate(policy), 1, seed=0).failure is None
    assert teachers == [None]


class Cut(BaseException):
    """The system kills the process."""


@dataclasses.dataclass(frozen=True)
class CutAtSave(InFolder):
    """The process is killed when something has been saved so often."""

    saves: list[str] = dataclasses.field(default_factory=list)
    most: int = 1

    def save(self, key: str, state: State) -> None:
        super().save(key, state)
        self.saves.append(key)
        if len(self.saves) == self.most:
            raise Cut


@pytest.mark.parametrize(("options", "most"), [({}, 2), ({"schedule": "layerwise"}, 3)])
def test_cut_short_it_ends_with_the_weights_of_one_that_is_not(
    evaluator: Evaluator,
    options: dict[str, Any],
    most: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    asked = with_options(evaluator, final_epochs=3, **options)
    whose = Candidate(asked.space.uniform(0.5))
    how = asked.specs.final(whose.policy)
    whole = asked.trained(whose, how, seed=2)
    cut = dataclasses.replace(asked, checkpoints=CutAtSave(tmp_path, most=most))
    with pytest.raises(Cut):
        cut.trained(whose, how, seed=2)
    kept = {file.name for file in tmp_path.iterdir()}
    plain = dataclasses.replace(asked, checkpoints=InFolder(tmp_path))
    plain.trained(whose, dataclasses.replace(how, distill=0.0, temperature=0.0), 2)
    assert kept <= {file.name for file in tmp_path.iterdir()}  # keys of its own
    resumed = dataclasses.replace(asked, checkpoints=InFolder(tmp_path)).trained(whose, how, 2)
    assert same(resumed.state_dict(), whole.state_dict())
    assert list(tmp_path.iterdir()) == []


def test_one_forward_pass_of_the_unpruned_network_is_counted_for_every_image() -> None:
    assert training_flops(500, 100, 3) == 3 * 500 * 100 * 3
    assert training_flops(500, 100, 3, teacher=1000) == (3 * 500 + 1000) * 100 * 3


@pytest.mark.parametrize("options", [{}, {"schedule": "layerwise", "layer_epochs": 2}])
def test_the_record_of_a_training_and_its_forecast_count_it(
    evaluator: Evaluator, options: dict[str, Any]
) -> None:
    space = evaluator.space
    told = toy(space, distill=True, final_epochs=3, **options)
    policy, trainer = space.uniform(0.5), Store().trainer(told, Remembering())
    job = own_job(told, policy, 0)
    list(trainer.train("finals", [job], NO_WEIGHTS))
    record = trainer.known(job)
    assert record is not None
    each = 2 if options else 0
    passes = 3 * space.flops(policy) + layer_flops(space, policy, each)
    epochs = 3 + each * len(list(stages(space, policy)))
    wanted = IMAGES * (3 * passes + epochs * space.full_flops)
    assert record.training_flops == wanted
    plain = dataclasses.replace(job.spec, distill=0.0, temperature=0.0)
    assert flops_of_training(space, policy, plain) == 3 * passes
    speed = Speed(epoch=2.0, evaluation=0.5, flops=3 * space.full_flops, test=0.5)
    seconds = speed.of_trainings([job], space, at_once=1)
    assert seconds == pytest.approx(2 * wanted / IMAGES / (3 * space.full_flops) + 2 * 0.5)


def test_two_trainings_that_are_taught_otherwise_are_not_one(evaluator: Evaluator) -> None:
    told = toy(evaluator.space)
    engine, half = Remembering(), evaluator.space.uniform(0.5)
    spec = TrainingSpec(0.1, 3)
    specs = [spec, *(dataclasses.replace(spec, distill=w, temperature=t) for w, t in PAIRS)]
    jobs = [dataclasses.replace(own_job(told, half, 0), spec=spec) for spec in specs]
    trainer = Store().trainer(told, engine)
    list(trainer.train("finals", [*jobs, *jobs], NO_WEIGHTS))
    assert engine.asked == jobs
    assert {trainer.known(job).spec for job in jobs} == set(specs)  # type: ignore[union-attr]


PAIRS = [(0.9, 4.0), (0.5, 4.0), (0.9, 2.0)]


def test_the_names_of_files_of_plain_trainings_are_those_of_older_versions() -> None:
    text = "TrainingSpec(lr=0.1, epochs=3, scratch=False, layer_epochs=0, sparsity=0.0, "
    assert repr(TrainingSpec(0.1, 3)) == f"{text}way='', zeros=0.0)"
    assert repr(TrainingSpec(0.1, 3, **HOW)) == f"{text}way='', zeros=0.0, distill=0.9, {END}"


END = "temperature=4.0)"


def out_of(model: nn.Module, change: Any) -> nn.Module:
    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            changed: Tensor = change(self.inner(x))
            return changed

    return Changed().eval()


def one_of(logits: Tensor, value: float) -> Tensor:
    """One output of one image is this value."""
    changed = logits.clone()
    changed[0, 1] = value
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda z: z * math.nan,
            "the unpruned network must give finite logits to be distilled from, but for 64 of 64 "
            "training images it gives NaN or infinity; give other weights, or do without",
        ),
        (lambda z: one_of(z, math.inf), "but for 1 of 64 training images it gives NaN or infinity"),
        (lambda z: one_of(z, -math.inf), "but for 1 of 64 training images it gives NaN or inf"),
        (
            lambda z: z.softmax(dim=1),
            "must give logits to be distilled from, but its outputs are probabilities, which are "
            "never negative and add up to 1; leave out the softmax at its end, or do without dist",
        ),
    ],
    ids=["nan", "inf", "minus inf", "softmax"],
)
def test_a_teacher_that_cannot_teach_is_one_line(task: Task, change: Any, words: str) -> None:
    other = dataclasses.replace(task, model=out_of(task.model, change))
    with pytest.raises(ModelError) as told:
        check_teacher(other)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("change", [lambda z: z, lambda z: z.log_softmax(dim=1), torch.relu])
def test_one_that_can_is_left_as_it_is(task: Task, change: Any) -> None:
    model = out_of(task.model, change).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_teacher(dataclasses.replace(task, model=model))
    assert same(before, model.state_dict())
    assert model.training


def test_a_run_that_distils_refuses_it_before_anything_is_trained(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_args: Any, **_options: Any) -> None:
        pytest.fail("something is trained")

    monkeypatch.setattr(evaluation, "train", never)
    where = {"runs_dir": str(tmp_path), "name": "run"}
    softened = nn.Sequential(spaces.copied(task.model), nn.Softmax(dim=1)).eval()
    other = dataclasses.replace(task, model=softened)
    with pytest.raises(ModelError, match="must give logits to be distilled from"):
        search.search(other, distill=True, **where)
    with pytest.raises(ModelError, match="must give logits to be distilled from"):
        search.compare(task=other, arms=("finetune", "distilled"), **where)
    assert not (tmp_path / "run").exists()


def test_policies_of_a_run_are_distilled_and_its_report_says_so(task: Task, tmp_path: Path) -> None:
    run = search.search(
        task,
        **{"budget": 0.5, "trials": 3, "starts": ("l1",), "rungs": (1,), "repeats": 1},
        **{
            "final_epochs": 1,
            "final_seeds": 1,
            "lr": 0.005,
            "compression_baselines": ("ternary",),
            "gains": False,
        },
        **{"distill": True, "distill_temperature": 2.0, "proxies": ("predicted_damage",)},
        **{"rank_by": "predicted_damage", "runs_dir": str(tmp_path), "name": "run"},
    )
    specs = {(r.spec.distill, r.spec.temperature) for r in run.training_records}
    assert specs == {(0.9, 2.0)}
    assert {r.purpose for r in run.training_records} == {
        *("repeats", "finals", "compression baselines"),
    }
    assert run.trainings[["distill", "temperature"]].drop_duplicates().values.tolist() == [[0.9, 2]]
    page = (run.folder / "report.html").read_text()
    assert "trained with distillation from the unpruned one (weight 0.9, temperature 2)" in page
    assert "one forward pass of the unpruned network more" in page
    full = run.provenance.full_flops or 0
    for record in run.training_records:
        assert record.training_flops == (3 * record.flops + full) * len(task.train)
    (rung,) = (line for line in spent(run) if line.what == "rung 1")
    trained = {r.policy: r for r in run.records if r.rung == 1}
    assert rung.flops == sum(3 * r.flops + full for r in trained.values()) * len(task.train)
