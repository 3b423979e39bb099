"""The tables: their columns, their types, their files, and what the documentation says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from runs import make_run

import results
from results.run import Frame
from results.tables import TABLES, front_table, table
from spaces import Policy, UserError

DOCS = Path(__file__).parents[2] / "docs" / "tables.md"
COLUMNS = (
    "number,state,origin,criterion,mode,rung,flops,flops_fraction,params,val_accuracy,seconds,"
    "seed,reason,spent,spent_fraction"
)
WIDTHS = "width:stem,width:layer1.conv1,width:layer2.conv1"
RUNGS = (
    "accuracy:1,accuracy:2,epochs:1,epochs:2,seconds:0,seconds:1,regardless:0,regardless:1,"
    "explored:0,explored:1"
)


def finals_of(finals: list[results.FinalRecord]) -> pd.DataFrame:
    return TABLES["finals"](make_run(finals=finals))


@pytest.fixture
def timed(records):
    """Trial 0 took 0.5 s at rung 0 and 1 s at rung 1, where it was explored."""
    return [replace(records[0], rung_seconds=(0.5, 1.0), explored=(1,)), *records[1:]]


def test_columns_of_trials_csv(tmp_path, timed, finals) -> None:
    results.write_tables(tmp_path, make_run(timed, finals))
    header, *rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert header == f"{COLUMNS},proxy:adaptive_bn,{WIDTHS},{RUNGS}"
    assert len(rows) == len(timed)
    assert rows[0] == (
        "0,complete,uniform,second_order,finetune,2,500000,0.5,20000,0.86,1.5,100,,,,0.5,8,2,16,"
        "0.82,0.86,1,3,0.5,1.0,False,True,False,True"
    )
    frame = pd.read_csv(tmp_path / "trials.csv")
    assert frame["state"].tolist() == [r.state for r in timed]
    assert frame["val_accuracy"].isna().tolist() == [r.rung == 0 for r in timed]
    assert frame["accuracy:2"].isna().tolist() == [r.rung < 2 for r in timed]


def test_pareto_csv_is_the_front_with_test_accuracy(tmp_path, records, finals) -> None:
    results.write_tables(tmp_path, make_run(records, finals))
    front = pd.read_csv(tmp_path / "pareto.csv")
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert list(front.columns) == [*trials.columns, "test_accuracy"]
    # Every further trial of the fixture is both smaller and better, so the last one is alone.
    assert front["number"].tolist() == [5]
    assert front["test_accuracy"][0] == pytest.approx((0.910 + 0.913 + 0.913) / 3)


def test_the_front_lies_by_rising_flops(record) -> None:
    records = [
        record(4, (0.9,), flops=500_000),
        record(7, (0.8,), flops=400_000),
        record(9, (0.7,), flops=450_000, proxies={"other": 1.0}),
    ]
    front = front_table(records, [])
    assert front["number"].tolist() == [7, 4]
    assert front["proxy:other"].isna().all()


def test_finals_have_a_row_for_each_seed(finals) -> None:
    frame = finals_of(finals)
    assert frame["name"].tolist() == ["baseline"] * 3 + ["uniform@0.5"] * 3 + ["trial 5"] * 3
    assert frame["seed"].tolist() == [0, 1, 2] * 3
    assert frame["test_accuracy"].tolist()[-3:] == [0.910, 0.913, 0.913]
    assert frame["number"].isna().tolist() == [True] * 3 + [False] * 6
    assert frame["width:stem"].isna().tolist() == [True] * 3 + [False] * 6
    assert frame["best"].tolist() == [False] * 6 + [True] * 3


def test_a_final_that_was_not_tested_yet_has_no_accuracy(finals) -> None:
    frame = finals_of([replace(finals[1], test_accuracy=())])
    assert frame["test_accuracy"].isna().all()
    assert len(frame) == 3


def test_parquet_gives_back_values_and_types(tmp_path, timed, finals) -> None:
    results.write_tables(tmp_path, make_run(timed, finals))
    for name, frame in (("trials", table(timed)), ("finals", finals_of(finals))):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), frame)


def test_types_do_not_depend_on_what_was_measured(timed, finals) -> None:
    for made, nothing in ((table(timed), table([])), (finals_of(finals), finals_of([]))):
        assert nothing.dtypes.to_dict() == made.dtypes[list(nothing)].to_dict()


def test_only_tables_with_rows_are_written_but_for_trials_and_front(tmp_path, finals) -> None:
    results.write_tables(tmp_path, make_run([], finals))
    assert (tmp_path / "finals.csv").exists()
    results.write_tables(tmp_path, make_run())
    assert (tmp_path / "trials.csv").read_text() == f"{COLUMNS}\n"
    assert (tmp_path / "pareto.csv").read_text() == f"{COLUMNS},test_accuracy\n"
    names = {p.name for p in tmp_path.iterdir()}
    assert not {"finals.csv", "finals.parquet", "comparison.csv", "sweep.parquet"} & names


def test_half_written_tables_are_made_again(tmp_path, records, finals, provenance) -> None:
    run = make_run(records, finals, provenance, tmp_path)
    run.report()
    whole = {p.name: p.read_bytes() for p in tmp_path.glob("*.[cp]*")}
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    run.report()
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.[cp]*")} == whole


def test_a_run_offers_every_table(tmp_path, records, finals, provenance) -> None:
    run = make_run(records, finals, provenance, tmp_path)
    for name, made in TABLES.items():
        pd.testing.assert_frame_equal(run.table(name), made(run))
    frames = {name: each.name for name, each in vars(results.Run).items() if type(each) is Frame}
    assert frames.pop("front") == "pareto"
    assert frames.pop("final_trainings") == "finals"
    assert list(frames) == list(frames.values())
    with pytest.raises(UserError, match="unknown table 'trails', did you mean 'trials'"):
        run.table("trails")


def documented(name: str) -> list[str]:
    """The first column of the table under the heading ``name``."""
    name = {"beside": "compression_baselines"}.get(name, name)
    _, found, after = DOCS.read_text().partition(f"\n## {name}\n")
    assert found, f"docs/tables.md must have a heading `## {name}` and under it every column"
    section = after.split("\n## ")[0]
    return [
        column
        for row in re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
        for column in re.findall(r"`([^`]+)`", row)
    ]


def test_the_documentation_names_every_column_in_order(timed, finals) -> None:
    arm = results.ArmRecord(
        *("0.5", "uniform", "predefined", False, None, Policy({"stem": 8}), 1, 0.5, 1),
        *("scratch-e", "", 0.1, 2, 0),
    )
    run = make_run(timed, finals, compared=results.Comparison(arms=(arm,)))
    for name, made in TABLES.items():
        said = documented(name)
        if name == "pareto":
            said = [*documented("trials"), *said]
        kinds = dict.fromkeys(re.sub(r":.*", ":", column) for column in made(run).columns)
        wanted = dict.fromkeys(re.sub(r":.*", ":", column) for column in said)
        columns = ", ".join(kinds)
        assert list(wanted) == list(kinds), f"docs/tables.md, {name}: the columns are {columns}"
        assert f"\n| `{name}` |" in DOCS.read_text(), f"docs/tables.md must list {name} at its top"
