"""Proxies: each scores a whole policy without training it; higher = a better policy.

To add one, write one file here with a class that satisfies :class:`Proxy`, and add one line to
``PROXIES``; the contract test in ``tests/contracts`` takes it from there.
"""

from __future__ import annotations

from typing import Protocol

from prune_ops.proxies.adaptive_bn import AdaptiveBN
from prune_ops.proxies.candidate import Candidate
from prune_ops.proxies.predicted_damage import PredictedDamage

__all__ = ["PROXIES", "Candidate", "Proxy"]


class Proxy(Protocol):
    """Scores a policy.

    Attributes:
        name: its key in ``PROXIES``, and ``proxy:<name>`` in the trials table.
    """

    name: str

    def __call__(self, candidate: Candidate) -> float:
        """A finite number, higher for a better policy. The candidate stays as it is."""
        ...


_ALL: tuple[Proxy, ...] = (PredictedDamage(), AdaptiveBN())

PROXIES: dict[str, Proxy] = {proxy.name: proxy for proxy in _ALL}
"""Every proxy by its name."""
