"""How a network is pruned: scores of its channels, surgery, policies judged without training.

>>> scores = prune_ops.score(model, space, batches, criteria=["second_order"])   # doctest: +SKIP
>>> small = prune_ops.prune(model, space, policy, scores["second_order"])        # doctest: +SKIP
>>> prune_ops.save("pruned", small, policy)                                      # doctest: +SKIP
>>> small = prune_ops.load(fresh_model, "pruned")                                # doctest: +SKIP
"""

from __future__ import annotations

from prune_ops.artifact import load, load_policy, save
from prune_ops.calibrate import check_criteria, score
from prune_ops.compression import WAYS, Compression
from prune_ops.compression.magnitude import sparsified
from prune_ops.compression.sizes import Size, size
from prune_ops.compression.ternary import ternarised
from prune_ops.criteria import CRITERIA
from prune_ops.criterion import Criterion
from prune_ops.evidence import Evidence
from prune_ops.greedy import GreedyScores
from prune_ops.importances import IMPORTANCES, Importance
from prune_ops.measure import Damages, measure
from prune_ops.proxies import PROXIES, Candidate, Proxy, check_proxies
from prune_ops.scores import Scores, normalised
from prune_ops.select import Selection, select
from prune_ops.surgery import SURGERIES, Surgery, prune
from prune_ops.weights import baked, layer_weights

__all__ = [
    "CRITERIA",
    "Candidate",
    "Compression",
    "Criterion",
    "Damages",
    "Evidence",
    "GreedyScores",
    "IMPORTANCES",
    "Importance",
    "PROXIES",
    "Proxy",
    "SURGERIES",
    "Scores",
    "Selection",
    "Size",
    "Surgery",
    "WAYS",
    "baked",
    "check_criteria",
    "check_proxies",
    "layer_weights",
    "load",
    "load_policy",
    "measure",
    "normalised",
    "prune",
    "save",
    "score",
    "select",
    "size",
    "sparsified",
    "ternarised",
]
