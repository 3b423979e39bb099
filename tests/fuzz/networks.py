"""Random small networks: a seed is a program of steps, an input and an output form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import fuzz.common_steps
import fuzz.image_steps
import fuzz.odd_steps
import fuzz.sequence_steps  # noqa: F401 (each enters its operations into the table)
from fuzz.draw import DOMAINS, OPERATIONS, Draw, Step
from spaces import inputs as forms

CLASSES = 5
MOST_VALUES = 4096
"""Of one item between two steps: what grows further is drawn again."""


@dataclass(frozen=True)
class Drawn:
    """A network that runs, and how it is called.

    Attributes:
        seed: gives the same again.
        build: the architecture with fresh weights; the same weights each time.
        example: one item, or several, as its forward takes them.
    """

    seed: int
    build: Callable[[], nn.Module]
    example: Any

    @property
    def program(self) -> str:
        """What it is made of, a line a step."""
        given = [f"{tuple(t.shape)} {t.dtype}" for t in forms.tensors(self.example)]
        return f"{type(self.example).__name__} of {', '.join(given)}\n{self.build().text}"


class Network(nn.Module):
    """Steps one after the other; the first ones may take further inputs.

    Args:
        names: the operation of each step.
        output: "logits", or what else comes with them: "tuple", "dict" or "aux" (in train mode).
    """

    def __init__(self, names: list[str], steps: list[Step], output: str) -> None:
        super().__init__()
        self.names, self.output = names, output
        self.steps = nn.ModuleList(steps)

    @property
    def text(self) -> str:
        """A line a step."""
        lines = []
        for name, step in zip(self.names, self.steps, strict=True):
            parts = [f"{key}={part}" for key, part in step.named_children()]
            held = [*step.named_parameters(recurse=False), *step.named_buffers(recurse=False)]
            parts += [f"{key}{tuple(part.shape)}" for key, part in held]
            where = ",".join(map(str, _lines(step.run)))
            lines.append(f"  {name}:{where} {', '.join(parts)}".replace("\n", " "))
        return "\n".join([*lines, f"  -> {self.output}"])

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        if y is not None:
            x = self.merged(x, y)
        early = x
        for place, step in enumerate(self.steps):
            x = step(x)
            early = x if place == 0 else early
        if self.output == "tuple":
            return x, early
        if self.output == "dict":
            return {"logits": x, "features": [early.square()]}
        if self.output == "aux" and self.training:
            return x, early.mean()
        return x

    def merged(self, x: Tensor, y: Tensor) -> Tensor:
        """Both inputs as one."""
        return torch.cat([x, y], 1) if x.dim() == y.dim() else x * y.mean(1).view(-1, 1, 1, 1)


class OfDict(Network):
    """Takes one argument: a dict."""

    def forward(self, batch: dict[str, Tensor]) -> Any:
        return super().forward(batch["x"], batch.get("y"))


def drawn(seed: int) -> Drawn:
    """The network of a seed: the first of its sub-seeds that runs in eval and in train mode.

    >>> print(drawn(7).program)
    """
    for attempt in range(1000):
        made = _attempt(seed, seed * 1000 + attempt)
        if made is not None:
            return made
    raise AssertionError(f"no network of seed {seed} runs")


def _attempt(seed: int, sub_seed: int) -> Drawn | None:
    d = Draw(sub_seed)
    form, output = d.choice(FORMS), d.choice(("logits",) * 6 + ("tuple", "dict", "aux"))
    dtype = d.choice((torch.float32,) * 8 + (torch.bfloat16, torch.float64))
    domain = d.choice(("image", "image", "image", "sequence", "sequence", "tokens", "vector"))
    length, program = d.randint(3, 8), d.getrandbits(40)

    def build() -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sub_seed)
            names, steps = _steps(Draw(program), domain, length, form)
        network = (OfDict if form == "one dict" else Network)(names, steps, output)
        return network.to(dtype)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(sub_seed)
            example = _example(domain, form, dtype)
            _tried(build(), example)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError, AssertionError):
        return None
    return Drawn(seed, build, example)


def _lines(run: Any) -> list[int]:
    """Where a function was written, and those that were drawn for it."""
    if not hasattr(run, "__code__"):
        return []
    drawn = [cell.cell_contents for cell in run.__closure__ or ()]
    return [run.__code__.co_firstlineno, *(line for each in drawn for line in _lines(each))]


FORMS = ("tensor",) * 9 + ("pair", "by name", "one dict", "unbatched", "batch of 3")
"""How a network is called."""


def _tried(network: nn.Module, example: Any) -> None:
    """Run it as it is called, and with a batch, there and back."""
    for mode in (False, True):
        outputs = forms.tensors(forms.call(network.train(mode), example))
        if not all(t.isfinite().all() for t in outputs):
            raise ValueError("not finite")
    sum(t.double().square().mean() for t in outputs).backward()


def _example(domain: str, form: str, dtype: torch.dtype) -> Any:
    items = 3 if form == "batch of 3" else 2 if domain == "vector" else 1
    if domain == "tokens":
        return torch.randint(20, (items, 6))
    shape = {"image": (items, 3, 8, 8), "sequence": (items, 6, 12), "vector": (items, 16)}[domain]
    x = torch.randn(shape, dtype=dtype)
    if form == "unbatched":
        return x[0]
    if form in ("pair", "by name", "one dict"):
        y = torch.randn(shape, dtype=dtype)
        return (x, y) if form == "pair" else {"x": x, "y": y}
    return x


def _steps(d: Draw, domain: str, length: int, form: str) -> tuple[list[str], list[Step]]:
    """So many steps drawn one after the other, each for what the one before gave."""
    names, steps = [], []
    x = _first(d, domain, form, names, steps)
    while len(steps) < length:
        name = d.operation(x)
        step = OPERATIONS[DOMAINS[x.dim()]][name](d, x)
        after = None if step is None else _after(step, x)
        if after is not None:
            names, steps, x = [*names, name], [*steps, step], after
        if d.often(0.08) and x.dim() > 2:
            name, step = _lowered(d, x)
            names, steps, x = [*names, name], [*steps, step], step(x).detach()
    head = _head(d, x, steps)
    return [*names, "head"], [*steps, head]


def _first(d: Draw, domain: str, form: str, names: list[str], steps: list[Step]) -> Tensor:
    """What the first step sees; unbatched inputs and tokens are made into what others take."""
    joined = form in ("pair", "by name", "one dict")
    shape = {"image": (2, 3, 8, 8), "sequence": (2, 6, 12), "vector": (2, 16)}.get(domain)
    if domain == "tokens":
        names.append("embedding")
        steps.append(Step(lambda m, x: m.f(x), f=nn.Embedding(20, d.width())))
        return steps[0](torch.randint(20, (2, 6))).detach()
    assert shape is not None
    if form == "unbatched":
        names.append("unsqueeze")
        steps.append(Step(lambda _, x: x.unsqueeze(0)))
        shape = (1, *shape[1:])
    return torch.randn(shape[0], shape[1] * (2 if joined else 1), *shape[2:])


def _after(step: Step, x: Tensor) -> Tensor | None:
    """What a step gives; None where it does not run or grows too large."""
    try:
        with torch.no_grad():
            after = step.train()(x)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
        return None
    fits = isinstance(after, Tensor) and after.dim() in (2, 3, 4) and after.dtype == x.dtype
    return after if fits and len(after) == len(x) and after[0].numel() <= MOST_VALUES else None


def _lowered(d: Draw, x: Tensor) -> tuple[str, Step]:
    """Out of images into sequences, out of sequences into vectors."""
    if x.dim() == 4:
        return "as_sequence", Step(lambda _, x: x.flatten(2).transpose(1, 2))
    runs = (lambda _, x: x.mean(1), lambda _, x: x[:, -1], lambda _, x: x.amax(1))
    return "as_vector", Step(d.choice(runs))


def _head(d: Draw, x: Tensor, steps: list[Step]) -> Step:
    """Logits: a linear layer behind a mean or a flatten, or the tied embedding."""
    if isinstance(embedding := getattr(steps[0], "f", None), nn.Embedding) and x.dim() == 3:
        f = nn.Linear(x.shape[-1], embedding.embedding_dim, bias=False)
        tied = Step(lambda m, x: nn.functional.linear(m.f(x), m.table), f=f)
        tied.table = embedding.weight
        return tied
    c = x.shape[-1] if x.dim() < 4 else x.shape[1]
    dims = {4: (2, 3), 3: (1,)}.get(x.dim())
    if dims is None:
        return Step(lambda m, x: m.f(x), f=nn.Linear(c, CLASSES))
    size = x[0].numel()
    if size <= 1024 and d.often(0.3):
        flat = d.choice((lambda x: x.flatten(1), lambda x: x.reshape(-1, size)))
        return Step(lambda m, x: m.f(flat(x)), f=nn.Linear(size, CLASSES))
    return Step(lambda m, x: m.f(x.mean(dims)), f=nn.Linear(c, CLASSES))
