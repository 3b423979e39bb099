"""``search.py solve``: a run's damages give the widths for any budget, without the network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import results
from prune_ops import SENSITIVITIES
from results import Provenance, SensitivityRecord, SpaceRecord, store
from search.cli import main
from search.config import SearchConfig
from search.options import flag
from search.solving import training_command
from spaces import Budget, Policy, Space, UserError

REPAIRED = SENSITIVITIES["repaired_damage"]
BUDGETS = ("0.9", "0.5", "0.31", "0.1", "400K")
Damages = dict[str, torch.Tensor]
MakeRun = Callable[..., Path]


@pytest.fixture
def damages(space: Space) -> Damages:
    """As measured: they fall with the width, unevenly."""
    rng = np.random.default_rng(0)
    return {
        g.name: torch.tensor(np.sort(rng.exponential(1, len(REPAIRED.widths(g))))[::-1].copy())
        for g in space.groups
    }


def record(
    space: Space, damages: Damages, name: str = "repaired_damage"
) -> list[SensitivityRecord]:
    return [
        SensitivityRecord(
            *(name, "divergence", g.name, g.channels, REPAIRED.widths(g)),
            tuple(damages[g.name].tolist()),
        )
        for g in space.groups
    ]


@pytest.fixture
def make_run(tmp_path: Path, space: Space, damages: Damages) -> MakeRun:
    """A folder with a study that keeps these records, and nothing else."""

    def make(
        measured: list[SensitivityRecord] | None = None,
        kept: SpaceRecord | None = None,
        about: Provenance | None = None,
    ) -> Path:
        storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
        study = optuna.create_study(storage=storage)
        records = record(space, damages) if measured is None else measured
        store.save(study, store.SENSITIVITY, records)
        store.save(study, store.SPACE, kept or SpaceRecord.of(space))
        store.save(study, store.PROVENANCE, about or Provenance(run="mine"))
        storage.remove_session()
        storage.engine.dispose()
        return tmp_path

    return make


def test_it_is_what_the_live_space_gives(make_run: MakeRun, space: Space, damages: Damages) -> None:
    run = results.load(make_run())
    kept = run.space.as_space()
    assert (kept.full, kept.full_params) == (space.full, space.full_params)
    for budget in BUDGETS:
        solved = run.solve(budget)
        assert solved.policy == REPAIRED.policy(space, damages, Budget.parse(budget))
        assert solved.uniform == space.uniform(budget)
        assert (solved.flops, solved.params) == (
            space.flops(solved.policy),
            space.params(solved.policy),
        )
        assert (solved.uniform_flops, solved.uniform_params) == (
            space.flops(solved.uniform),
            space.params(solved.uniform),
        )
        assert solved.flops <= solved.limit == space.limit(budget)
        terms = {name: np.append(d.numpy(), 0.0) for name, d in damages.items()}
        assert solved.damage == pytest.approx(space.total(terms, solved.policy))
        assert solved.damage <= solved.uniform_damage == space.total(terms, solved.uniform)
        assert solved.flops_fraction == solved.flops / space.full_flops
        assert 0 <= solved.gap < 0.01
    assert run.solve(1).damage == 0
    assert run.solve(1).policy == space.full


def test_costs_are_those_of_the_live_space_at_random_widths(
    make_run: MakeRun, space: Space
) -> None:
    kept, rng = results.load(make_run()).space.as_space(), np.random.default_rng(1)
    widths = np.array([[rng.choice(g.choices) for g in space.groups] for _ in range(500)])
    assert np.array_equal(kept.flops(widths), space.flops(widths))
    assert np.array_equal(kept.params(widths), space.params(widths))
    assert kept.floor_setters() == space.floor_setters()


def test_the_command_prints_budgets_widths_and_proof_in_80_columns(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_run())
    assert main(["solve", folder, "--budget", "0.5", "0.3"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    solved = [results.load(folder).solve(budget) for budget in (0.5, 0.3)]
    assert re.match(r"budget +FLOPs +FLOPs % +params .* proven\n0.5 .*\n0.3 .*\n\n", shown)
    words = " ".join(shown.split())
    for each in solved:
        assert f"Budget {each.budget}: {each.flops:,} of at most {each.limit:,} FLOPs" in words
        assert f"blocks.2.conv2 64 {each.policy['blocks.2.conv2']} " in words
    assert main(["solve", folder, "--budget", "0.5"]) == 0
    assert capsys.readouterr().out.startswith("Budget 0.5: ")


def test_what_is_not_proven_is_said(make_run: MakeRun, monkeypatch, capsys) -> None:
    folder = str(make_run())
    monkeypatch.setattr("spaces.elimination.LARGEST", 8)
    assert main(["solve", folder, "--budget", "0.5", "0.3"]) == 0
    shown = capsys.readouterr().out
    assert "how far from the least is not proven" in " ".join(shown.split())
    assert main(["solve", folder, "--budget", "0.5", "--json"]) == 0
    (solved,) = json.loads(capsys.readouterr().out)["solved"]
    assert (solved["gap"], solved["proven"]) == (None, False)


def test_a_gap_is_rounded_up() -> None:
    assert [results.text.within(gap) for gap in (0, 2e-5, 0.0441, np.inf)] == [
        *("the least", "within 0.1 %", "within 4.5 %", "nothing"),
    ]
    assert [results.text.figure(x) for x in (0, 0.0135, 4.5, 1234.5, 123.4, 1.2e-7)] == [
        *("0.00", "0.0135", "4.50", "1,234", "123", "1.20e-07"),
    ]


def test_json_is_one_object_with_every_figure(make_run: MakeRun, capsys, space: Space) -> None:
    folder = str(make_run())
    assert main(["solve", folder, "--budget", "0.5", "0.3", "--json"]) == 0
    made = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (made["flops"], made["params"]) == (space.full_flops, space.full_params)
    assert made["channels"] == {g.name: g.channels for g in space.groups}
    assert (made["run"], made["unit"]) == (folder, "divergence")
    for each in made["solved"]:
        solved = results.load(folder).solve(each["budget"])
        assert each == solved.to_dict()
        assert Policy(each["policy"]) == solved.policy


def test_a_saved_policy_reads_back(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run()
    path = folder / "policy.json"
    assert main(["solve", str(folder), "--budget", "0.3", "--save", str(path)]) == 0
    assert f"policy: {path}" in capsys.readouterr().out
    assert Policy.from_json(path.read_text()) == results.load(folder).solve(0.3).policy


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "half"], "error: budget must be a fraction in (0, 1]"),
        (
            ["--budget", "0.0001"],
            "error: budget must be reachable, between 0.011 and 1 of 1,488,512",
        ),
        (["--budget", "5G"], "error: budget must be at most the 1,488,512 flops"),
        (
            ["--budget", "0.5", ".50"],
            "error: --budget must name different budgets, but got 0.5 0.5",
        ),
        (
            ["--budget", "0.5", "0.4", "--save", "x"],
            "error: --save takes the policy of one budget, but got 0.5 0.4; give one, or --json",
        ),
        (["--budget", "0.5", "--save", ""], "error: --save must name a file, but got ''"),
        (["--budget", "0.5", "--save", "."], "error: --save must name a file, but . is a folder"),
        (["--budget", "0.5", "--save", "a\nb"], "error: --save must be plain text"),
        (["--budget", "0.5", "--save", "none/x"], "error: none/x must be writable, but got: "),
    ],
)
def test_a_mistake_is_one_line(make_run: MakeRun, capsys, arguments: list[str], words: str) -> None:
    assert main(["solve", str(make_run()), *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(words)
    assert (shown.err.count("\n"), shown.out) == (1, "")


def test_a_run_that_is_none_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["solve", str(tmp_path / "none"), "--budget", "0.5"]) == 2
    assert (
        "study.db must exist, but it does not; give the folder of a run" in capsys.readouterr().err
    )
    for arguments in ([], ["run"], ["--budget", "0.5"], ["run", "--budget"]):
        with pytest.raises(SystemExit) as end:
            main(["solve", *arguments])
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_a_run_without_the_damages_says_how_to_get_them(
    make_run: MakeRun, space: Space, damages: Damages, capsys
) -> None:
    folder = make_run(record(space, damages, "iso_damage"))
    assert main(["solve", str(folder), "--budget", "0.5"]) == 2
    assert capsys.readouterr().err == (
        f"error: {folder} must hold the damages of repaired_damage, but holds those of "
        "iso_damage; search again with --starts repaired_damage\n"
    )


def test_a_run_that_measured_nothing_and_one_of_an_older_version(
    tmp_path: Path, space: Space, damages: Damages
) -> None:
    nothing = results.Run(tmp_path, ())
    with pytest.raises(UserError, match=r"but holds none; search again with --starts repaired_dam"):
        nothing.solve(0.5)
    old = results.Run(tmp_path, (), measured=tuple(record(space, damages)))
    with pytest.raises(UserError, match=r"what every width costs, but runs of older versions do n"):
        old.solve(0.5)


def test_a_damaged_table_is_told_by_its_group(
    make_run: MakeRun, space: Space, damages: Damages, capsys
) -> None:
    folder = make_run(record(space, damages)[1:])
    assert main(["solve", str(folder), "--budget", "0.5"]) == 2
    assert "the damage of every width of group 'conv1', but does not; " in capsys.readouterr().err


def test_damages_that_are_not_finite_are_told(make_run: MakeRun, damages: Damages) -> None:
    damages["conv1"][0] = torch.nan
    with pytest.raises(UserError, match="must be a finite number for each of the 8 widths of gro"):
        results.load(make_run()).solve(0.5)


@pytest.mark.parametrize(
    ("options", "trials", "more"),
    [
        ({}, 4, ""),
        ({"model": "resnet20", "seed": 3}, 4, "--model resnet20"),
        ({"criterion": "search", "starts": ["l1", "fpgm"]}, 12, "--criteria l1 fpgm obs"),
    ],
)
def test_how_to_train_what_was_found(
    make_run: MakeRun, options: dict[str, object], trials: int, more: str
) -> None:
    config = SearchConfig.of(**options)
    about = Provenance(config=config.to_dict(), command=config.command)
    command = training_command(results.load(make_run(about=about)), ("0.5", "0.3"))
    assert command.startswith("python search.py ")
    for words in (f"--trials {trials}", "--budget 0.5 0.3", "--starts repaired_damage", more):
        assert words in command
    assert all(flag(name) in command for name in config.given if name != "starts")


def test_where_that_is_not_known_nothing_is_said() -> None:
    odd = Provenance(config={"budget": ["0.5"]}, command="python search.py")
    for about in (odd, Provenance(), Provenance(config=SearchConfig().to_dict())):
        run = results.Run(Path("x"), (), provenance=about)
        assert training_command(run, ("0.5",)) == ""
