"""What cutting one group alone did: its record, its table, its section of the report."""

from __future__ import annotations

import re
from dataclasses import replace

import optuna
import pytest
from runs import make_run

from results import store
from results.record import TrialRecord
from results.reporting.blocks import Bullets, Figure, Paragraph, Table
from results.reporting.origins import described, origin_of
from results.reporting.plots.sensitivity import damages
from results.reporting.sections import section
from results.reporting.sections.sensitivity import AT_ONCE
from results.sensitivity import SensitivityRecord
from results.tables import TABLES

STEM = SensitivityRecord("iso_damage", "loss", "stem", 16, (4, 8, 12), (2.0, 0.5, -0.25))


@pytest.fixture
def measured():
    """Two sensitivities in two units; the stem is hurt most by both."""
    return [
        STEM,
        SensitivityRecord("iso_damage", "loss", "layer1.conv1", 16, (8,), (0.25,)),
        SensitivityRecord("iso_damage", "loss", "layer2.conv1", 32, (16,), (0.125,)),
        SensitivityRecord("layer_damage", "accuracy", "stem", 16, (5, 11), (0.5, 0.25)),
        SensitivityRecord("layer_damage", "accuracy", "layer1.conv1", 16, (5, 11), (0.1, 0.0)),
        SensitivityRecord("layer_damage", "accuracy", "layer2.conv1", 32, (10, 22), (0.2, 0.1)),
    ]


def test_a_record_reads_back_as_it_was_written() -> None:
    assert SensitivityRecord.from_json(STEM.to_json()) == STEM


def test_the_mean_and_the_damage_between_widths() -> None:
    assert STEM.mean == 0.75
    # Halfway from 4 to 8 channels, halfway from 12 to the whole, and narrower than was measured.
    assert [STEM.at(w) for w in (6, 14, 16, 2)] == [1.25, -0.125, 0.0, 2.0]


def test_the_table_has_a_row_for_each_width(measured) -> None:
    frame = TABLES["sensitivity"](make_run(measured=measured))
    assert len(frame) == 3 + 1 + 1 + 2 + 2 + 2
    assert frame.iloc[1].tolist() == ["iso_damage", "loss", "stem", 16, 8, 0.5, "iso_damage"]
    assert list(frame)[0::6] == ["importance", "sensitivity"]
    assert TABLES["sensitivity"](make_run()).dtypes.to_dict() == frame.dtypes.to_dict()


def test_a_study_keeps_what_was_measured_and_leaves_out_what_is_damaged(measured) -> None:
    study = optuna.create_study()
    assert store.load(study, store.SENSITIVITY) == ()
    store.save(study, store.SENSITIVITY, measured)
    assert store.load(study, store.SENSITIVITY) == tuple(measured)
    study.set_user_attr("sensitivity", [STEM.to_json(), '{"importance": "iso'])
    assert store.load(study, store.SENSITIVITY) == (STEM,)
    assert store.left_out(study) == ["the record of sensitivity 1 is damaged and was left out"]


def test_nothing_measured_is_no_section(records, finals, provenance) -> None:
    assert not section("sensitivity", make_run(records, finals, provenance))


def test_it_names_who_is_hurt_most_and_whom_to_blame(records, finals, provenance, measured) -> None:
    made = make_run(records, finals, provenance, measured=measured)
    (bullets,) = [b for b in section("sensitivity", made).blocks if isinstance(b, Bullets)]
    # Trial 5 keeps 8 of 16, 7 of 16 and 16 of 32 channels.
    assert list(bullets.lines) == [
        "By iso_damage, stem is hurt most (0.75 of loss on average over its widths), layer2.conv1 "
        "least (0.12 of loss).",
        "By layer_damage, stem is hurt most (37.5 points on average over its widths), layer1.conv1 "
        "least (5.0 points).",
        "By iso_damage, of the cuts of trial 5 at 0.5 these cost most alone: stem from 16 to 8 "
        "(0.5 of loss), layer1.conv1 from 16 to 7 (0.25 of loss, as at 8, the least that was "
        "measured), layer2.conv1 from 32 to 16 (0.12 of loss).",
    ]


def test_damage_between_two_measured_widths_is_said_to_be_interpolated(
    records, finals, provenance
) -> None:
    between = replace(STEM, widths=(4, 12), damages=(2.0, 0.5))
    made = make_run(records, finals, provenance, measured=[between])
    (bullets,) = [b for b in section("sensitivity", made).blocks if isinstance(b, Bullets)]
    assert bullets.lines[-1].endswith("stem from 16 to 8 (1.2 of loss, interpolated).")


def test_worst_channels_are_those_of_the_reference_criterion(measured) -> None:
    drop = [replace(r, sensitivity="accuracy_drop") for r in measured if r.unit == "accuracy"]
    made = make_run([], [], {"reference": "l1"}, measured=[*measured, *drop])
    loss, accuracy = (b for b in section("sensitivity", made).blocks if isinstance(b, Figure))
    assert "one panel a group: worst channels by l1 (iso_damage)." in loss.caption
    for label in ("worst channels by l1", "random channels"):
        assert f">{label}<" in accuracy.svg


def test_the_summary_sets_off_the_most_sensitive_group(measured) -> None:
    blocks = section("sensitivity", make_run([], [], {}, measured=measured)).blocks
    table = next(b for b in blocks if isinstance(b, Table))
    assert [list(row) for row in table.rows] == [
        ["stem", "16", "0.750", "37.50"],
        ["layer1.conv1", "16", "0.250", "5.00"],
        ["layer2.conv1", "32", "0.125", "15.00"],
    ]
    assert table.marked == {0}
    said = [b.text for b in blocks if isinstance(b, Paragraph)]
    assert said[1].startswith("The coloured row is the group that is hurt most by iso_damage.")


def test_each_unit_has_its_picture_and_all_that_is_drawn_in_a_table(measured) -> None:
    blocks = section("sensitivity", make_run([], [], {}, measured=measured)).blocks
    loss, accuracy = (block for block in blocks if isinstance(block, Figure))
    assert [row[1:] for row in loss.table.rows if row[0] == "stem"] == [
        ["4", "2.000"],
        ["8", "0.500"],
        ["12", "−0.250"],
    ]
    assert len(accuracy.table.rows) == 6
    assert "rise of the loss" in loss.svg
    assert "accuracy lost, points" in accuracy.svg


def test_curves_of_one_unit_share_their_panels(measured) -> None:
    drop = [replace(r, sensitivity="accuracy_drop") for r in measured if r.unit == "accuracy"]
    blocks = section("sensitivity", make_run([], [], {}, measured=[*measured, *drop])).blocks
    accuracy = [block for block in blocks if isinstance(block, Figure)][1]
    for label in ("worst channels", "random channels"):
        assert f">{label}<" in accuracy.svg
    assert [c.title.split(",")[0] for c in accuracy.table.columns[2:]] == [
        "layer_damage",
        "accuracy_drop",
    ]


def test_a_deep_network_takes_several_pictures() -> None:
    deep = [replace(STEM, group=f"layer{i}") for i in range(AT_ONCE + 1)]
    pictures = [b for b in section("sensitivity", make_run([], [], {}, measured=deep)).blocks
                if isinstance(b, Figure)]  # fmt: skip
    assert len(pictures) == 2
    assert [len({row[0] for row in p.table.rows}) for p in pictures] == [13, 12]


def test_one_line_needs_no_legend(measured) -> None:
    loss = [r for r in measured if r.unit == "loss"]
    svg = damages(["stem", "layer1.conv1"], loss, {"iso_damage": "worst"}, "loss")
    assert "worst" not in svg
    assert len(re.findall(r">(stem|layer1\.conv1)<", svg)) == 2


def test_a_start_by_a_sensitivity_is_no_ranking(record, measured) -> None:
    config = {"policies": {"starts": ["l1", "iso_damage"]}}
    made = make_run([], [], {"config": config}, measured=measured)
    trial: TrialRecord = record(0, origin="iso_damage")
    assert origin_of(made, trial) == "sensitivity"
    assert described(made, trial) == "widths by iso_damage"
    assert described(made, record(1, origin="l1")) == "global ranking (l1)"
    assert described(made, record(2, origin="tpe")) == "tpe"
