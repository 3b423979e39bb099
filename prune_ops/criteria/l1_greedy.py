"""l1_greedy: l1 without the kernels of input channels that are pruned already."""

from __future__ import annotations

from collections.abc import Sequence

from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from prune_ops.greedy import GreedyScores, greedy
from spaces.groups import ChannelGroup


class L1Greedy(Criterion):
    """S_c = Σ|w| over the filters that produce channel c, input channels that are gone left out.

    Which are gone is up to the policy, so the scores are :class:`GreedyScores`: as a mapping they
    are the *independent* norms (criterion l1), with nothing pruned, and a global ranking or
    predicted damage uses these; ``select`` walks the groups in the network's order and ranks each
    one by the kernels that are left. Filters of a residual stream that lie behind layers of later
    groups count those inputs in full: the stream was ranked when its first filter came.

    Raw norms are not comparable across groups; see l1.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, the greedy strategy of
    pruning filters across multiple layers.
    """

    name = "l1_greedy"

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> GreedyScores:
        parameters = evidence.parameters
        sizes = {name: weight.abs() for name, weight in parameters.items()}
        return greedy(groups, parameters, sizes)
