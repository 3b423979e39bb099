"""Beginning a run once for all its processes, and refusing those that would run another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from sharer import HALF
from torch import nn

from prune_ops import GreedyScores
from search import models
from search.config import SearchConfig
from search.folder import Folder
from search.policies.sampler import BudgetSampler
from search.policies.samplers import Plan, make
from search.policies.starts import Start
from search.sharing import lease, timing
from search.sharing.storage import share_study
from search.study import network as identity
from search.study.network import fingerprint
from search.study.open import study_of, unchanged
from search.task.building import build_task
from spaces import Space, UserError

SCORES = {"l1": {"conv1": torch.tensor([0.1, 0.2, 1 / 3])}}
NETWORK = {
    "groups": {"conv1": [8, 16]},
    "flops": 100,
    "graph": "0e",
    "torch": "2.14",
    "images": [1, 2, 3],
    "weights": "abc",
}


@dataclass
class Joining:
    """Joins the study ``mine`` as a process would, and remembers what it was asked for."""

    url: str
    runs: Path
    space: Space
    scored: int = 0

    def __call__(
        self, name: str = "a", *, network: dict[str, Any] = NETWORK, **options: Any
    ) -> Any:
        config = SearchConfig.of(name="mine", storage=self.url, **options)
        folder = Folder(self.runs / name, config)
        sampler = BudgetSampler(make("random", Plan(0, 8)), self.space, [HALF], seed=0)
        with (
            folder.locked(),
            share_study(self.url, "mine", folder.owner, folder.path / "u", sampler) as opened_study,
        ):
            study = study_of(folder)
            scores = study.begin(opened_study, network, self._score, self._starts, print)
            return scores, [trial.user_attrs["origin"] for trial in opened_study.study.trials]

    def _score(self) -> Any:
        self.scored += 1
        return SCORES

    def _starts(self, scores: Any) -> list[Start]:
        assert list(scores) == ["l1"]
        return [Start(self.space.uniform(HALF), HALF, "uniform")]


@pytest.fixture
def join(tmp_path: Path, space: Space) -> Joining:
    return Joining(f"sqlite:///{tmp_path}/shared.db", tmp_path, space)


def test_the_first_one_begins_and_all_prune_by_its_scores(join: Joining) -> None:
    for name in ("a", "b", "a"):
        scores, origins = join(name)
        assert torch.equal(scores["l1"]["conv1"], SCORES["l1"]["conv1"])
        assert origins == ["uniform"]
    assert join.scored == 1


def test_greedy_scores_stay_greedy_in_the_folder_and_in_the_study(
    join: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = torch.tensor([[5.0, 1.0], [2.0, 3.0]])
    greedy = GreedyScores(
        {"a": torch.tensor([1.0, 3.0]), "b": matrix.sum(1)},
        {"a": torch.tensor([1.0, 3.0]), "b": torch.zeros(2)},
        {"a": {}, "b": {"a": matrix}},
    )
    monkeypatch.setattr(join, "_score", lambda: {"l1": greedy})
    found = [join(name)[0]["l1"] for name in ("a", "b")]
    found.append(Folder(join.runs / "a", SearchConfig()).scores(pytest.fail)["l1"])
    for scores in found:
        assert {name: values.tolist() for name, values in scores.items()} == {
            "a": [1, 3],
            "b": [6, 5],
        }
        assert scores.given("b", {"a": np.array([1])}).tolist() == [1, 3]


def test_another_takes_over_from_one_that_died_over_it(
    join: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "DEAD_AFTER_S", 0.2)

    def killed(_scores: Any) -> list[Start]:
        raise SystemExit

    monkeypatch.setattr(lease.Lease, "drop", lambda _: None)  # a killed process drops nothing
    monkeypatch.setattr(join, "_starts", killed)
    with pytest.raises(SystemExit):
        join("dies")
    monkeypatch.undo()
    monkeypatch.setattr(timing, "DEAD_AFTER_S", 0.2)
    assert join("lives")[1] == ["uniform"]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"weights": "abd"}, "its weights differ .* trained here they came out otherwise"),
        ({"flops": 99, "images": [1, 2, 4]}, "its flops and images differ .* the same --data"),
        (
            {"graph": "0f"},
            r"its graph \(another activation, say\) differ .* same code of the model",
        ),
    ],
)
def test_another_network_is_refused(join: Joining, network: dict[str, Any], said: str) -> None:
    join()
    with pytest.raises(UserError, match=said):
        join("b", network=NETWORK | network)


def test_graphs_of_two_versions_of_torch_are_not_compared(join: Joining) -> None:
    join()
    join("b", network=NETWORK | {"graph": "0f", "torch": "2.15"})
    with pytest.raises(UserError, match="its weights differ"):
        join("c", network=NETWORK | {"graph": "0f", "torch": "2.15", "weights": "abd"})


def test_what_an_older_version_did_not_store_is_not_compared(join: Joining) -> None:
    older = {name: NETWORK[name] for name in ("groups", "flops", "images", "weights")}
    first = join(network=older)
    assert join("b")[1] == first[1] == ["uniform"]
    assert join.scored == 1


def test_another_config_is_refused_before_anything_is_built(join: Joining) -> None:
    join()
    config = SearchConfig.of(name="mine", storage=join.url, seed=1, workers=2)
    with pytest.raises(UserError, match=r"begun with another: --seed 0 there, 1 here; choose"):
        study_of(Folder(join.runs / "b", config)).check()
    study_of(Folder(join.runs / "b", config.having(seed=0))).check()  # workers may differ
    study_of(Folder(join.runs / "b", config.having(name="new"))).check()


def test_a_shared_run_is_extended_once_for_all_its_processes(join: Joining) -> None:
    join(trials=4)
    with pytest.raises(UserError, match=r"--trials 4 there, 6 here; choose another --name"):
        join("b", trials=6)
    for name in ("a", "b", "a"):
        join(name, trials=6, resume=True)
    (study,) = optuna.get_all_study_summaries(join.url)
    assert study.user_attrs["begun"]["config"]["policies"]["trials"] == 6
    assert [one["trials"] for one in study.user_attrs["extended"]] == [4]
    assert join.scored == 1
    for resume in (False, True):
        with pytest.raises(UserError, match=r"6 there, 4 here; it was extended: add --resume --tr"):
            join("c", trials=4, resume=resume)


def test_a_study_that_no_search_began_is_refused(join: Joining, space: Space) -> None:
    sampler = BudgetSampler(make("random", Plan(0, 8)), space, [HALF], seed=0)
    with share_study(join.url, "mine", "here:a", join.runs, sampler) as opened_study:
        opened_study.study.ask()
    with pytest.raises(UserError, match="'mine' is a study that no search began"):
        join()
    config = SearchConfig.of(name="mine", storage=join.url)
    assert study_of(Folder(join.runs, config)).network() == {}


@dataclass
class Alone:
    """Begins or resumes the run in its folder as the only process would."""

    folder: Folder
    space: Space
    scored: int = 0

    def __call__(self, *, fails: bool = False, **network: Any) -> Any:
        def score() -> Any:
            if fails:
                raise ZeroDivisionError
            self.scored += 1
            return SCORES

        study = study_of(self.folder)
        with self.folder.locked(), study.open() as opened_study:
            study.begin(opened_study, NETWORK | network, score, self._starts, print)
            return [trial.user_attrs["origin"] for trial in opened_study.study.trials]

    def _starts(self, _scores: Any) -> list[Start]:
        return [Start(self.space.uniform(HALF), HALF, "uniform")]


@pytest.fixture
def alone(tmp_path: Path, space: Space) -> Alone:
    return Alone(Folder(tmp_path / "mine", SearchConfig.of(name="mine")), space)


def test_a_run_of_one_process_goes_on_with_its_network(
    alone: Alone, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alone() == alone() == ["uniform"]
    assert alone.scored == 1
    assert not capsys.readouterr().out


@pytest.mark.parametrize("damaged", [False, True])
def test_scores_that_are_lost_are_computed_again_and_told(
    alone: Alone, damaged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    alone()
    path = alone.folder.path / "scores.pt"
    path.write_bytes(path.read_bytes()[:100]) if damaged else path.unlink()
    assert alone() == ["uniform"]
    assert alone.scored == 2
    said = f"scores.pt in {path.parent} is missing or damaged: channels scored again\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"graph": "0f"}, r"its graph \(another activation, say\); restore the model's code, or"),
        ({"groups": {"conv1": [8]}, "flops": 9}, "its groups and flops; restore the model's code"),
        ({"images": [1, 2, 4], "weights": "abd"}, "its images and weights; restore the data, or"),
        ({"weights": "abd"}, "its weights; trained here again they came out otherwise, or choose"),
    ],
)
def test_a_run_of_one_process_refuses_another_network(
    alone: Alone, network: dict[str, Any], said: str
) -> None:
    alone()
    with pytest.raises(UserError, match=said) as caught:
        alone(**network)
    assert "\n" not in str(caught.value)
    assert alone() == ["uniform"]


def test_a_network_that_could_not_be_scored_may_be_mended(alone: Alone) -> None:
    with pytest.raises(ZeroDivisionError):
        alone(fails=True)
    assert alone(graph="0f") == ["uniform"]
    with pytest.raises(UserError, match="its graph"):
        alone()


@pytest.mark.parametrize("shared", [False, True])
def test_other_code_is_refused_before_there_are_weights(
    alone: Alone, join: Joining, space: Space, shared: bool
) -> None:
    here = identity.of_code(space)
    join(network=NETWORK | here)
    alone(**here)
    folder = alone.folder
    if shared:
        folder = Folder(join.runs / "b", SearchConfig.of(name="mine", storage=join.url))
    model = nn.Identity()
    unchanged(folder)(model, space)
    with pytest.raises(UserError, match=r"its graph \(another activation, say\)"):
        unchanged(folder)(model, replace(space, fingerprint="0f"))
    unchanged(Folder(join.runs / "new", SearchConfig.of(name="new")))(model, space)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_dtype_have_a_fingerprint(
    tmp_path: Path, space: Space, dtype: torch.dtype
) -> None:
    task = build_task("digits_cnn", "digits", baseline_epochs=0.1, cache=tmp_path, device="cpu")
    ours = fingerprint(replace(task, model=task.model.to(dtype)), space)
    task.model.get_parameter("conv1.weight").data[0] += 1
    assert fingerprint(task, space)["weights"] != ours["weights"]


def test_a_fingerprint_tells_weights_apart_to_the_last_bit(tmp_path: Path, space: Space) -> None:
    torch.manual_seed(0)
    model = models.build("digits_cnn", classes=10, in_channels=1)
    torch.save(model.state_dict(), tmp_path / "digits.pt")
    task = build_task("digits_cnn", "digits", weights=tmp_path / "digits.pt")
    ours = fingerprint(task, space)
    assert fingerprint(task, space) == ours
    assert ours["flops"] == space.full_flops
    assert ours["images"] == [len(task.train), len(task.validation), len(task.test)]
    with torch.no_grad():
        task.model.get_parameter("conv1.weight")[0, 0, 0, 0] += 1e-7
    assert [name for name, value in fingerprint(task, space).items() if value != ours[name]] == [
        "weights"
    ]
