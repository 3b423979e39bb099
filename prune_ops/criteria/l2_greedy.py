"""l2_greedy: l2 without the kernels of input channels that are pruned already."""

from __future__ import annotations

from collections.abc import Sequence

from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from prune_ops.greedy import GreedyScores, greedy
from spaces.groups import ChannelGroup


class L2Greedy(Criterion):
    """S_c = √Σw² over the filters that produce channel c, input channels that are gone left out.

    Which are gone is up to the policy, so the scores are :class:`GreedyScores`: as a mapping they
    are the *independent* norms (criterion l2), with nothing pruned, and a global ranking or
    predicted damage uses these; ``select`` walks the groups in the network's order and ranks each
    one by the kernels that are left. Filters of a residual stream that lie behind layers of later
    groups count those inputs in full: the stream was ranked when its first filter came.

    Raw norms are not comparable across groups; see l2.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, the greedy strategy of
    pruning filters across multiple layers, with their ℓ₂ variant of the norm.
    """

    name = "l2_greedy"

    def __call__(self, groups: Sequence[ChannelGroup], evidence: Evidence) -> GreedyScores:
        parameters = evidence.parameters
        squares = {name: weight.square() for name, weight in parameters.items()}
        sums = greedy(groups, parameters, squares)
        return sums.having({name: values.sqrt() for name, values in sums.items()})
