"""A Python file that rebuilds the pruned network with torch and safetensors alone.

It builds the unpruned architecture from where that comes from, gives every parameter and buffer the
shape and values in the ``.safetensors`` file beside it, and sets those attributes of modules that
the pruned shapes changed: forwards read some of them, ``groups`` say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search.exporting.builders import Builder
from search.exporting.formats import Format, Run
from search.exporting.literals import literal
from search.exporting.safetensors import write_tensors
from search.exporting.subject import Subject
from spaces.errors import ModelError, UserError, in_one_line
from spaces.slicing import named_tensors
from spaces.state import EXTRA, empty, is_extra

TEMPLATE = '''\
"""{title}

    from {stem} import load

    model = load()  # in eval mode, on the CPU

It needs torch, safetensors{needs} and, beside it, {stem}.safetensors.
Written by pruning-policy-search, which need not be installed.
"""

from __future__ import annotations

{imports}

WEIGHTS = Path(__file__).with_name("{stem}.safetensors")

# Group of layers to the channels that each of them keeps.
POLICY = {widths}

# Attributes of modules that follow from the pruned shapes.
ATTRIBUTES = {attributes}


def load(weights=WEIGHTS, device="cpu"):
    """The pruned network with its weights, in eval mode."""
    model = {expression}
    tensors = load_file(weights)
{apart}    for name, tensor in tensors.items():
        path, _, own = name.rpartition(".")
        _put(model.get_submodule(path), own, tensor)
    for path, attributes in ATTRIBUTES.items():
        for name, value in attributes.items():
            setattr(model.get_submodule(path), name, value)
{more}    return model.eval().to(device)


def _put(module, name, tensor):
    """Give a parameter or buffer its pruned shape and values; layers that share it go on to."""
    table = module._parameters if name in module._parameters else module._buffers
    if table.get(name) is None:
        table[name] = tensor
    else:
        table[name].data = tensor
{definitions}'''


APART = """\
    extra = {name: tensors.pop(name) for name in [*tensors] if name.startswith("extra/")}
"""
"""A line that only extra state with tensors in it needs."""


@dataclass(frozen=True)
class AsCode(Format):
    """A ``.py`` file, and the ``.safetensors`` file that it reads."""

    builder: Builder
    title, runtime, traced = "Python and safetensors", "Python", False

    def names(self, stem: str) -> list[str]:
        return [f"{stem}.py", f"{stem}.safetensors"]

    def write(self, subject: Subject, folder: Path, stem: str) -> None:
        if not stem.isidentifier():
            raise UserError(
                f"--out must be a name that Python can import, but got {stem!r}; use letters, "
                "digits and _"
            )
        must = "the unpruned architecture must be built by its own lines, but they fail with"
        with in_one_line(ModelError, must, "export --to pt2"):
            fresh = self.builder.build()
        extra: dict[str, Tensor] = {}
        (folder / f"{stem}.py").write_text(self._text(subject, fresh, stem, extra))
        tensors = named_tensors(subject.model) | extra
        write_tensors(tensors, subject.widths, folder / f"{stem}.safetensors")

    def read(self, subject: Subject, folder: Path, stem: str) -> Run:
        path = folder / f"{stem}.py"
        names: dict[str, Any] = {"__file__": str(path), "__name__": stem}
        with in_one_line(ModelError, "the written code must run, but it fails with"):
            exec(compile(path.read_text(), str(path), "exec"), names)
            run: Run = names["load"]()
        return run

    def usage(self, subject: Subject, stem: str) -> list[str]:
        return [f"from {stem} import load", "", "outputs = load()(...)"]

    def _text(self, subject: Subject, fresh: nn.Module, stem: str, extra: dict[str, Tensor]) -> str:
        model, own = subject.model, self.builder
        more = "".join((*_emptied(model), *_extra_states(model, extra)))
        needed = [module for module in ("collections", "torch") if f"{module}." in more]
        imports = {*own.imports, *(f"import {module}" for module in needed)}
        imports |= {"from pathlib import Path", "from safetensors.torch import load_file"}
        return TEMPLATE.format(
            title=subject.title,
            stem=stem,
            needs=f", {own.needs}" if own.needs else "",
            imports=_grouped(imports),
            widths=_table(subject.widths),
            attributes=_table(changed_attributes(fresh, model)),
            expression=own.expression,
            apart=APART if extra else "",
            more=more,
            definitions=f"\n\n{own.definitions}\n" if own.definitions else "",
        )


def _grouped(imports: Iterable[str]) -> str:
    """The standard library's first, then the others."""
    own: list[str] = []
    others: list[str] = []
    for line in sorted(imports):
        package = line.split()[1].partition(".")[0]
        (own if package in sys.stdlib_module_names else others).append(line)
    return "\n".join([*own, "", *others])


def _table(rows: Mapping[str, Any]) -> str:
    """A dict, an item a line."""
    return "".join(["{\n", *(f"    {key!r}: {value!r},\n" for key, value in rows.items()), "}"])


def changed_attributes(fresh: nn.Module, pruned: nn.Module) -> dict[str, dict[str, Any]]:
    """Module to the public attributes, whole numbers and tuples of them, that pruning changed."""
    changed: dict[str, dict[str, Any]] = {}
    for path, module in pruned.named_modules():
        before = vars(fresh.get_submodule(path))
        for name, value in vars(module).items():
            if not name.startswith("_") and _is_size(value) and before.get(name) != value:
                changed.setdefault(path, {})[name] = value
    return changed


def _is_size(value: Any) -> bool:
    return type(value) is int or (type(value) is tuple and all(type(n) is int for n in value))


def _emptied(model: nn.Module) -> Iterator[str]:
    """Lines that empty the buffers that are None until a forward fills them."""
    for whole in empty(model):
        path, _, name = whole.rpartition(".")
        yield f"    model.get_submodule({path!r})._buffers[{name!r}] = None\n"


def _extra_states(model: nn.Module, tensors: dict[str, Tensor]) -> Iterator[str]:
    """Lines that give modules what `get_extra_state` gave; the tensors in that go into a table."""
    for key, value in model.state_dict().items():
        path = key.removesuffix(EXTRA).rstrip(".")
        if not is_extra(key) or not _takes_extra_state(model.get_submodule(path)):
            continue
        told = literal(value, f"extra/{path}", tensors, "extra")
        yield f"    model.get_submodule({path!r}).set_extra_state({told})\n"


def _takes_extra_state(module: nn.Module) -> bool:
    return type(module).set_extra_state is not nn.Module.set_extra_state
