"""Device names, memory layout and threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search.training.hardware import pick_device, prefer_channels_last, threads_suited_to
from spaces.errors import UserError


def test_auto_is_a_device_of_this_machine() -> None:
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == kind


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:1", "cuda:x", ""])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="device must be one of auto, cpu"):
        pick_device(name)


class View(nn.Module):
    """Takes for granted that channels come first in memory, as many models do."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


@pytest.mark.parametrize(
    ("head", "layout"), [(nn.Flatten, torch.channels_last), (View, torch.contiguous_format)]
)
def test_channels_last_is_taken_only_where_the_model_allows(
    head: type[nn.Module], layout: torch.memory_format
) -> None:
    convolution = nn.Conv2d(3, 4, 3)
    model = nn.Sequential(convolution, head(), nn.Linear(64, 2))
    prefer_channels_last(model, torch.zeros(1, 3, 6, 6))
    assert model.training
    assert convolution.weight.is_contiguous(memory_format=layout)
    assert model(torch.zeros(2, 3, 6, 6)).shape == (2, 2)


def test_tiny_images_get_one_thread_for_a_while() -> None:
    before = torch.get_num_threads()
    with threads_suited_to((torch.zeros(1, 1, 8, 8),)):
        assert torch.get_num_threads() == 1
    with threads_suited_to((torch.zeros(1, 3, 32, 32),)):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
