"""Networks of any inputs and outputs are scored and pruned as the same ones in the usual form."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from forms import FORMS
from networks import SMALL
from oracles import every_output, randomise
from torch import nn

import prune_ops
import spaces
from prune_ops.surgery import reconstruct
from prune_ops.surgery.pruning import operate


@pytest.fixture(autouse=True)
def every_position(monkeypatch):
    """What is drawn depends on which dim is first; what is found must not."""
    monkeypatch.setattr(reconstruct, "SAMPLES", 10_000)
    monkeypatch.setattr("prune_ops.contributions.sampled", every_output)
    monkeypatch.setattr("prune_ops.collectors.readers.POSITIONS", 10_000)


@cache
def discovered(form: str, usual: bool):
    return FORMS[form].model(usual), FORMS[form].space(usual)


def scored(form: str, criterion: str, usual: bool):
    model, space = discovered(form, usual)
    # Not cross_entropy itself: only with that are outputs known to be logits.
    loss = partial(torch.nn.functional.cross_entropy if usual else FORMS[form].loss)
    batches = FORMS[form].batches(usual)
    return prune_ops.score(model, space, batches, [criterion], loss, seed=3)[criterion]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("criterion", prune_ops.CRITERIA)
def test_scores_are_those_of_the_same_network_in_the_usual_form(form: str, criterion: str):
    if criterion in FORMS[form].lacks:
        with pytest.raises(spaces.UserError, match=f"criterion '{criterion}' needs"):
            scored(form, criterion, usual=False)
        return
    found, wanted = (scored(form, criterion, usual) for usual in (False, True))
    assert found.keys() == wanted.keys()
    assert found
    for name, values in wanted.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("surgery", prune_ops.SURGERIES)
def test_surgery_gives_the_weights_that_it_gives_in_the_usual_form(form: str, surgery: str):
    def pruned(usual: bool):
        model, space = discovered(form, usual)
        draw = torch.Generator().manual_seed(2)
        scores = {g.name: torch.rand(g.channels, generator=draw) for g in space.groups}
        half, batches = space.policy(space.lattice.top / 2), FORMS[form].batches(usual)
        return prune_ops.prune(model, space, half, scores, surgery, batches)

    found, wanted = pruned(False), pruned(True)
    assert sum(p.numel() for p in found.parameters()) < sum(
        p.numel() for p in discovered(form, False)[0].parameters()
    )
    for name, values in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], values, rtol=1e-3, atol=1e-4)
    inputs, _ = FORMS[form].batches()[0]
    assert all(
        out.isfinite().all() for out in spaces.inputs.tensors(spaces.inputs.call(found, inputs))
    )


def images(sizes=(20, 12), side=8):
    generator = torch.Generator().manual_seed(1)
    draw = [torch.randn(n, 3, side, side, generator=generator) for n in sizes]
    return [(x, torch.randint(10, (len(x),), generator=generator)) for x in draw]


def halved(network: str, batches, batched: bool, surgery: str = "reconstruct"):
    torch.manual_seed(0)
    model = SMALL[network]()
    randomise(model)
    space = spaces.discover(model, (torch.zeros(1, 3, 8, 8),))
    draw = np.random.default_rng(0)
    selection = {
        g.name: np.sort(draw.permutation(g.channels)[: g.channels // 2]) for g in space.groups
    }
    return operate(model, space.groups, selection, surgery, batches, batched).state_dict()


@pytest.mark.parametrize(
    "network", ["Residual", "Grouped", "Transposed", "Shared", "Concat", "Depthwise", "PadShortcut"]
)
def test_reconstruction_batch_after_batch_is_that_of_all_at_once(network: str):
    """Sums, BatchNorms on the way to them, groups: each layer after those before it."""
    together, apart = (halved(network, images(), batched) for batched in (True, False))
    for name, values in together.items():
        torch.testing.assert_close(apart[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("surgery", [n for n, s in prune_ops.SURGERIES.items() if s.needs_images])
def test_images_of_several_sizes_need_not_fit_in_one_batch(surgery: str):
    some = images((3,), side=8) + images((2,), side=12)
    changed, plain = (halved("Residual", some, True, name) for name in (surgery, "plain"))
    assert all(values.isfinite().all() for values in changed.values())
    assert any(not torch.equal(changed[name], values) for name, values in plain.items())


class Graph(nn.Module):
    """Nodes ``(N, 3)`` and edges ``(2, E)`` to one graph's logits ``(4,)``."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 4)

    def forward(self, nodes, edges):
        hidden = self.first(nodes).relu()
        passed = torch.zeros_like(hidden).index_add(0, edges[1], hidden[edges[0]])
        return self.second(hidden + passed).mean(0)


class Dense(Graph):
    """The same, the edges as a matrix beside the nodes."""

    def forward(self, both):
        hidden = self.first(both[:, :3]).relu()
        return self.second(hidden + both[:, 3:].T @ hidden).mean(0)


def graphs(dense: bool):
    generator, found = torch.Generator().manual_seed(0), []
    for count in (5, 7, 4):
        nodes = torch.randn(count, 3, generator=generator)
        edges = torch.randint(count, (2, 2 * count), generator=generator)
        matrix = torch.zeros(count, count)
        for start, end in edges.T.tolist():
            matrix[start, end] += 1
        found.append((torch.cat([nodes, matrix], 1) if dense else (nodes, edges), torch.tensor(1)))
    return found


@pytest.mark.parametrize(
    "criterion", ["l1", "taylor_2019", "second_order", "second_order_hutchinson", "thinet", "lasso"]
)
def test_graphs_are_one_item_each(make_groups, criterion: str):
    places = (("first.weight", 0, "out"), ("first.bias", 0, "out"), ("second.weight", 1, "in"))
    space = replace(make_groups(("first", 8, *places)), batched=False)
    scores = []
    for network in (Graph, Dense):
        torch.manual_seed(0)
        batches = graphs(network is Dense)
        scores.append(prune_ops.score(network(), space, batches, [criterion])[criterion]["first"])
    torch.testing.assert_close(*scores)
    assert len(scores[0].unique()) > 1
