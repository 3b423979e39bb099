"""Any torchvision classifier under torchvision's own name."""

from __future__ import annotations

from functools import cache

from torch import nn

from spaces.errors import ModelError

USUAL = ((3, 224, 224), 1000)
AUXILIARY = ("googlenet", "inception_v3")
"""Networks with extra heads in training; built without, so that one output is what is trained."""


@cache
def names() -> tuple[str, ...]:
    """torchvision's classification models, as its registry lists them."""
    import torchvision  # slow to import; needed only when no family before it knew the name

    return tuple(torchvision.models.list_models(module=torchvision.models))


def options(name: str) -> dict[str, bool]:
    """What ``get_model`` is told besides weights and classes."""
    return {"aux_logits": False, "init_weights": True} if name in AUXILIARY else {}


def build(name: str, classes: int, in_channels: int) -> nn.Module:
    """``torchvision.models.get_model(name)`` with fresh weights and ``classes`` outputs.

    For other than 3 input channels the first convolution is made anew with as many.
    """
    import torchvision

    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **options(name)
    )
    if in_channels == 3:
        return model
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            model.set_submodule(path, _widened(module, in_channels))
            return model
    raise ModelError(
        f"model {name!r} must take {in_channels} input channels to fit the data, but it has no "
        "first convolution that could be changed; choose another model"
    )


def _widened(stem: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
