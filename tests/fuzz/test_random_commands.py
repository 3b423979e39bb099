"""Three hundred random command lines: an exit code and one line, whatever was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.calling import CommandLines
from fuzz.running import tally

SEEDS = range(0, 300, 10)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> CommandLines:
    return CommandLines(Path(tmp_path_factory.mktemp("fuzz")))


@pytest.mark.parametrize("first", SEEDS)
def test_every_random_command_line_ends_with_a_code_and_a_line(
    lines: CommandLines, first: int
) -> None:
    found = tally(lines, range(first, first + SEEDS.step))
    assert not found.failures, "\n".join(found.failures.values())
