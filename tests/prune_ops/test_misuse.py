"""What is called with something else than it takes says so in one line."""

import pytest
import torch
from networks import Plain, Residual

import prune_ops
import spaces

IMAGE = torch.zeros(1, 3, 8, 8)


@pytest.fixture(scope="module")
def searched():
    torch.manual_seed(0)
    net = Plain()
    space = spaces.discover(net, IMAGE)
    scores = prune_ops.score(net, space, (), ["l1"])["l1"]
    return net, space, space.uniform(0.5), scores


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, s, ___, c: prune_ops.prune(n, s, None, c), "a policy must be a spaces.Policy"),
        (lambda n, s, ___, c: prune_ops.prune(n, s, {"a.0": 4}, c), "a policy must be a spaces"),
        (lambda n, s, p, ____: prune_ops.prune(n, s, p, None), "scores must be a tensor for every"),
        (lambda n, s, p, ____: prune_ops.prune(n, s, p, {"a.0": [1.0]}), "scores must be a tensor"),
        (
            lambda n, s, p, c: prune_ops.prune(n, s, p, {k: v * torch.nan for k, v in c.items()}),
            "scores must be numbers, but those of a.0, b.0 hold nan",
        ),
        (lambda _, s, p, c: prune_ops.prune(Residual(), s, p, c), "must be the one that the space"),
        (
            lambda n, s, p, c: prune_ops.prune(prune_ops.prune(n, s, p, c), s, p, c),
            "must be the one that the space was discovered on, but its 'a.0.weight' has no 16",
        ),
        (
            lambda n, s, ___, ____: prune_ops.score(n, s, (), None),
            "criteria must be a list of names",
        ),
        (
            lambda n, s, ___, ____: prune_ops.score(n, s, (), [3]),
            "criteria must be a list of names",
        ),
        (
            lambda _, __, ___, ____: spaces.Policy({"a.0": "x"}),
            "must be an integer >= 1, but got 'x'",
        ),
        (
            lambda _, __, ___, ____: spaces.Policy({"a.0": 2.5}),
            "must be an integer >= 1, but got 2.5",
        ),
        (lambda n, __, ___, ____: spaces.discover(n, IMAGE, 1.5), "round_to must be an integer"),
        (
            lambda n, __, ___, ____: spaces.discover(n, IMAGE[:0]),
            "at least one item, but one is empty",
        ),
        (lambda n, __, ___, ____: spaces.discover(n, IMAGE.to_sparse()), "must be dense tensors"),
        (
            lambda n, s, p, c: prune_ops.save("nowhere", prune_ops.prune(n, s, p, c), s.full),
            "saved with the policy that it was pruned by, but 'a.0' has",
        ),
        (lambda n, __, ___, ____: prune_ops.save("nowhere", n, None), "saved with its policy"),
        (
            lambda _, __, ___, ____: prune_ops.load(None, "nowhere"),
            "the model must be a torch.nn.Module",
        ),
    ],
)
def test_misuse_is_told_in_one_line(searched, call, message):
    with pytest.raises(spaces.UserError) as told:
        call(*searched)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
