"""Parts: networks that cannot be traced are pruned inside submodules that can."""

import numpy as np
import pytest
import torch
import torchvision
from networks import Head, conv_bn
from oracles import random_selection, randomise
from torch import nn

import prune_ops
import spaces
from spaces.counters import torch_flops
from spaces.masked import relative_error

IMAGE = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


class Backbone(nn.Module):
    """conv 3→16→32→24: the last one leaves it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 16), conv_bn(16, 32), conv_bn(32, 24)

    def forward(self, x):
        return self.c(self.b(self.a(x)))


class Choosy(nn.Module):
    """Asks what the numbers are, and so cannot be traced as a whole."""

    def __init__(self):
        super().__init__()
        self.backbone, self.neck = Backbone(), nn.Sequential(conv_bn(24, 16), conv_bn(16, 8))
        self.head = Head(8)

    def forward(self, x):
        x = self.backbone(x)
        return self.head(self.neck(x if x.sum() > 0 else -x))


class Tied(Choosy):
    """What the backbone makes of its first convolution the whole uses too."""

    def forward(self, x):
        return super().forward(x) + self.backbone.a[0].weight.mean() * float(x.sum() > 0)


class Asking(Choosy):
    """The whole compares a width of the backbone with a number."""

    def forward(self, x):
        if self.backbone.b[0].out_channels != 32:
            raise RuntimeError("32 channels are needed")
        return super().forward(x)


class Twice(Choosy):
    """Calls its backbone twice."""

    def forward(self, x):
        return super().forward(self.backbone(x)[:, :3])


def masked_and_sliced(model, space, seed=0):
    """The outputs in double precision of the whole, cut and with what reads removed channels zero;
    nothing in these networks takes a statistic over channels."""
    randomise(model.double())
    _, selection = random_selection(space, np.random.default_rng(seed))
    small = spaces.slice_model(model, space, selection)
    masked = spaces.copied(model)
    tensors = dict(masked.named_parameters())
    with torch.no_grad():
        for group in space.groups:
            gone = np.setdiff1d(np.arange(group.channels), selection[group.name])
            for member in (m for m in group.members if m.kind == "in"):
                places = torch.from_numpy(member.index[gone].ravel())
                tensors[member.parameter].index_fill_(member.dim, places, 0.0)
    return masked.eval(), small.eval(), selection


def test_groups_inside_a_part_and_nothing_that_leaves_it():
    model = Choosy()
    space = spaces.discover(model, IMAGE, inside="backbone")
    assert [g.name for g in space.groups] == ["backbone.a.0", "backbone.b.0"]
    assert [(f.name, f.channels) for f in space.frozen] == [("backbone.c.0", 24)]
    assert space.inside == ("backbone",)
    assert space.full_flops == 64 * 9 * (3 * 16 + 16 * 32 + 32 * 24)
    assert space.outside_flops == 64 * 9 * (24 * 16 + 16 * 8) + 80
    assert space.full_params == sum(p.numel() for p in model.parameters())


def test_where_the_whole_cannot_be_traced_the_largest_parts_are_found():
    space = spaces.discover(Choosy(), IMAGE)
    assert space.inside == ("backbone", "neck")  # the head has too few parameters
    assert [g.name for g in space.groups] == ["backbone.a.0", "backbone.b.0", "neck.0.0"]


def test_any_policy_costs_what_the_space_says_and_computes_what_masking_computes():
    model = Choosy()
    space = spaces.discover(model, IMAGE)
    for seed in range(5):
        masked, small, selection = masked_and_sliced(model, space, seed)
        policy = {name: len(keep) for name, keep in selection.items()}
        assert space.params(spaces.Policy(policy)) == sum(p.numel() for p in small.parameters())
        x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        assert relative_error(small(x), [masked(x)]) < 1e-9
        counted = torch_flops(small.float(), space.example)
        assert counted.within(space.inside).total == space.flops(spaces.Policy(policy))


def test_what_the_rest_uses_too_stays():
    space = spaces.discover(Tied(), IMAGE, inside="backbone")
    assert [g.name for g in space.groups] == ["backbone.b.0"]
    reasons = {f.name: f.reason for f in space.frozen}
    assert "backbone.a.0.weight is used outside of backbone, too" in reasons["backbone.a.0"]


@pytest.mark.parametrize(
    ("model", "inside", "message"),
    [
        (Choosy, "backbon", "unknown module 'backbon', did you mean 'backbone'"),
        (Choosy, ("backbone", "backbone.a"), "backbone.a is inside backbone; leave one out"),
        (Twice, "backbone", "backbone is called 2 times; give another part"),
        (Asking, "backbone", r"must run when backbone is cut, but it fails with .* 32 channels"),
    ],
)
def test_parts_that_cannot_be_are_refused_in_one_line(model, inside, message):
    with pytest.raises(spaces.UserError, match=message) as refused:
        spaces.discover(model(), IMAGE, inside=inside)
    assert "\n" not in str(refused.value)


def test_a_part_that_is_not_called_cannot_be_one():
    model = Choosy()
    model.spare = nn.Sequential(conv_bn(3, 8))
    with pytest.raises(spaces.ModelError, match="spare is called 0 times"):
        spaces.discover(model, IMAGE, inside="spare")


def test_where_no_part_can_be_traced_the_first_reason_is_told():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            return self.conv(x) if x.sum() > 0 else self.conv(-x)

    with pytest.raises(spaces.ModelError, match=r"traceable by torch\.export"):
        spaces.discover(Layer(), IMAGE)


def test_prune_score_save_and_load_go_on_with_the_whole(tmp_path):
    model = Choosy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    space = spaces.discover(model, IMAGE, inside="backbone")
    pairs = [(torch.randn(4, 3, 8, 8), torch.randint(0, 10, (4,)))]
    scores = prune_ops.score(model, space, pairs, ["taylor_2019"])["taylor_2019"]
    policy = space.uniform(0.5)
    small = prune_ops.prune(model, space, policy, scores)
    prune_ops.save(tmp_path, small, policy)
    loaded = prune_ops.load(Choosy(), tmp_path)
    assert torch.equal(loaded.eval()(*IMAGE), small.eval()(*IMAGE))
    small.train()(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.fixture(scope="module")
def detector():
    """Faster R-CNN with a small backbone that it uses as people do, and its space."""
    torch.manual_seed(0)
    features = nn.Sequential(conv_bn(3, 16, stride=2), conv_bn(16, 24, stride=2), conv_bn(24, 16))
    features.out_channels = 16
    model = torchvision.models.detection.FasterRCNN(
        features,
        num_classes=3,
        rpn_anchor_generator=torchvision.models.detection.rpn.AnchorGenerator(((16,),), ((1.0,),)),
        box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 3, 1),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(16 * 9, 32), nn.ReLU(), nn.Linear(32, 1024)),
        min_size=48,
        max_size=48,
    )
    return model, spaces.discover(model.eval(), ([torch.rand(3, 48, 48)],))


def test_a_detector_is_pruned_by_its_parts(detector):
    model, space = detector
    assert space.inside == (
        *("backbone", "rpn.head", "roi_heads.box_head", "roi_heads.box_predictor"),
    )
    names = [g.name for g in space.groups]
    assert names == ["backbone.0.0", "backbone.1.0", "rpn.head.conv.0.0", "roi_heads.box_head.1"]
    assert not space.batched
    masked, small, _ = masked_and_sliced(model, space)
    image = torch.rand(3, 48, 48, dtype=torch.float64)
    (got,), (wanted,) = small([image]), masked([image])
    assert len(got["boxes"]) > 0
    assert relative_error(got, [wanted[name] for name in sorted(wanted)]) < 1e-6


def test_a_pruned_detector_trains_in_its_own_loop(detector):
    model, space = detector
    keep = {name: np.arange(width) for name, width in space.uniform(0.5).items()}
    small = spaces.slice_model(model.float(), space, keep).train()
    target = {"boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([1])}
    losses = small([torch.rand(3, 48, 48)] * 2, [target] * 2)
    sum(losses.values()).backward()
    assert sorted(losses) == [
        "loss_box_reg",
        "loss_classifier",
        "loss_objectness",
        "loss_rpn_box_reg",
    ]
    grads = [p.grad for name, p in small.named_parameters() if name.startswith("backbone")]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
