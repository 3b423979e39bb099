"""Seeds derived from the run's own: the same trial or policy has the same seed everywhere."""

from __future__ import annotations

import numpy as np

from spaces import Policy


def trial_seed(seed: int, number: int) -> int:
    """The seed of trial ``number`` in a run with that seed: 32 bits, unlike its neighbours'."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def policy_seed(seed: int, policy: Policy) -> int:
    """The seed of a policy's training: the same whenever and wherever a run trains it."""
    return trial_seed(seed, int(policy.key, 16))
