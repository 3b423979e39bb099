"""Several runs in one report: who is compared with whom, at what, and who is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import make_run

import results
from results import Provenance
from results.reporting import several
from results.reporting.blocks import Figure, Paragraph, Table
from spaces.errors import UserError

MINUS, PM = "\N{MINUS SIGN}", "\N{PLUS-MINUS SIGN}"


@pytest.fixture
def tpe(tmp_path: Path, records, finals, provenance) -> results.Run:
    provenance |= {"run": "tpe", "test_images": 360, "config": {"policies": {"sampler": "tpe"}}}
    return make_run(records, finals, provenance, tmp_path / "tpe")


def another(run: results.Run, name: str, **changes: Any) -> results.Run:
    """The same run under another name; ``changes`` are of its provenance."""
    about = Provenance.from_dict(run.provenance.to_dict() | {"run": name} | changes)
    return replace(run, folder=run.folder.parent / name, provenance=about)


def with_test(run: results.Run, *accuracy: float) -> results.Run:
    """Its searched network tested so."""
    *others, searched = run.finals
    return replace(run, finals=(*others, replace(searched, test_accuracy=accuracy)))


def verdicts(*runs: results.Run) -> list[str]:
    document = several.document(several._named(runs))
    return [
        b.text
        for b in document.sections[0].blocks
        if isinstance(b, Paragraph) and b.look == "verdict"
    ]


def test_the_best_networks_are_paired_by_seed(tpe) -> None:
    # The differences from 0.910, 0.913, 0.913 are -0.7, -1.0, -0.7 points: mean -0.8,
    # s = 0.1732, t(0.975, 2) = 4.3027, so 4.3027 * 0.1732 / sqrt(3) = 0.43.
    random = with_test(another(tpe, "random"), 0.903, 0.903, 0.906)
    (sentence,) = verdicts(tpe, random)
    assert sentence.startswith(
        f"At budget 0.5 random is worse than tpe: {MINUS}0.80 {PM} 0.43 points of test accuracy"
    )


def test_p_values_allow_for_every_comparison(tpe) -> None:
    random = with_test(another(tpe, "random"), 0.903, 0.903, 0.906)
    again = with_test(another(tpe, "again"), 0.911, 0.912, 0.914)
    first, second = verdicts(tpe, random, again)
    # Alone p = 0.0153 holds; twice that does too.
    assert "random is worse than tpe" in first
    assert "no difference between again and tpe could be shown" in second
    many = [with_test(another(tpe, f"r{i}"), 0.903, 0.903, 0.906) for i in range(4)]
    assert all("could be shown" in each and "(Holm: p = " in each for each in verdicts(tpe, *many))


def test_only_networks_under_the_level_compete_and_validation_chooses(final) -> None:
    small = final("a", "searched", None, flops_fraction=0.3, val_accuracy=(0.90,), seeds=(0,))
    better = final(
        *("b", "searched", None),
        flops_fraction=0.4,
        val_accuracy=(0.92,),
        test_accuracy=(0.1,),
        seeds=(0,),
    )
    large = final("c", "searched", None, flops_fraction=0.6, val_accuracy=(0.99,), seeds=(0,))
    untested = final("d", "searched", None, flops_fraction=0.2, test_accuracy=())
    uniform = final("u", "uniform", None, flops_fraction=0.2, val_accuracy=(0.99,))
    finals = [small, better, large, untested, uniform]
    assert several.best_under(finals, 0.5) is better
    assert several.best_under(finals, 0.3) is small
    assert several.best_under(finals, 0.25) is None
    assert several.best_under(finals, 0.6) is large


def test_levels_are_the_budgets_of_all_runs(tpe) -> None:
    wide = another(tpe, "wide", budgets={"0.7": 700_000, "500k": 500_000})
    sentences = verdicts(tpe, wide)
    assert [each.split()[2] for each in sentences] == ["0.7", "500k"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"test_images": 100}, "the number of test images (360 and 100)"),
        ({"config": {"task": {"data": "other"}}}, "the data (– and other)"),
        ({"config": {"task": {"model": "net"}}}, "the model (– and net)"),
        ({"config": {"task": {"image_size": 32}}}, "the size of the images (– and 32)"),
        ({"config": {"task": {"weights": "net.pt"}}}, "its weights (– and net.pt)"),
        (
            {"config": {"task": {"train_images": 5000}}},
            "the number of training images (– and 5,000)",
        ),
        ({"config": {"policies": {"seed": 1}}}, "the seed (– and 1)"),
        ({"config": {"training": {"train": "scratch-b"}}}, "the training (– and scratch-b)"),
        ({"config": {"training": {"lr": 0.1}}}, "the learning rate (– and 0.1)"),
        (
            {"config": {"training": {"final_epochs": 12, "batch_size": 64}}},
            "the final epochs (– and 12), the batch size (– and 64)",
        ),
    ],
)
def test_runs_that_were_trained_otherwise_are_not_paired_and_it_says_why(
    tpe, changes, why: str
) -> None:
    (sentence,) = verdicts(tpe, another(tpe, "other", **changes))
    assert (
        sentence == f"At budget 0.5 other and tpe are not compared by seed: they differ in {why}."
    )


def test_another_search_is_no_reason_not_to_pair(tpe) -> None:
    searched = {"policies": {"sampler": "random", "trials": 9}, "judging": {"rungs": [1]}}
    assert several.why_not_paired(tpe, another(tpe, "other", config=searched)) == ""


def test_a_run_without_finals_is_in_the_front_but_not_in_the_verdict(tpe) -> None:
    running = replace(another(tpe, "running"), finals=())
    (sentence,) = verdicts(tpe, running)
    assert "are not compared: not both have a tested network there" in sentence
    document = several.document(several._named([tpe, running]))
    front = next(s for s in document.sections if s.anchor == "front")
    fronts, tested = (b for b in front.blocks if isinstance(b, Figure))
    assert fronts.table is not None
    assert {row[0] for row in fronts.table.rows} == {"tpe", "running"}
    assert tested.table is not None
    assert {row[0] for row in tested.table.rows} == {"tpe"}


def test_hypervolumes_have_one_reference(tpe) -> None:
    # Trial 5 is alone on the front: (1 - 0.499995) * 0.90.
    document = several.document(several._named([tpe, another(tpe, "other")]))
    section = next(s for s in document.sections if s.anchor == "search")
    table = section.blocks[0]
    assert isinstance(table, Table)
    assert [row[:3] for row in table.rows] == [["tpe", "1", "0.4500"], ["other", "1", "0.4500"]]


def test_another_size_of_one_architecture_is_compared_by_share(tpe) -> None:
    groups = [g | {"channels": 2 * g["channels"]} for g in tpe.provenance["groups"]]
    big = another(tpe, "big", groups=groups, full_flops=4_000_000, budgets={"0.5": 2_000_000})
    document = several.document(several._named([tpe, big]))
    assert document.lead == "2 runs at equal shares of their FLOPs"
    words = [b.text for b in document.sections[0].blocks if isinstance(b, Paragraph)]
    assert any("equal shares of their own FLOPs, not at equal FLOPs" in each for each in words)
    same = several.document(several._named([tpe, another(tpe, "other")]))
    assert same.lead == "2 runs at equal FLOPs"


def test_runs_of_different_networks_are_refused(tpe, tmp_path) -> None:
    other = another(tpe, "other", groups=[{"name": "features.0", "channels": 64}])
    with pytest.raises(
        UserError, match="must be of one network, but tpe has 3 groups and other has 1"
    ):
        results.report_several([tpe, other], tmp_path / "all.html")
    unknown = another(tpe, "unknown", groups=[])
    with pytest.raises(UserError, match="run unknown must say which network it is of"):
        results.report_several([tpe, unknown], tmp_path / "all.html")
    assert list(tmp_path.iterdir()) == []


def test_one_run_and_one_run_twice_are_refused(tpe, tmp_path) -> None:
    with pytest.raises(UserError, match="at least 2 runs, but got 1"):
        results.report_several([tpe], tmp_path / "all.html")
    with pytest.raises(UserError, match=r"each run must be given once, but .*tpe was given twice"):
        results.report_several([tpe, tpe], tmp_path / "all.html")


def test_runs_of_one_name_are_told_apart_by_their_folders(tpe) -> None:
    other = replace(tpe, folder=tpe.folder.parent / "elsewhere")
    assert list(several._named([tpe, other])) == [str(tpe.folder), str(other.folder)]


def test_the_report_is_a_page_and_its_markdown(tpe, tmp_path) -> None:
    path = results.report_several([tpe, another(tpe, "random")], tmp_path / "out" / "all.html")
    page, words = path.read_text(), path.with_suffix(".md").read_text()
    assert "Pruning searches: tpe, random" in page
    assert page.count('role="img"') == 3
    assert len(re.findall(r"\(all_figures/\w+\.svg\)", words)) == 3
    assert "| sampler | tpe | tpe |" in words
    assert "| reads of the test split | 9 | 9 |" in words


def test_runs_that_have_nothing_yet(tpe, tmp_path) -> None:
    empty = replace(another(tpe, "empty"), records=(), finals=())
    path = results.report_several([empty, another(empty, "too")], tmp_path / "all.html")
    assert "not both have a tested network there" in path.read_text()
