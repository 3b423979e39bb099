"""The work of a comparison on an engine: complete, kept as it comes, gone on with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from comparisons import SIX
from optuna.trial import TrialState
from runs import make_run
from trainings import Killed

from results import ARMS, Comparison, SweepPoint, TrialRecord, store
from results.contrasts import contrasts, verdict
from results.reporting import sections
from results.reporting.blocks import Bullets
from results.spending import times_tested
from search.comparison.comparer import Comparer
from search.comparison.config import FULL, STRUCTURES, CompareConfig
from search.comparison.notes import notes
from search.engines.local import Local
from search.evaluation.evaluator import Evaluator
from search.evaluation.jobs import TrainingJob, TrainingResult
from search.folder import Folder
from search.progress import Progress
from search.session import Session
from search.study.peers import OpenStudy
from search.task.prepare import Prepared
from spaces import Budget, UserError

HALF = Budget.parse("0.5")


class Counted(Local):
    """Trains in earnest, counts, and is killed after so many trainings."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.trained: list[TrainingJob] = []
        self._most = most

    def train(
        self, evaluator: Evaluator, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[TrainingJob, TrainingResult]]:
        for job, result in super().train(evaluator, jobs):
            if self._most is not None and len(self.trained) == self._most:
                raise Killed
            self.trained.append(job)
            yield job, result


ASKED = CompareConfig(
    seeds=2,
    structures=("searched", "uniform", "l1", "slimming"),
    front=1,
    finetune_epochs=1,
    base_epochs=1,
    rates=(0.03, 0.01),
    sweep_epochs=1,
)


def searched(evaluator: Evaluator) -> optuna.Study:
    """A study of one complete trial under budget 0.5."""
    space = evaluator.space
    policy = space.policy(space.project(space.widths(space.uniform(0.4)), HALF))
    flops = space.flops(policy)
    record = TrialRecord(
        number=0,
        policy=policy,
        origin="tpe",
        criterion="second_order",
        flops=flops,
        flops_fraction=flops / space.full_flops,
        params=space.params(policy),
        accuracy=(0.5, 0.6),
        epochs=(1, 3),
        state="complete",
    )
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(
        optuna.create_trial(
            state=TrialState.COMPLETE,
            values=[0.6, float(flops)],
            user_attrs={"record": record.to_json()},
        )
    )
    return study


def compare(
    evaluator: Evaluator,
    study: optuna.Study,
    engine: Local,
    folder: Path,
    asked: CompareConfig = ASKED,
    anew: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Go on with the study's comparison, as a new process would."""
    run = Prepared(
        folder=Folder(folder, evaluator.config),
        task=evaluator.task,
        space=evaluator.space,
        budgets=[HALF],
        engine=engine,
        progress=progress or Progress(),
    )
    session = Session(run=run, opened=OpenStudy(study), scores={}, evaluator=evaluator)
    Comparer(session, asked).run(anew)
    found: Comparison = store.load(study, store.COMPARISON)
    return found


@pytest.fixture(scope="module")
def whole(
    evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory
) -> tuple[optuna.Study, Counted, list[Comparison]]:
    """The study of a comparison undisturbed, who trained it, and what was kept on the way."""
    engine, kept, study = Counted(), [], searched(evaluator)

    save = store.save

    def watched(study: optuna.Study, kind: store.RecordKind, records: Any) -> None:
        if kind is store.COMPARISON:
            kept.append(records)
        save(study, kind, records)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "save", watched)
        compare(evaluator, study, engine, tmp_path_factory.mktemp("whole"))
    return study, engine, kept


@pytest.fixture(scope="module")
def comparison(whole: tuple[optuna.Study, Counted, list[Comparison]]) -> Comparison:
    found: Comparison = store.load(whole[0], store.COMPARISON)
    return found


def test_every_structure_is_there_in_every_arm_with_every_seed(
    whole: Any, comparison: Comparison, evaluator: Evaluator
) -> None:
    kept = whole[2]
    assert comparison.complete
    rows = [(r.structure, r.arm, r.seed) for r in comparison.arms]
    names = ("trial 0", "uniform", "l1", "slimming")
    assert sorted(rows) == sorted((n, a, s) for n in names for a in SIX for s in (0, 1))
    assert all(0 <= r.test_accuracy <= 1 and r.reason == "" for r in comparison.arms)
    assert Comparison.from_json(kept[-1].to_json()) == comparison
    assert not any(each.complete for each in kept[:-1])
    uniform = [r for r in comparison.arms if r.structure == "uniform"]
    assert {r.policy for r in uniform} == {evaluator.space.uniform(HALF)}


def test_no_training_is_done_twice_and_each_tested_network_counts_once(
    whole: Any, comparison: Comparison
) -> None:
    trained = whole[1].trained
    assert len(set(trained)) == len(trained)
    assert times_tested(make_run(compared=comparison)) == (0, sum(job.tested for job in trained))


def test_fine_tuning_uses_the_rate_that_the_sweep_chose(comparison: Comparison) -> None:
    (chosen,) = [p for p in comparison.sweep if p.chosen]
    assert {p.lr for p in comparison.sweep} == {0.03, 0.01}
    tuned = [r for r in comparison.arms if r.arm in ("finetune", "random-channels")]
    assert {r.lr for r in tuned} == {chosen.lr}
    assert chosen.val_accuracy == max(p.val_accuracy for p in comparison.sweep)
    assert chosen.seed not in {r.seed for r in comparison.arms}


def test_a_rate_at_the_end_of_the_range_is_said_to_be(comparison: Comparison) -> None:
    assert any("an end of its range" in note for note in comparison.notes)  # of two, both are


def test_what_the_sparse_training_took_is_kept(whole: Any, evaluator: Evaluator) -> None:
    (sparse,) = [r for r in store.load(whole[0], store.TRAININGS) if r.purpose == "sparse training"]
    assert sparse.training_flops == 3 * evaluator.space.full_flops * len(evaluator.task.train) * 1
    assert sparse.seconds > 0


def test_slimming_inherits_from_its_own_sparse_training(
    whole: Any, comparison: Comparison, evaluator: Evaluator
) -> None:
    rows = {r.arm: r for r in comparison.arms if r.structure == "slimming" and r.seed == 0}
    assert rows["finetune"].criterion == "slimming"
    assert rows["random-channels"].criterion == "random"
    (sparse,) = [job for job in whole[1].trained if job.spec.sparsity > 0]
    assert sparse.candidate.policy == evaluator.space.full
    assert (sparse.spec.scratch, sparse.spec.epochs) == (True, 1)


def test_killed_again_and_again_it_goes_on_and_ends_the_same(
    whole: Any, comparison: Comparison, evaluator: Evaluator, tmp_path: Path
) -> None:
    killed, study = [Counted(most) for most in (0, 1, 4, 20)], searched(evaluator)
    for engine in killed:
        with pytest.raises(Killed):
            compare(evaluator, study, engine, tmp_path)
    last = Counted()
    ended = compare(evaluator, study, last, tmp_path)
    assert table(ended) == table(comparison)
    trained = [job for engine in (*killed, last) for job in engine.trained]
    assert len(set(trained)) == len(trained) == len(whole[1].trained)


def table(comparison: Comparison) -> list[tuple[object, ...]]:
    return [
        (r.structure, r.arm, r.seed, r.lr, r.val_accuracy, r.test_accuracy, r.total_flops)
        for r in comparison.arms
    ]


def test_more_seeds_train_only_what_is_new(
    whole: Any, comparison: Comparison, evaluator: Evaluator, tmp_path: Path
) -> None:
    asked = replace(ASKED, seeds=3, structures=("uniform",))
    engine, study = Counted(), searched(evaluator)
    store.save(study, store.TRAININGS, store.load(whole[0], store.TRAININGS))
    store.save(study, store.COMPARISON, comparison)
    extended = compare(evaluator, study, engine, tmp_path, asked)
    assert {job.seed for job in engine.trained} == {2}
    assert {(r.structure, r.seed) for r in extended.arms} >= {("uniform", 2), ("l1", 1)}
    assert extended.sweep == comparison.sweep


def brief(evaluator: Evaluator, folder: Path, **changes: Any) -> tuple[Comparison, Counted]:
    """Uniform widths in one arm, or with these options."""
    engine = Counted()
    changes = {"arms": ("scratch-e",), "structures": ("uniform",), **changes}
    study = searched(evaluator)
    return compare(evaluator, study, engine, folder, replace(ASKED, **changes)), engine


def test_without_swept_arms_no_rate_is_sought(evaluator: Evaluator, tmp_path: Path) -> None:
    comparison, engine = brief(evaluator, tmp_path)
    assert (len(engine.trained), comparison.sweep) == (2, ())


def test_weights_of_unknown_training_are_said_to_be(evaluator: Evaluator, tmp_path: Path) -> None:
    given = replace(evaluator, task=replace(evaluator.task, base_epochs=None))
    notes = brief(given, tmp_path)[0].notes
    assert any("is not known: its training is counted as 1 epoch " in note for note in notes)


def test_a_rate_that_was_tried_alone_is_no_end_of_a_range(evaluator: Evaluator) -> None:
    for rates, said in (((0.01,), False), ((0.01, 0.03), True)):
        points = [SweepPoint("0.5", rate, 1, 3, 0.9, rate == 0.01) for rate in rates]
        told = notes(points, replace(ASKED, rates=rates), 1, evaluator)
        assert any("an end of its range" in note for note in told) == said


def test_another_surgery_and_schedule_of_the_search_are_said(
    comparison: Comparison, evaluator: Evaluator, tmp_path: Path
) -> None:
    training = replace(evaluator.config.training, surgery="scale", schedule="layerwise")
    given = replace(evaluator, config=replace(evaluator.config, training=training))
    notes = brief(given, tmp_path)[0].notes
    for said in ("went through the surgery of the search, scale", "are pruned at one stroke; the"):
        assert any(said in note for note in notes)
        assert not any(said in note for note in comparison.notes)


def test_the_arm_that_distils_is_set_against_fine_tuning(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    arms = ("finetune", "distilled")
    comparison, engine = brief(evaluator, tmp_path, arms=arms, structures=("searched",))
    assert len(engine.trained) == 2 + 2 * 2  # a rate each, then two arms with two seeds
    rate = next(point.lr for point in comparison.sweep if point.chosen)
    assert {(r.arm, r.lr, r.distill, r.temperature) for r in comparison.arms} == {
        ("finetune", rate, 0.0, 0.0),
        ("distilled", rate, 0.9, 4.0),
    }
    assert all(0 <= r.test_accuracy <= 1 for r in comparison.arms)
    (planned,) = (c for c in contrasts(comparison) if c.name == "finetune - distilled")
    assert (planned.family, planned.left) == ("planned", "fine-tuning inherited weights")
    assert planned.right == "fine-tuning inherited weights with distillation"
    assert planned.sentence in verdict(comparison)
    made = sections.section("comparison", make_run(compared=comparison)).blocks
    (lines,) = (block.lines for block in made if isinstance(block, Bullets))
    assert lines[-1].startswith("distilled: as finetune, with distillation from the unpruned netw")
    assert lines[-1].endswith("(weight 0.9, temperature 4).")
    assert not any("were distilled" in note for note in comparison.notes)


def test_that_the_search_distilled_is_said(evaluator: Evaluator) -> None:
    distilled = replace(evaluator, config=evaluator.config.having(distill=True))
    told = [*notes([], ASKED, 1, distilled)]
    assert any("the search's own trainings were distilled from the unpruned" in n for n in told)


def test_a_training_that_diverges_leaves_the_others_alone(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    comparison, _ = brief(evaluator, tmp_path, rates=(1e12, 0.01), seeds=1, arms=tuple(ARMS))
    assert [(p.lr, math.isnan(p.val_accuracy), p.chosen) for p in comparison.sweep] == [
        (1e12, True, False),
        (0.01, False, True),
    ]
    assert torch.tensor([r.test_accuracy for r in comparison.arms]).isfinite().all()


def test_anew_trains_everything_again_and_counts_what_was_read(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    study, first, second = searched(evaluator), Counted(), Counted()
    asked = replace(ASKED, arms=("scratch-e",), structures=("uniform",))
    compare(evaluator, study, first, tmp_path, asked)
    again = compare(evaluator, study, second, tmp_path, asked, anew=True)
    assert first.trained == second.trained
    assert times_tested(make_run(compared=again)) == (0, 2 + 2)


class Heard(Progress):
    """Keeps the lines that it was to print."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_what_full_would_add_is_said_and_is_what_it_adds(
    evaluator: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FULL, "seeds", 2)
    study, engine, heard = searched(evaluator), Counted(), Heard()
    small = replace(ASKED, structures=("searched", "uniform"), arms=("finetune", "scratch-e"))
    small = small.having(seeds=1)
    first = compare(evaluator, study, engine, tmp_path, small, progress=heard)
    begun = "--full would add l1, thinet, slimming, finetune-small, random-channels, scratch-b, "
    begun += "scratch-b+, distilled and 1 seed: "
    assert next(line for line in heard.lines if line.startswith("--full")).startswith(begun)
    said = re.fullmatch(re.escape(begun) + r"(\d+) trainings in about .*", first.not_compared)
    assert said
    further = Counted()
    asked = CompareConfig.asked({"full": True}, asdict(small) | {"full": False, "anew": False})
    full = compare(evaluator, study, further, tmp_path, asked)
    sparse = [job for job in further.trained if job.spec.sparsity]
    assert (len(sparse), len(further.trained) - 1) == (1, int(said[1]))
    assert not {*engine.trained} & {*further.trained}
    assert full.not_compared == ""
    assert {r.arm for r in full.arms} == {*ARMS}
    assert len({r.structure for r in full.arms}) == 5
    assert {r.seed for r in full.arms} == {0, 1}
    last = Counted()
    assert compare(evaluator, study, last, tmp_path, asked).arms == full.arms
    assert last.trained == []


def test_full_leaves_out_what_the_network_cannot_have_and_says_so(
    evaluator: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(name: str, *_: object) -> None:
        if name == "slimming":
            raise UserError("--structures slimming cannot be: no BatchNorm")

    monkeypatch.setattr("search.comparison.full.check_structure", refusing)
    heard, brief = Heard(), {"seeds": 1, "arms": ("scratch-e",), "base_epochs": 1}
    asked = replace(ASKED, structures=STRUCTURES, full=True, **brief)  # type: ignore[arg-type]
    compared = compare(evaluator, searched(evaluator), Counted(), tmp_path, asked, progress=heard)
    assert {r.structure for r in compared.arms} == {"trial 0", "uniform", "l1", "thinet"}
    why = "left out of --full: --structures slimming cannot be: no BatchNorm"
    assert why in heard.lines
    assert why in compared.notes
