"""What can be pruned: groups of coupled channels, their exact cost, policies that meet a budget.

space = spaces.discover(model, (torch.zeros(1, 3, 32, 32),))
policy = space.uniform(0.5)
space.flops(policy), space.params(policy)
"""

from spaces.activations import Activation
from spaces.budget import Budget
from spaces.copies import copied
from spaces.counters import fvcore_flops
from spaces.errors import (
    BudgetError,
    DataError,
    ModelError,
    NothingToPruneError,
    UserError,
    unknown,
)
from spaces.groups import ChannelGroup, Frozen, Member, module_of
from spaces.policy import Policy
from spaces.slicing import Selection
from spaces.space import Space, discover, slice_model
from spaces.state import fit_to_state

__all__ = [
    "Activation",
    "Budget",
    "BudgetError",
    "ChannelGroup",
    "DataError",
    "Frozen",
    "Member",
    "ModelError",
    "NothingToPruneError",
    "Policy",
    "Selection",
    "Space",
    "UserError",
    "copied",
    "discover",
    "fit_to_state",
    "fvcore_flops",
    "module_of",
    "slice_model",
    "unknown",
]
