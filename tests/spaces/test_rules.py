"""Which channels an operation ties, passes on or freezes, each overload that exists for itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import spaces
from spaces.groups import find_groups
from spaces.trace import trace

IMAGE = (torch.zeros(1, 3, 8, 8),)


class Between(nn.Module):
    """Two layers of 16 channels, what ``between`` makes of them, a layer of 8, a classifier."""

    def __init__(self, between):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 5, padding=2)
        self.c, self.fc = nn.Conv2d(16, 8, 1), nn.Linear(8, 4)
        self.one, self.zero_dim = nn.Parameter(torch.full((1,), 0.5)), nn.Parameter(torch.ones([]))
        self.two, self.each = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(16, 1, 1))
        self.register_buffer("scale", torch.tensor(2.0))
        self.between = between

    def forward(self, x):
        y = self.between(self, self.a(x), self.b(x))
        return self.fc(self.c(y.relu()).relu().mean((2, 3)))


def stacked(a, b, dim=0):
    return torch.stack([a, b], dim)


def offered(between):
    """Group → channels, ``c`` apart, and what is frozen but for the network's output."""
    torch.manual_seed(0)
    space = spaces.discover(Between(between), IMAGE)
    groups = {g.name: g.channels for g in space.groups}
    assert groups.pop("c") == 8
    return groups, {f.name: f.reason for f in space.frozen if f.reason != "network output"}


TIED = {"a": 16}
APART = {"a": 16, "b": 16}
TOGETHER = {
    "a one-element parameter before": lambda m, a, b: m.one * a + b,
    "a one-element parameter behind": lambda m, a, b: a * m.one + b,
    "a 0-dim parameter before": lambda m, a, b: m.zero_dim * a + b,
    "a 0-dim parameter behind": lambda m, a, b: a + b * m.zero_dim.exp(),
    "a 0-dim buffer": lambda m, a, b: (a + b) / m.scale,
    "learned weights of a sum": lambda m, a, b: a * m.two[0] + b * m.two.softmax(0)[1],
    "weights by their sum": lambda m, a, b: a * (m.two / m.two.sum())[0] + b,
    "a scale of every channel": lambda m, a, b: m.each * a + b,
    "max.other": lambda _, a, b: torch.max(a, b),
    "min.other": lambda _, a, b: torch.min(a, b),
    "maximum": lambda _, a, b: torch.maximum(a, b),
    "where.self": lambda _, a, b: torch.where(a > 0, a, b),
    "where.ScalarOther": lambda _, a, b: torch.where(a > 0, a, 0.0) + b,
    "pow.Tensor_Tensor": lambda _, a, b: a.abs().add(1) ** b.sigmoid(),
    "lerp.Tensor": lambda m, a, b: torch.lerp(a, b, m.one),
    "addcmul": lambda _, a, b: torch.addcmul(a, b, b),
    "add.Tensor alpha": lambda _, a, b: torch.add(a, b, alpha=0.5),
    "clamp.Tensor": lambda _, a, b: torch.clamp(a, max=b),
    "copy_": lambda _, a, b: torch.zeros_like(a).copy_(a) + b,
    "multiply and subtract": lambda _, a, b: torch.subtract(torch.multiply(a, a), b),
    "divide": lambda _, a, b: torch.divide(a, b.abs().add(1)),
    "moveaxis and back": lambda _, a, b: a.moveaxis(1, -1).moveaxis(-1, 1) + b,
    "index_select by a dim from behind": lambda _, a, b: (
        a.index_select(-1, torch.arange(7, -1, -1)) + b
    ),
    "broadcast_to": lambda _, a, b: a.mean((2, 3), keepdim=True).broadcast_to(b.shape) + b,
    "vstack and sum": lambda _, a, b: torch.vstack([a, b]).sum(0, keepdim=True),
    "ravel": lambda _, a, b: (a.ravel() + b.ravel()).view(a.shape),
    "stack and median.dim": lambda _, a, b: stacked(a, b).median(0).values,
    "stack and sum": lambda _, a, b: stacked(a, b).sum(0),
    "stack and mean behind the channels": lambda _, a, b: stacked(a, b, 2).mean(2),
    "stack and max.dim": lambda _, a, b: stacked(a, b).max(0).values,
    "stack and min.dim": lambda _, a, b: stacked(a, b).min(0)[0],
    "stack and amax": lambda _, a, b: stacked(a, b, -1).amax(-1),
    "stack and prod.dim_int": lambda _, a, b: stacked(a, b).prod(0),
    "stack and norm": lambda _, a, b: stacked(a, b).norm(dim=0),
    "stack and std.correction": lambda _, a, b: stacked(a, b).std(0, correction=0),
    "stack and logsumexp": lambda _, a, b: stacked(a, b).logsumexp(0),
    "stack and softmax": lambda _, a, b: (stacked(a, b, 1).softmax(1) * a[:, None]).sum(1),
}
SEPARATE = {
    "max.default of all": lambda _, a, b: a / a.max() + 0 * b.mean(),
    "mean.default of all": lambda _, a, b: a - a.mean() + b.sum() * 0,
    "var over channels": lambda _, a, b: a / (b.var(1, keepdim=True) + 1),
    "norm.Scalar of all": lambda _, a, b: a / b.norm(),
    "linalg_vector_norm": lambda _, a, b: a / torch.linalg.vector_norm(b, dim=(1, 2, 3))[0],
    "amax over channels and space": lambda _, a, b: a * b.amax((1, 2, 3), keepdim=True),
    "std_mean over channels": lambda _, a, b: a / (torch.std_mean(b, 1, keepdim=True)[0] + 1),
    "softmax over channels": lambda _, a, b: a * b.softmax(1).square().sum(1, keepdim=True),
    "all.dim": lambda _, a, b: a * (b > -9).all(1, keepdim=True),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_meets_is_tied_channel_by_channel(name):
    groups, frozen = offered(TOGETHER[name])
    assert (groups, frozen) == (TIED, {})


@pytest.mark.parametrize("name", SEPARATE)
def test_a_statistic_over_channels_ties_nothing(name):
    """The two layers stay apart; of ``b`` nothing but a statistic is read, which is no layer."""
    groups, frozen = offered(SEPARATE[name])
    assert (groups, frozen) == (APART, {})


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda _, a, b: a + b.topk(16, 1)[0], "enters an operation without a rule (topk at "),
        (lambda _, a, b: a + b.view(torch.int32).float(), "the same bytes as other numbers (view"),
        (
            lambda _, a, b: a + b[:, b.mean((0, 2, 3)).round().long() % 16],
            "at positions that are computed (index at ",
        ),
        (lambda _, a, b: a * b.argmax() * 1.0, "an index that counts channels and more (argmax at"),
    ],
)
def test_forms_without_a_rule_freeze_and_name_operation_and_line(between, reason):
    torch.manual_seed(0)
    traced = trace(Between(between).eval(), IMAGE)
    found = {f.name: f.reason for f in find_groups(traced, None)[1]}["b"]
    assert reason in found
    assert "test_rules.py:" in found


class Products(nn.Module):
    """``x`` through home-made linear layers of 12 and 6 outputs."""

    def __init__(self, product, transposed=False):
        super().__init__()
        sizes = ((12, 20), (6, 12), (4, 6)) if transposed else ((20, 12), (12, 6), (6, 4))
        self.u, self.v, self.w = (nn.Parameter(torch.randn(s) * 0.3) for s in sizes)
        self.product = product

    def forward(self, x):
        x = self.product(self, x, self.u).relu()
        return self.product(self, self.product(self, x, self.v).relu(), self.w)


@pytest.mark.parametrize(
    ("product", "transposed"),
    [
        (lambda _, x, w: x @ w, False),
        (lambda _, x, w: torch.mm(x, w), False),
        (lambda _, x, w: torch.einsum("bi,io->bo", x, w), False),
        (lambda _, x, w: torch.einsum("oi,bi->bo", w, x), True),
        (lambda _, x, w: x @ w.t(), True),
        (lambda _, x, w: x @ w.mT, True),
        (lambda _, x, w: F.linear(x, w), True),
        (lambda _, x, w: F.linear(x, w.T), False),
        (lambda _, x, w: (w @ x.t()).t(), True),
        (lambda _, x, w: (w.transpose(0, 1) @ x.permute(1, 0)).T, False),
    ],
)
def test_products_with_a_parameter_are_linear_layers(product, transposed):
    """12 and 6 channels; 3 rows cost 3·(20·12 + 12·6 + 6·4) multiply-adds."""
    torch.manual_seed(0)
    net, x = Products(product, transposed).eval(), torch.randn(3, 20)
    traced = trace(net, (x,))
    groups, frozen = find_groups(traced, None)
    assert sorted(g.channels for g in groups) == [6, 12]
    assert {f.reason for f in frozen} == {"network output"}
    costs = spaces.cost.layer_flops(traced.costs, net)
    assert sum(costs.values()) == 3 * (20 * 12 + 12 * 6 + 6 * 4)


def test_a_bias_that_is_added_by_addmm_is_cut_with_its_outputs():
    torch.manual_seed(0)

    class Layer(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.1)
            self.bias = nn.Parameter(torch.randn(outputs))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight)

    net = nn.Sequential(Layer(12, 32), nn.ReLU(), Layer(32, 16), nn.ReLU(), Layer(16, 4))
    space = spaces.discover(net, (torch.zeros(1, 12),))
    assert [(g.name, g.channels) for g in space.groups] == [("0", 32), ("2", 16)]
    assert space.full_flops == 12 * 32 + 32 * 16 + 16 * 4


def test_an_output_layer_tied_to_the_embedding_leaves_the_stream_free():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.norm = nn.Embedding(50, 32), nn.LayerNorm(32)
            self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
            self.head = nn.Linear(32, 50, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, ids):
            x = self.embedding(ids)
            return self.head(x + self.down(self.up(self.norm(x)).relu()))

    space = spaces.discover(Tied(), (torch.zeros(1, 6, dtype=torch.long),))
    assert {g.name: g.channels for g in space.groups} == {"embedding": 32, "up": 64}
    assert [(f.name, f.reason) for f in space.frozen] == [("embedding", "network output")]
    assert space.full_flops == 6 * (2 * 32 * 64 + 32 * 50)


def test_one_weight_of_a_layer_and_its_transposed_layer_is_read_where_it_is_read():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.fc = nn.Conv2d(3, 16, 3), nn.Linear(16, 4)
            self.weight = nn.Parameter(torch.randn(12, 16, 1, 1) * 0.1)

        def forward(self, x):
            code = F.conv2d(self.a(x), self.weight).relu()
            return self.fc(F.conv_transpose2d(code, self.weight).mean((2, 3)))

    torch.manual_seed(0)
    space = spaces.discover(Tied(), IMAGE)
    assert sorted(g.channels for g in space.groups) == [12, 16]


def test_an_unbatched_image_has_its_channels_first():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.AvgPool2d(1)
    )
    image = torch.zeros(3, 12, 12)
    space = spaces.discover(net, image)
    assert [(g.name, g.channels) for g in space.groups] == [("0", 16)]
    assert not space.batched
    assert space.full_flops == 100 * 16 * 27 + 9 * 8 * 16 * 9


def test_normalised_weights_take_no_longer_than_they_are_many():
    """Every element of a standardised weight meets one mean: a star of ties, 590,000 wide."""
    labels = spaces.labels.Labels()
    center, rays = labels.fresh(1), labels.fresh(590_000)
    labels.tie(rays, center)
    chain = labels.fresh(590_000)
    labels.tie(chain[1:], chain[:-1])
    assert labels.find(rays).unique().tolist() == [1]
    assert labels.find(chain).unique().tolist() == [int(chain[0])]


class Positions(nn.Module):
    """Learned positions for longer sequences than the example has."""

    def __init__(self, learned):
        super().__init__()
        self.embedding, self.up, self.fc = nn.Embedding(50, 32), nn.Linear(32, 64), nn.Linear(64, 4)
        if learned:
            self.positions = nn.Parameter(torch.randn(1, 16, 32))
        else:
            self.register_buffer("positions", torch.randn(1, 16, 32), persistent=False)

    def forward(self, ids):
        x = self.embedding(ids) + self.positions[:, : ids.shape[1]]
        return self.fc(self.up(x).relu())


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("length", [1, 6, 16])
def test_what_the_example_is_too_short_for_goes_with_its_channels(learned, length):
    torch.manual_seed(0)
    net = Positions(learned)
    space = spaces.discover(net, torch.zeros(1, length, dtype=torch.long))
    assert {g.name: g.channels for g in space.groups} == {"embedding": 32, "up": 64}
    small = spaces.slice_model(net, space, {"embedding": torch.arange(8).numpy()})
    assert small.positions.shape == (1, 16, 8)
    assert small(torch.zeros(1, 16, dtype=torch.long)).shape == (1, 16, 4)


def test_channels_that_can_only_go_together_say_where_they_meet():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.mix, self.fc = nn.Linear(8, 16), nn.Linear(6, 12), nn.Linear(12, 4)

        def forward(self, x):
            return self.fc(self.mix(self.a(x).transpose(1, 2)).relu())

    torch.manual_seed(0)
    space = spaces.discover(Mixed(), torch.zeros(1, 6, 8))
    reason = {f.name: f.reason for f in space.frozen}["a"]
    assert reason.startswith("all 16 can only be removed together: different channels meet (linear")
    assert "in mix at test_rules.py:" in reason
