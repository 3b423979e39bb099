from .artifact import load, load_policy, save
from .calibrate import check_criteria, score, statistics
from .compression import WAYS
from .compression.compression import Compression
from .compression.magnitude import sparsified
from .compression.ternary import ternarised
from .compression.way import Size, Way, size
from .criteria import CRITERIA
from .criterion import CalibrationStats, Criterion
from .greedy import GreedyScores
from .proxies import PROXIES, check_proxies
from .proxies.accuracies import reconstructor
from .proxies.candidate import Proxy, PrunedCandidate
from .scores import Scores, Selection, normalised, select
from .sensitivities import SENSITIVITIES
from .sensitivities.measure import Damages, measure
from .sensitivities.sensitivity import Sensitivity
from .surgery import SURGERIES
from .surgery.protocol import Cutter, Surgery
from .surgery.pruning import Pruner, prune, pruner
from .weights import layer_weights, without_parametrization

__all__ = [
    "CRITERIA",
    "CalibrationStats",
    "Compression",
    "Criterion",
    "Cutter",
    "Damages",
    "GreedyScores",
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
