"""Reductions over space pass channels on; over channels they take a statistic of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from spaces.rules.table import operation, rule
from spaces.walk import Walk, neutral


@rule("mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "linalg_vector_norm")
@rule("logsumexp", "prod", "argmax", "argmin", "var_mean", "std_mean")
def _reduce(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Any:
    labels = walk.label(node.args[0])
    dims = args.get("dim")
    dims = list(range(labels.dim())) if dims is None or dims == [] else dims
    dims = [d % labels.dim() for d in (dims if isinstance(dims, (list, tuple)) else [dims])]
    channels = [d for d in walk.labels.varying(labels) if d in dims]
    if channels:
        walk.statistic(node, channels[0], walk.labels.along(labels, channels[0]))
        if len(walk.labels.varying(labels)) > 1 or (
            len(dims) > 1 and operation(node) not in ("mean", "sum")
        ):
            raise ValueError("a statistic over channels and more")
        labels = neutral(tuple(labels.shape))
    for dim in sorted(dims, reverse=True):
        labels = labels.narrow(dim, 0, 1) if args.get("keepdim") else labels.select(dim, 0)
    value = node.meta["val"]
    return labels if isinstance(value, Tensor) else [labels for _ in value]


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "softmin", "cumsum", "normalize")
def _along(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Tensor:
    labels = walk.label(node.args[0])
    dim = args["dim"] % labels.dim()
    if dim in walk.labels.varying(labels):
        walk.statistic(node, dim, walk.labels.along(labels, dim))
    return labels


@rule("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d")
@rule("max_pool2d_with_indices", "upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d")
@rule("upsample_bicubic2d", "upsample_linear1d", "upsample_trilinear3d", "upsample_nearest3d")
@rule("lp_pool2d", "adaptive_max_pool1d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa")
def _spatial(walk: Walk, node: fx.Node, _: dict[str, Any]) -> Any:
    labels = walk.label(node.args[0])
    shape = walk.shape(node)
    line = walk.labels.along(labels, 1)
    pooled = line.view(-1, *(1 for _ in shape[2:])).expand(shape)
    value = node.meta["val"]
    return pooled if isinstance(value, Tensor) else [pooled for _ in value]
