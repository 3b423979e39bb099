"""Three hundred random networks hold what the project promises of any."""

from __future__ import annotations

import pytest

from fuzz.check import Networks
from fuzz.running import tally

SEEDS = range(0, 300, 10)


@pytest.mark.parametrize("first", SEEDS)
def test_every_random_network_is_refused_in_a_line_or_keeps_all_promises(first: int) -> None:
    found = tally(Networks(), range(first, first + SEEDS.step))
    assert not found.failures, "\n".join(found.failures.values())
