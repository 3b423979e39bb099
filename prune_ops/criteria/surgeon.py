"""obs: by what the loss loses once the remaining channels have made up for a channel."""

from __future__ import annotations

from prune_ops import surgeon
from prune_ops.criterion import CalibrationStats, Criterion, Groups, Scores


class OptimalBrainSurgeon(Criterion):
    """What is lost once all others have made up for it.

    S_c = ½ Σ_o F_o E[(Σ_i w_oi x_i − Σ_i w′_oi x_i)²]: what it costs when channel c goes last.

    The sum is over the outputs o of every layer that reads the group, x what their kernels see, w′
    the weights of the remaining channels that give back the most, and F_o how much an error of that
    output moves the outputs of the network: the mean squared gradient of a random direction of them
    (`prune_ops.probing`). Errors of an image's mean, which add up over positions, and deviations
    from it are weighed apart (`InputMoments.metric`). Channels go one after another, each time the
    one that costs least, and those left make up for all before; a channel is scored no lower than
    any that went before it. Targets are not used. Comparable across groups.

    A group that no convolution and no linear layer reads is scored as by ``second_order``, with the
    same random directions for the loss.

    Definition: the structured removal of Kurtić et al., ZipLM, NeurIPS 2023, after Hassibi and
    Stork, Optimal Brain Surgeon, NeurIPS 1992; weighing outputs by their Fisher information, as
    Theis et al., 2018, do for single channels, and means apart is our own.
    """

    name = "obs"
    comparable = True
    requires = surgeon.REQUIRES

    def __call__(self, groups: Groups, stats: CalibrationStats) -> Scores:
        return {group.name: surgeon.removal(group, stats).scores for group in groups}
