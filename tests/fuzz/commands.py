"""Random command lines: every option with values that fit and that do not."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence

from fuzz.draw import Draw
from fuzz.folders import CONFIGS, MODULES, SMALL, SPOILED
from fuzz.strange_data import DATA
from fuzz.strange_models import MODELS
from search.comparison.config import CompareConfig
from search.config import SearchConfig
from search.options import flag

ODD = (
    *("", " ", "abc", "-1", "0", "-0", "1.5", "nan", "-nan", "inf", "-inf", "1e400", "1e-400"),
    *("99999999999999999999999999", "-99999999999999999999", "0x10", "1_0", "٣", "½", "½%"),
    *("🙂", "\udcff", "a\nb", "a b", "None", "True", "null", "[]", "--", "-", "-x", "../x", "/"),
    *("x" * 300, "%s", "{}", "'", '"', "$HOME", "~", "*", "\\", "0,5", "1 2", "--help-me"),
)
"""Values that hardly anything takes."""

PATHS = (
    *("weights.pt", "base.pt", "nan.pt", "nothing.pt", "list.pt", "pickled.pt", "numbers.pt"),
    *("checkpoint.pt", "several.pt", "half.pt", "integers.pt", "good.safetensors"),
    *(
        "cut.safetensors",
        "cut.pt",
        "text.pt",
        "zero.pt",
        "empty",
        "missing",
        "missing/deep.pt",
        "runs/a_file/x",
    ),
    "/dev/null",
)
FOLDERS = ("runs", "runs", "empty", "missing/deep", "text.pt", "text.pt/below", "/proc/none", ".")
LISTS = ("criteria", "proxies", "models", "data", "arms", "samplers")
RUNS = ("thesis", "a_file", "begun", "missing", ".cache", ".", "..", *CONFIGS)

FIT: dict[str, Sequence[str]] = {
    "budget": ("0.5", "0.9", "1", "60M", "1e6", "100%", "50%", "1k", "0.0001", "1.0001", "5G"),
    "trials": ("1", "2"),
    "seed": ("1", "4294967295", "4294967296", "123456789"),
    "rungs": ("1", "1 2", "2 1", "1 1"),
    "eta": ("1.0001", "2", "1e30", "1"),
    "explore": ("0", "1", "0.5"),
    "repeats": ("0", "1"),
    "lr": ("0.1", "1e-30", "1e30", "1e-320"),
    "batch_size": ("1", "2", "7", "64", "1000000"),
    "layer_epochs": ("1",),
    "train_loop": ("no_module:f", "os:getcwd", "a"),
    "inside": ("blocks", "blocks blocks", "blocks.0", "conv1", "linear", "no_such_module"),
    "limit": ("params=0.9", "memory=0.9", "params=0.5 memory=5kB", "params=0.001", "flops=0.5"),
    "latency_batch": ("1", "64"),
    "label_smoothing": ("0", "0.1", "1", "1.1"),
    "clip_norm": ("1", "1e-30", "1e30", "0"),
    "ema": ("0.9", "0.999", "0", "1"),
    "distill_weight": ("0.5", "1", "0", "1.1"),
    "distill_temperature": ("1", "4", "1e-30", "1e30", "0"),
    "final_epochs": ("1",),
    "final_seeds": ("1", "2"),
    "workers": ("1",),
    "sparsity": ("0", "1e-4", "1e30"),
    "slimming_sparsity": ("0", "1e-4", "1e30"),
    "task": ("no_module:f", "os:getcwd", "a"),
    "loss": ("no_module:f", "os:getcwd", "torch.nn.functional:mse_loss"),
    "metric": ("no_module:f", "os:getcwd", "search:ACCURACY"),
    "image_size": ("1", "8", "9", "16", "1000000000"),
    "classes": ("2", "10", "12", "1"),
    "train_images": ("1", "2", "3", "17", "48", "100000"),
    "round_to": ("1", "2", "3", "8", "1000", "1000000000000"),
    "cpus_per_trial": ("1", "0.5", "1e9"),
    "gpus_per_trial": ("0", "0.5"),
    "address": ("auto", "127.0.0.1:1"),
    "storage": ("postgresql://nobody@127.0.0.1:1/x", "sqlite:///x.db", "mysql://x", "postgresql:/"),
    "log": ("tensorboard", "none", "tensorboard none", "tensorboard tensorboard", "no_module:f"),
    "max_hours": ("1e-4", "0.01", "1", "1e30", "0"),
    "engine": ("local",),  # Ray's own tests start Ray, which takes longest
    "device": ("cpu", "auto", "cuda", "cuda:7", "cpu:0", "mps"),
    "runs_dir": FOLDERS,
    "name": RUNS,
    "weights": PATHS,
    "seeds": ("1", "2"),
    "front": ("1", "3"),
    "finetune_epochs": ("1",),
    "base_epochs": ("1",),
    "sweep_epochs": ("1",),
    "rates": ("0.1", "0.1 0.01", "0.1 0.1", "1e30", "nan", "0"),
}
"""Option → words that are of its type, most of which it takes; the rest are in the tables."""

Options = dict[str, tuple[type, bool, Sequence[str]]]
"""Name → type, whether it takes several, and the known names."""


def options_of(*configs: object) -> Options:
    """Every option of these dataclasses."""
    found: Options = {}
    for config in configs:
        hints = typing.get_type_hints(type(config))
        for each in dataclasses.fields(config):  # type: ignore[arg-type]
            kinds = [k for k in typing.get_args(hints[each.name]) if k is not types.NoneType]
            several = typing.get_origin(hints[each.name]) is tuple
            kind = kinds[0] if kinds else hints[each.name]
            found[each.name] = kind, several, each.metadata["names"]
    return found


PARTS = tuple(vars(SearchConfig()).values())
SEARCH = options_of(*PARTS)
COMPARE = options_of(CompareConfig())
INSPECT = options_of(SearchConfig().task)
FREE = {
    f.name for each in (*PARTS, CompareConfig()) for _, f in each.leaves() if f.metadata["free"]
}
"""Those that change no result; what of the others is yes or no can be denied too."""
GROWS = {f.name for _, f in SearchConfig().leaves() if f.metadata["grows"]}
assert set(SEARCH) == {f.name for _, f in SearchConfig().leaves()}


def drawn(seed: int) -> list[str]:
    """The command line of a seed.

    >>> drawn(52)
    ['list', 'None']
    """
    d = Draw(seed)
    kinds: tuple[Callable[[Draw], list[str]], ...]
    kinds = search, inspect, compare, report, nonsense, solve, extend, listing, export
    return d.choices(kinds, (42, 21, 10, 9, 5, 4, 3, 3, 3))[0](d)


def search(d: Draw) -> list[str]:
    """Most with weights, since training the baseline takes longest."""
    words = [*SMALL, *_task(d), *_some(d, SEARCH, d.choice((0, 0, 1, 1, 2, 4)))]
    return words if d.often(0.95) else [*words, "--resume"]


def inspect(d: Draw) -> list[str]:
    return ["inspect", *_task(d), *_some(d, INSPECT, d.choice((0, 0, 1, 2)))]


def compare(d: Draw) -> list[str]:
    brief = ("--seeds", "1", "--finetune-epochs", "1", "--base-epochs", "1", "--rates", "0.01")
    own = _some(d, COMPARE, d.choice((0, 1, 2)))
    if d.often(0.7):
        return ["compare", _run(d), *brief, *own, *_some(d, SEARCH, d.choice((0, 0, 1)))]
    return ["compare", *SMALL, *_task(d), *brief, *own, *_some(d, SEARCH, 1)]


def report(d: Draw) -> list[str]:
    words = ["report", *(_run(d) for _ in range(d.choice((0, 1, 1, 2, 3))))]
    if d.often(0.4):
        words += ["--out", d.choice((*FOLDERS, "out.html", "weights.pt/x", *ODD))]
    if d.often(0.2):
        words += ["--storage", d.choice((*FIT["storage"], *ODD))]
    return words


def solve(d: Draw) -> list[str]:
    run = "runs/done" if d.often(0.7) else _run(d)
    fit = "0.3", "0.5", "0.7", *FIT["budget"][:3]
    budgets = [d.choice(fit if d.often(0.8) else FIT["budget"]) for _ in range(d.choice((1, 1, 2)))]
    words = ["solve", run, "--budget", *(budgets if d.often(0.8) else [d.choice(ODD)])]
    if d.often(0.3):
        words += ["--save", d.choice((*FOLDERS, "policy.json", "weights.pt/x", *ODD))]
    if d.often(0.2):
        words += ["--storage", d.choice((*FIT["storage"], *ODD))]
    return [*words, "--json"] if d.often(0.3) else words


def extend(d: Draw) -> list[str]:
    """What may grow, of a run that has ended or of another; hardly ever by much."""
    words = ["--resume", "--name", d.choice(("done", "done", *RUNS)), "--runs-dir", "runs"]
    return [*words, *_some(d, {name: SEARCH[name] for name in GROWS}, d.choice((1, 1, 2)))]


def listing(d: Draw) -> list[str]:
    if d.often(0.5):
        return ["list", *([d.choice((*LISTS, *ODD))] if d.often(0.9) else [])]
    return ["runs", *(["--runs-dir", d.choice((*FOLDERS, *ODD))] if d.often(0.8) else [])]


def export(d: Draw) -> list[str]:
    words = ["export", "runs/done" if d.often(0.7) else _run(d)]
    words += ["--as-code"] if d.often(0.3) else ["--to", d.choice(("onnx", "pt2", "safetensors"))]
    some = {
        "--trial": ("best", "unpruned", "uniform-0.5", "0", *ODD),
        "--out": (*FOLDERS, "net", "net.onnx", "net.py", "my-net", "weights.pt/x", *ODD),
        "--batch": ("dynamic", "1", "3", *ODD),
        "--images": ("1", "7", "10000000000000000000000", *ODD),
        "--storage": (*FIT["storage"], *ODD),
    }
    for name, values in some.items():
        if d.often(0.25):
            words += [name, d.choice(values)]
    return words


def nonsense(d: Draw) -> list[str]:
    """Words in any order."""
    flags = [*map(flag, [*SEARCH, *COMPARE]), "--help", "-h", "--version", "--sampl", "--budget=1"]
    known = ["inspect", "compare", "report", "solve", "list", "runs", "searc", *flags, *ODD, *RUNS]
    return [d.choice(known) for _ in range(d.randint(1, 4))] + ["--trials", "none"]


def _task(d: Draw) -> list[str]:
    """A model and data, of which one is strange, or neither."""
    model = f"fuzz.strange_models:{d.choice([*MODELS, 'number', 'absent'])}"
    data = f"fuzz.strange_data:{d.choice([*DATA, 'CLASSES', 'absent'])}"
    folder = d.choice(("", ".", "/", "missing", "text.pt", *SPOILED))
    draw = d.random()
    if draw < 0.35:
        return ["--model", model]
    if draw < 0.7:
        mine = ("fuzz.strange_models:good", "digits_cnn")
        return ["--model", d.choice(mine), "--data", data]
    if draw < 0.8:
        source = d.choice(("imagefolder", "cifar10", "fashion-mnist", "digits"))
        return ["--data", f"{source}:{folder or 'missing'}"]
    if draw < 0.86:
        spec = f"{d.choice([*MODULES, '', '.', 'a.b', 'é', 'os'])}:{d.choice(('f', '', 'path'))}"
        return [d.choice(("--model", "--data")), spec]
    return [] if draw < 0.9 else ["--weights", "weights.pt"]


def _run(d: Draw) -> str:
    return d.choice((*(f"runs/{name}" for name in RUNS), *FOLDERS, *ODD, "done", "runs/done"))


def _some(d: Draw, options: Options, count: int) -> list[str]:
    return [word for _ in range(count) for word in _one(d, d.choice(sorted(options)), options)]


def _one(d: Draw, name: str, options: Options) -> list[str]:
    kind, several, names = options[name]
    if kind is bool:
        return [flag(name if name in FREE or d.often(0.5) else f"no_{name}")]
    count = d.choice((1, 1, 2, 3)) if several else 1
    values = [word for _ in range(count) for word in _value(d, name, names)]
    if d.often(0.1):
        return [f"{flag(name)}={' '.join(values)}"]
    return [flag(name), *values]


def _value(d: Draw, name: str, names: Sequence[str]) -> list[str]:
    if d.often(0.35):
        return [d.choice(ODD)]
    if name in ("model", "data"):
        return _task(d)[1:2] or ["digits_cnn"]
    return d.choice(FIT.get(name, names)).split() if d.often(0.9) else []
