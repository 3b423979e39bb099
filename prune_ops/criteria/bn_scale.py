"""bn_scale: the magnitude of a channel's BatchNorm scale, the score of network slimming."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prune_ops.channels import channel_sums, weights
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores, lacking
from spaces import Space


class BNScale(Criterion):
    """Size of the BatchNorm scale of a channel.

    S_c = mean |gamma| over the BatchNorm scales that the channel passes.

    Every group must have one; a residual stream has several, one per block. |gamma| is the standard
    deviation of the channel's normalised output, the same unit in every group. It is most
    informative for a network that was trained with an L1 penalty on gamma.

    Definition: Liu et al., Learning Efficient Convolutional Networks through Network Slimming,
    ICCV 2017.
    """

    name = "bn_scale"
    comparable = True

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        gammas = _absolute_scales(stats.model)
        scores = {}
        for group in groups:
            members = weights(group, gammas, {"norm"})
            count = sum(member.index.shape[1] for member in members)
            scores[group.name] = channel_sums(group, members, gammas) / count
        return scores

    def lacks(self, model: nn.Module, space: Space) -> str:
        gammas = _absolute_scales(model)
        bare = [g.name for g in space.groups if not weights(g, gammas, {"norm"})]
        return lacking("a BatchNorm with a scale in every group", "in", bare)


def _absolute_scales(model: nn.Module) -> dict[str, Tensor]:
    """|gamma| by parameter name; the names of one gamma share one tensor object."""
    named = list(model.named_modules(remove_duplicate=False))
    norms = [(name, m) for name, m in named if isinstance(m, _BatchNorm) and m.affine]
    unique = {id(m): m.weight.detach().abs() for _, m in norms}
    return {f"{name}.weight".removeprefix("."): unique[id(m)] for name, m in norms}
