"""What can be pruned: groups of coupled channels, their exact cost, policies that meet a budget.

space = spaces.discover(model, (torch.zeros(1, 3, 32, 32),))
policy = space.uniform(0.5)
space.flops(policy), space.params(policy)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
