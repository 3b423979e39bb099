"""Search against uniform widths: who stands for a budget, and when there is no verdict."""

from __future__ import annotations

from results import FinalRecord, paired, verdicts
from results.differences import holm
from spaces import Policy


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_verdict_compares_the_searched_policy_marked_best(final) -> None:
    uniform = final("uniform@0.5", "uniform", Policy({"stem": 8}))
    worse = final("trial 1", "searched", Policy({"stem": 6}), test_accuracy=(0.1, 0.2, 0.3))
    best = final(
        "trial 2", "searched", Policy({"stem": 7}), test_accuracy=(0.91, 0.913, 0.915), best=True
    )
    (verdict,) = verdicts([uniform, worse, best])
    assert verdict.comparison == paired(by_seed(0.91, 0.913, 0.915), by_seed(0.900, 0.902, 0.904))
    assert verdict.sentence == (
        "At budget 0.5 the searched widths are better than uniform ones: +1.07 \N{PLUS-MINUS SIGN} "
        "0.14 points of test accuracy (95 % interval over 3 seeds)."
    )


def test_the_claims_of_several_budgets_are_corrected_together(final) -> None:
    def at(budget: str, *accuracy: float) -> list[FinalRecord]:
        searched = final(
            f"trial {budget}",
            "searched",
            Policy({"stem": 7}),
            test_accuracy=accuracy,
            budget=budget,
        )
        return [final(f"uniform@{budget}", "uniform", Policy({"stem": 8}), budget=budget), searched]

    # Over uniform's 0.900, 0.902, 0.904: by 0.5, 0.6, 0.9 points, p = 0.03; clear; without a p.
    narrow, clear, same = (
        at("0.5", 0.905, 0.908, 0.913),
        at("0.3", 0.950, 0.9521, 0.954),
        at("0.2", 0.901, 0.903, 0.905),
    )
    (alone,) = verdicts(narrow)
    assert " are better than " in alone.sentence
    assert verdicts([*narrow, *same])[0] == alone
    first, second = verdicts([*narrow, *at("0.3", 0.905, 0.908, 0.913)])
    p = holm([v.comparison.p_value for v in (first, second)])
    for each, adjusted in zip((first, second), p, strict=True):
        assert "could be shown" in each.sentence
        assert f"the 2 comparisons are allowed for (Holm: p = {adjusted:.3f})" in each.sentence
    assert all(" are better than " in v.sentence for v in verdicts([*narrow, *clear]))


def test_the_sentence_that_the_readme_prints(final) -> None:
    uniform = final("uniform@0.5", "uniform", Policy({"stem": 8}))
    searched = final(
        "trial 2", "searched", Policy({"stem": 7}), test_accuracy=(0.902, 0.902, 0.902)
    )
    (verdict,) = verdicts([uniform, searched])
    # Differences 0.2, 0, -0.2: s = 0.2, t(0.975, 2) = 4.3027, so 0.4968.
    assert verdict.sentence == (
        "At budget 0.5 no difference between searched and uniform widths could be shown: +0.00 "
        "\N{PLUS-MINUS SIGN} 0.50 points of test accuracy (95 % interval over 3 seeds)."
    )


def test_where_the_criteria_differ_the_widths_are_not_credited_alone(final) -> None:
    def at(budget: str, *accuracy: float, criterion: str = "thinet") -> list[FinalRecord]:
        about = {"budget": budget, "test_accuracy": accuracy, "criterion": criterion}
        uniform = final("uniform", "uniform", Policy({"stem": 8}), budget=budget, criterion="l1")
        return [uniform, final("trial 2", "searched", Policy({"stem": 7}), **about)]

    better, same = verdicts(at("0.5", 0.950, 0.9521, 0.954) + at("0.7", 0.902, 0.902, 0.902))
    assert better.sentence.startswith(
        "At budget 0.5 the searched widths under thinet are better than uniform ones under l1: +5"
    )
    assert same.sentence.startswith(
        "At budget 0.7 no difference between the searched widths under thinet and uniform ones "
        "under l1 could be shown: +0.00 "
    )
    (alike,) = verdicts(at("0.5", 0.950, 0.9521, 0.954, criterion="l1"))
    assert alike.sentence.startswith("At budget 0.5 the searched widths are better than uniform o")


def test_verdict_when_the_best_policy_is_the_uniform_one(final) -> None:
    uniform = final("uniform@0.5", "uniform", Policy({"stem": 8}))
    searched = final("trial 0", "searched", Policy({"stem": 8}), best=True)
    (verdict,) = verdicts([uniform, searched])
    assert verdict.sentence == "At budget 0.5 the search found nothing better than uniform widths."


def test_a_verdict_for_every_budget_even_without_finals(final) -> None:
    uniform = final("uniform@0.3", "uniform", Policy({"stem": 4}), budget="0.3")
    found = verdicts([uniform], budgets=["0.5", "0.3"])
    assert [v.budget for v in found] == ["0.5", "0.3"]
    assert "no searched or uniform widths were trained to the end" in found[0].sentence
    assert "no searched widths were trained to the end" in found[1].sentence
