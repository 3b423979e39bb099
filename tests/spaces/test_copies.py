"""Copies of the user's network: whatever is done to one is not seen in the other."""

import threading
from functools import partial

import pytest
import torch
from networks import Plain
from torch import nn

import spaces
from spaces.copies import copied

IMAGE = torch.zeros(1, 3, 8, 8)
SEEN = {}
COUNT = 0


class Recorder:
    """Keeps outputs, as feature extractors do."""

    def __init__(self):
        self.outputs = []

    def __call__(self, _module, _inputs, output):
        self.outputs.append(output)

    def method(self, _module, _inputs, output):
        self.outputs.append(output)


def counted(_module, _inputs, _output):
    global COUNT
    COUNT += 1


def into(store, _module, _inputs, output):
    store.append(output)


def recording(net):
    """Every way to keep an output, and what it is kept in."""
    own, recorder, other, listed, partially = {}, Recorder(), Recorder(), [], []
    net.kept = {}
    for hook in (
        lambda _m, _i, output: own.update(output=output),
        lambda _m, _i, output: SEEN.update(output=output),
        lambda _m, _i, output: net.kept.update(output=output),
        lambda module, _i, output: setattr(module, "last", output),
        lambda _m, _i, output, store=listed: store.append(output),
        partial(into, partially),
        recorder.method,
        other,
        counted,
    ):
        net.a.register_forward_hook(hook)
    return lambda: (
        *(own.get("output"), SEEN.get("output"), net.kept.get("output")),
        *(getattr(net.a, "last", None), len(recorder.outputs), len(other.outputs)),
        *(len(listed), len(partially), COUNT),
    )


@pytest.mark.parametrize("ran_before", [False, True])
def test_hooks_of_a_copy_write_to_copies(ran_before):
    torch.manual_seed(0)
    net = Plain()
    kept = recording(net)
    if ran_before:
        net(IMAGE)
    before = kept()
    space = spaces.discover(net, IMAGE)
    small = spaces.slice_model(net, space, {"a.0": torch.arange(4).numpy()})
    copied(net)(IMAGE)
    after = kept()
    assert all(
        x is y if isinstance(x, torch.Tensor) else x == y
        for x, y in zip(before, after, strict=True)
    )
    assert [g.name for g in space.groups] == ["a.0", "b.0"]
    small(IMAGE)
    assert small.kept["output"].shape == (1, 4, 8, 8)
    assert kept()[2] is before[2]


def test_hooks_of_the_cut_network_go_on_writing_to_the_users_own_lists():
    torch.manual_seed(0)
    net, seen = Plain(), []
    net.a.register_forward_hook(lambda _m, _i, output: seen.append(tuple(output.shape)))
    small = spaces.slice_model(net, spaces.discover(net, IMAGE), {"a.0": torch.arange(4).numpy()})
    assert seen == []
    small(IMAGE)
    assert seen == [(1, 4, 8, 8)]


def test_a_forward_put_in_place_of_the_classs_is_that_of_the_copy():
    torch.manual_seed(0)
    net = Plain()
    old = net.a.forward
    net.a.forward = lambda x: 2 * old(x)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    space = spaces.discover(net.train(), torch.randn(2, 3, 8, 8))
    assert [g.name for g in space.groups] == ["a.0", "b.0"]
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    small = spaces.slice_model(net, space, {"a.0": torch.arange(4).numpy()}).eval()
    with torch.no_grad():
        small.a[0].weight.fill_(0.0)
        small.a[1].bias.fill_(3.0)
    assert small.a(IMAGE).eq(6).all()
    assert not net.a.eval()(IMAGE).eq(6).all()


def test_what_cannot_be_copied_is_named_in_one_line():
    net = Plain()
    net.b.lock = threading.Lock()
    with pytest.raises(spaces.ModelError, match="attribute 'lock' of b is not") as told:
        spaces.discover(net, IMAGE)
    assert "\n" not in str(told.value)


LAYERS = {}


class Reaching(Plain):
    """Uses a layer by a global: a copy uses that of the original."""

    def forward(self, x):
        return self.head(LAYERS["b"](self.a(x)))


def test_layers_that_a_copy_would_share_are_refused_and_left_as_they_were():
    torch.manual_seed(0)
    net = Reaching()
    LAYERS["b"] = net.b
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(spaces.ModelError, match="reached by a global or a closure"):
        spaces.discover(net.train(), torch.randn(4, 3, 8, 8))
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())


def test_a_model_that_does_not_go_into_eval_mode_is_told_in_one_line():
    class Stubborn(Plain):
        def train(self, mode=True):
            if not mode:
                raise RuntimeError("never\neval")
            return super().train(mode)

    refused = r"eval\(\) fails with RuntimeError: never \(.*\); mend"
    with pytest.raises(spaces.ModelError, match=refused):
        spaces.discover(Stubborn(), IMAGE)


def compiled(net):
    net.b = torch.compile(net.b)
    return net


def lazy(net):
    net.b[0] = nn.LazyConv2d(32, 3)
    return net


def parallel(net):
    return nn.DataParallel(net)


def on_meta(net):
    return net.to("meta")


class Forgetful(Plain):
    """A common slip: ``eval`` calls it, and returns what it returns."""

    def train(self, mode=True):
        super().train(mode)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (compiled, "must be uncompiled, but 'b' is a OptimizedModule; give the network that was"),
        (torch.jit.script, "must be Python code, but it is a RecursiveScriptModule; give the"),
        (parallel, "must be on one device, but it is a DataParallel; give the network inside"),
        (lazy, "'b.0.weight' is lazy and has none yet; run the model once on an example"),
        (on_meta, "is on the meta device; load them first"),
        (lambda _: Forgetful(), "must return the model itself, but it returned NoneType; end"),
        (lambda net: net.forward, "must be a torch.nn.Module, but got method"),
    ],
)
def test_networks_that_cannot_be_searched_as_they_come_are_refused_in_one_line(kind, message):
    with pytest.raises(spaces.ModelError) as told:
        spaces.discover(kind(Plain()), IMAGE)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_a_network_compiled_in_place_is_searched_as_it_is_written():
    torch.manual_seed(0)
    net = Plain()
    net.compile()
    assert [g.name for g in spaces.discover(net, IMAGE).groups] == ["a.0", "b.0"]
    assert net._compiled_call_impl is not None
