"""iso_damage and accuracy_drop: each group pruned alone, and widths of equal damage."""

from __future__ import annotations

from prune_ops.sensitivities.sensitivity import Sensitivity


class IsoDamage(Sensitivity):
    """A table, group × width: by how much this one change raises the loss, made monotone.

    The lowest-ranked channels of the criterion are removed; the network is evaluated untrained,
    with the unpruned network's BatchNorm statistics. In a group with more than eight widths on the
    lattice eight are measured and the rest interpolated linearly. Once measured, the table serves
    every budget: at one common damage every group takes its smallest width that does at most that,
    and bisection finds the least damage that meets the budget.

    The sum over groups is the proxy of this name. Neither sees interactions between two groups.
    """

    name = "iso_damage"
    unit = "loss"


class AccuracyDrop(Sensitivity):
    """The same table of the drop in accuracy; both evaluate the same networks.

    The paper ranks channels by l1, and reads from the curves, by eye, which layers are sensitive
    and should keep more. On images that the network was trained on, accuracy often does not fall at
    all for the first channels; the groups that tolerate that are then pruned alike.

    Definition: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.2.
    """

    name = "accuracy_drop"
    unit = "accuracy"
