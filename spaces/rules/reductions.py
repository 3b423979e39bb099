"""Reductions over space pass channels on; over channels they take a statistic of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx
from torch.utils._pytree import tree_map

from spaces.nodes import operation
from spaces.rules.pointwise import pointwise
from spaces.rules.table import rule
from spaces.walk import Walk, neutral


@rule("mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "linalg_vector_norm")
@rule("logsumexp", "prod", "argmax", "argmin", "var_mean", "std_mean", "all", "any", "nansum")
@rule("nanmean", "median", "aminmax", "count_nonzero", "linalg_norm", "frobenius_norm")
def _reduce(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    if "other" in args:  # torch.max(a, b)
        return pointwise(walk, node, args)
    labels = walk.label(node.args[0])
    dims = _dims(args.get("dim"), labels.dim())
    channels = [d for d in walk.labels.varying(labels) if d in dims]
    if channels:
        if args.get("dim") is None and operation(node) in ("argmax", "argmin"):
            raise ValueError("an index that counts channels and more")
        labels = _over(walk, node, labels, channels)
    for dim in sorted(dims, reverse=True):
        labels = labels.narrow(dim, 0, 1) if args.get("keepdim") else labels.select(dim, 0)
    return tree_map(lambda _: labels, node.meta["val"])


def _dims(given: Any, count: int) -> list[int]:
    """The dims that are reduced; all of them where none is named."""
    if given is None or given == []:
        return list(range(count))
    listed = given if isinstance(given, (list, tuple)) else [given]
    return [d % count for d in listed] if count else []


def _over(walk: Walk, node: fx.Node, labels: Tensor, dims: list[int]) -> Tensor:
    """What a reduction over dims along which channels differ leaves.

    Where they differ along another dim too, they lie along that one, and what is reduced are pieces
    put side by side, by ``torch.stack`` say: the pieces meet as in a sum of them. Else the channels
    themselves are reduced, to a statistic of them.
    """
    others = [d for d in walk.labels.varying(labels) if d not in dims]
    line = max(dims, key=lambda d: (labels.shape[d], d)) if not others else None
    for dim in dims:
        if dim != line:
            walk.labels.tie(labels, labels.narrow(dim, 0, 1))
    if line is None:
        return labels
    walk.statistic(node, line, walk.along(node, labels, line))
    return neutral(tuple(labels.shape))


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp")
def _along(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(node.args[0])
    dim = args["dim"] % labels.dim()
    varying = walk.labels.varying(labels)
    if dim in varying and len(varying) > 1:  # over pieces put side by side
        walk.labels.tie(labels, labels.narrow(dim, 0, 1))
    elif dim in varying:
        walk.statistic(node, dim, walk.along(node, labels, dim))
    return labels


@rule("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d")
@rule("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
@rule("max_pool3d", "avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d")
@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d")
@rule("upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d")
@rule("_upsample_nearest_exact2d", "_upsample_bilinear2d_aa")
def _spatial(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    """What looks at each channel for itself; how many dims of space there are is in its name."""
    labels, shape = walk.label(node.args[0]), walk.shape(node)
    space = next(int(c) for c in operation(node) if c.isdigit())
    line = walk.along(node, labels, -space - 1)  # channels; before them there may be no batch
    pooled = line.view(-1, *(1 for _ in range(space))).expand(shape)
    return tree_map(lambda _: pooled, node.meta["val"])
