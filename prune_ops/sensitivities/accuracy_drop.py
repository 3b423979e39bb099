"""accuracy_drop: by how much accuracy falls when the lowest-ranked channels of one group go."""

from __future__ import annotations

from prune_ops.sensitivities.sensitivity import Sensitivity


class AccuracyDrop(Sensitivity):
    """A curve per group: accuracy against the share of its channels that is removed, untrained.

    The lowest-ranked channels of the criterion are removed (l1 in the paper), at most eight widths
    per group, the same networks that `iso_damage` evaluates by their loss. The paper reads from the
    curves, by eye, which layers are sensitive and should keep more. Here every group is pruned as
    far as its own curve stays within one common drop, bisected until the budget is met. On images
    that the network was trained on, accuracy often does not fall at all for the first channels; the
    groups that tolerate that are then pruned alike.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.2.
    """

    name = "accuracy_drop"
    unit = "accuracy"
