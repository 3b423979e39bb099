"""Tables from the times of a few networks, and the line from their sum to whole passes."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from spaces.latency import rising

PRIOR = 0.1
"""The weight of the bilinear surface through all times, in those of one time: an entry that few
networks tell of lies on it."""


def nodes_of(counts: np.ndarray, most: int) -> np.ndarray:
    """``(most,)`` ascending counts: those that were measured, or evenly spaced ones among them."""
    found = np.unique(counts)
    if len(found) > most:
        found = np.unique(np.linspace(found[0], found[-1], most).round())
    beyond = found[-1] + np.arange(1, most - len(found) + 1)
    return np.concatenate([found, beyond])


def table(
    x: np.ndarray, y: np.ndarray, nodes: tuple[np.ndarray, np.ndarray], times: np.ndarray
) -> np.ndarray:
    """The entries ``(K, K)`` that interpolate times ``(N,)`` at counts ``(N,)`` best; they rise.

    Errors count as shares of the time.
    """
    surface = _bilinear(x, y, times)
    u, v = (each.ravel() for each in np.meshgrid(*nodes, indexing="ij"))
    prior = _terms(u, v) @ surface
    weight = 1.0 / np.maximum(times, 1e-3 * max(times.max(), 1.0))
    hats = (_hats(x, nodes[0])[:, :, None] * _hats(y, nodes[1])[:, None, :]).reshape(len(x), -1)
    calm = np.sqrt(PRIOR) / np.maximum(prior, 1e-3 * max(prior.max(), 1.0))
    rows = np.concatenate([hats * weight[:, None], np.diag(calm)])
    entries, *_ = np.linalg.lstsq(rows, np.concatenate([times * weight, prior * calm]), rcond=None)
    return rising(np.maximum(entries, 0.0).reshape(len(nodes[0]), len(nodes[1])))


def line(predicted: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """``a, b`` of ``a + b · predicted`` with the least relative errors, where ``b`` is positive."""
    rows = np.stack([np.ones_like(predicted), predicted], 1) / measured[:, None]
    (a, b), *_ = np.linalg.lstsq(rows, np.ones(len(measured)), rcond=None)
    if b <= 0 or a + b * predicted.min() <= 0:
        return 0.0, float(np.median(measured / predicted))
    return float(a), float(b)


def _bilinear(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The coefficients of the best ``a + b·x + c·y + d·x·y``, none negative."""
    weight = 1.0 / np.maximum(times, 1e-3 * max(times.max(), 1.0))
    return np.asarray(nnls(_terms(x, y) * weight[:, None], times * weight)[0])


def _terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(x), x, y, x * y], 1).astype(float)


def _hats(counts: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """``(N, K)``: the share of each node in a value interpolated at each count."""
    return np.stack([np.interp(counts, nodes, row) for row in np.eye(len(nodes))], 1)
