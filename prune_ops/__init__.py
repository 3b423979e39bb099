"""How a network is pruned: channel scores, surgery, and policies judged without training.

>>> scores = prune_ops.score(model, space, batches, criteria=["second_order"])   # doctest: +SKIP
>>> small = prune_ops.prune(model, space, policy, scores["second_order"])        # doctest: +SKIP
>>> prune_ops.save("pruned", small, policy)                                      # doctest: +SKIP
>>> small = prune_ops.load(fresh_model, "pruned")                                # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
