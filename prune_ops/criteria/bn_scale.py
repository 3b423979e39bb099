"""bn_scale: the magnitude of a channel's BatchNorm scale, the score of network slimming."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.calibration_stats import CalibrationStats
from prune_ops.channels import channel_sums, weights
from prune_ops.criterion import Criterion, listed
from prune_ops.scores import Scores
from spaces import Space
from spaces.groups import ChannelGroup, Member


class BNScale(Criterion):
    """S_c = mean |gamma| over the BatchNorm scales that the channel passes.

    There are several in a residual stream, one per block. |gamma| is the standard deviation of the
    channel's normalised output, the same unit in every group, and averaging keeps it so where one
    group has more BatchNorms than another. It is most informative for a network that was trained
    with an L1 penalty on gamma.

    Definition: Liu et al., Learning Efficient Convolutional Networks through Network Slimming,
    ICCV 2017.

    Every group must have a BatchNorm with a scale.
    """

    name = "bn_scale"
    comparable = True

    def __call__(self, groups: Sequence[ChannelGroup], stats: CalibrationStats) -> Scores:
        gammas = _absolute_scales(stats.model)
        scales = {g.name: weights(g, gammas, {"norm"}) for g in groups}
        return {
            g.name: channel_sums(g, scales[g.name], gammas) / _count(scales[g.name]) for g in groups
        }

    def lacks(self, model: nn.Module, space: Space) -> str:
        gammas = _absolute_scales(model)
        bare = [g.name for g in space.groups if not weights(g, gammas, {"norm"})]
        if not bare:
            return ""
        return f"a BatchNorm with a scale in every group, but there is none in {listed(bare)}"


def _absolute_scales(model: nn.Module) -> dict[str, Tensor]:
    """|gamma| by parameter name; the names of one gamma share one tensor object."""
    named = list(model.named_modules(remove_duplicate=False))
    norms = [(name, m) for name, m in named if isinstance(m, _BatchNorm) and m.affine]
    unique = {id(m): m.weight.detach().abs() for _, m in norms}
    return {f"{name}.weight".removeprefix("."): unique[id(m)] for name, m in norms}


def _count(members: Sequence[Member]) -> int:
    return sum(member.index.shape[1] for member in members)
