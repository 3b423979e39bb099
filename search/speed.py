"""How long networks take on this machine, one image at a time and in batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import Any

import torch
from torch import nn

from results.speed import NetworkSpeed
from search.latency.passes import repeated
from spaces.inputs import Inputs, call, tensors
from spaces.state import all_tensors

BATCHES = (1, 64)
LEAST, MOST = 5, 51
"""Passes of each network with each batch size, as many as fit into ..."""
SECONDS = 3.0
"""... these, all networks together."""
WARMING = 2
"""Passes that are not counted: the first ones allocate memory and choose kernels."""


def speeds(
    networks: Mapping[str, nn.Module], example: Inputs, batch: int = 1
) -> list[NetworkSpeed]:
    """The time of every network by name, with those batches of ``BATCHES`` that all of them take.

    Args:
        networks: on the device of ``example``; their training mode is left as it is.
        example: the inputs for one item.
        batch: one more size of a batch.
    """
    device = tensors(example)[0].device
    about: dict[str, Any] = {"device": device.type, "threads": torch.get_num_threads()}
    found = []
    for items in sorted({*BATCHES, batch}):
        try:
            passes = _in_turns(networks, repeated(example, items, device))
        except RuntimeError:  # out of memory, or the network takes no such batch: it has no time
            continue
        for name, taken in passes.items():
            low, _, high = quantiles(taken, n=4)
            size = sum(t.nbytes for t in all_tensors(networks[name]).values())
            found.append(
                NetworkSpeed(name, items, median(taken), low, high, len(taken), size, **about)
            )
    return found


def seconds_of_timing(image: float, networks: int) -> float:
    """How long `speeds` takes, with so many networks of which one takes ``image`` seconds an image.

    >>> seconds_of_timing(1e-9, networks=3) < seconds_of_timing(0.1, networks=3)
    True
    """
    passes = [networks * batch * image for batch in BATCHES]
    return sum(WARMING * one + max(2 * LEAST * one, min(2 * MOST * one, SECONDS)) for one in passes)


@torch.inference_mode()
def _in_turns(networks: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, list[float]]:
    """Seconds of each pass of each network, a pass of all of them before the next of any."""
    modes = {name: network.training for name, network in networks.items()}
    taken: dict[str, list[float]] = {name: [] for name in networks}
    try:
        for network in networks.values():
            network.eval()
            for _ in range(WARMING):
                _seconds(network, inputs)
        ends = time.perf_counter() + SECONDS
        for passes in range(MOST):
            if passes >= LEAST and time.perf_counter() > ends:
                break
            for name, network in networks.items():
                call(network, inputs)  # as in use, its weights are where its last pass left them
                taken[name].append(_seconds(network, inputs))
    finally:
        for name, network in networks.items():
            network.train(modes[name])
    return taken


def _seconds(network: nn.Module, inputs: Inputs) -> float:
    on_cuda = tensors(inputs)[0].is_cuda
    if on_cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    call(network, inputs)
    if on_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began
