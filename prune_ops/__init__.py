"""How a network is pruned: channel scores, surgery, and policies judged without training.

>>> scores = prune_ops.score(model, space, batches, criteria=["second_order"])   # doctest: +SKIP
>>> small = prune_ops.prune(model, space, policy, scores["second_order"])        # doctest: +SKIP
>>> prune_ops.save("pruned", small, policy)                                      # doctest: +SKIP
>>> small = prune_ops.load(fresh_model, "pruned")                                # doctest: +SKIP
"""

from prune_ops.artifact import load, load_policy, save
from prune_ops.calibrate import check_criteria, score, statistics
from prune_ops.compression import WAYS, Compression, Way
from prune_ops.compression.magnitude import sparsified
from prune_ops.compression.ternary import ternarised
from prune_ops.compression.way import Size, size
from prune_ops.criteria import CRITERIA
from prune_ops.criterion import CalibrationStats, Criterion
from prune_ops.greedy import GreedyScores
from prune_ops.proxies import PROXIES, check_proxies
from prune_ops.proxies.accuracies import reconstructor
from prune_ops.proxies.candidate import Proxy, PrunedCandidate
from prune_ops.scores import Scores, Selection, normalised, select
from prune_ops.sensitivities import SENSITIVITIES
from prune_ops.sensitivities.measure import Damages, measure
from prune_ops.sensitivities.sensitivity import Sensitivity
from prune_ops.surgery import SURGERIES, Pruner, prune, pruner
from prune_ops.surgery.protocol import Cutter, Surgery
from prune_ops.weights import layer_weights, without_parametrization

IMPORTANCES = SENSITIVITIES
"""The former name of ``SENSITIVITIES``, until the next version."""

__all__ = [
    "CRITERIA",
    "CalibrationStats",
    "Compression",
    "Criterion",
    "Cutter",
    "Damages",
    "GreedyScores",
    "IMPORTANCES",
    "PROXIES",
    "Proxy",
    "PrunedCandidate",
    "Pruner",
    "SENSITIVITIES",
    "SURGERIES",
    "Scores",
    "Selection",
    "Sensitivity",
    "Size",
    "Surgery",
    "WAYS",
    "Way",
    "check_criteria",
    "check_proxies",
    "layer_weights",
    "load",
    "load_policy",
    "measure",
    "normalised",
    "prune",
    "pruner",
    "reconstructor",
    "save",
    "score",
    "select",
    "size",
    "sparsified",
    "statistics",
    "ternarised",
    "without_parametrization",
]
