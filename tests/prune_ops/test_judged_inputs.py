"""Proxies and sensitivities of several inputs are those of one; others are refused in one line."""

from __future__ import annotations

import pytest
import torch
from forms import FORMS

import prune_ops
import spaces

LOGITS_ONLY = ("adaptive_bn", "fisher", "grasp", "reconstructed", "snip", "zico")


@pytest.mark.parametrize("proxy", LOGITS_ONLY)
def test_proxies_of_classes_refuse_other_outputs_in_one_line(proxy: str):
    form = FORMS["a tuple out"]
    with pytest.raises(spaces.UserError, match=r"give logits .* but got outputs \[") as caught:
        prune_ops.PROXIES[proxy](candidate("a tuple out", form.batches()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["two inputs", "inputs by name", "one dict"])
@pytest.mark.parametrize("proxy", [*LOGITS_ONLY, "synflow"])
def test_proxies_of_several_inputs_are_those_of_one(form: str, proxy: str):
    one, several = (
        prune_ops.PROXIES[proxy](candidate(form, FORMS[form].batches(usual), usual))
        for usual in (True, False)
    )
    assert several == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize(
    ("proxy", "form"),
    [("jacob_cov", "two inputs"), ("jacob_cov", "integers"), ("synflow", "integers")],
)
def test_proxies_of_pixels_refuse_other_inputs_in_one_line(proxy: str, form: str):
    with pytest.raises(spaces.UserError, match=f"proxy '{proxy}' .*; use another proxy$"):
        prune_ops.PROXIES[proxy](candidate(form, FORMS[form].batches()))


def candidate(form: str, batches, usual: bool = False):
    model, space = FORMS[form].model(usual), FORMS[form].space(usual)
    scores = {g.name: torch.arange(g.channels) for g in space.groups}
    policy = space.policy(space.lattice.top / 2)
    pruned = prune_ops.prune(model, space, policy, scores)
    return prune_ops.PrunedCandidate(policy, space, scores, pruned, batches, batches, model=model)


def test_sensitivities_judge_several_inputs_as_one_and_refuse_what_are_no_logits():
    def measured(form: str, usual: bool):
        model, space = FORMS[form].model(usual), FORMS[form].space(usual)
        scores = {g.name: torch.arange(g.channels) for g in space.groups}
        return prune_ops.measure(
            model, space, scores, FORMS[form].batches(usual), ["layer_damage"]
        )["layer_damage"]

    found, wanted = measured("inputs by name", False), measured("inputs by name", True)
    for name, values in wanted.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-6)
    with pytest.raises(spaces.UserError, match="a sensitivity takes networks that give logits"):
        measured("a tuple out", False)
