from .activations import Activation
from .budget import Budget
from .copies import copied
from .counters import fvcore_flops
from .errors import BudgetError, DataError, ModelError, NothingToPruneError, UserError, unknown
from .groups import ChannelGroup, Frozen, Member, module_of
from .policy import Policy
from .slicing import Selection
from .space import Space, discover, slice_model
from .state import fit_to_state

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
