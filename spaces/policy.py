"""Policy: how many channels every group keeps. It is what is searched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from numbers import Integral

from spaces.errors import UserError


class Policy(Mapping[str, int]):
    """A hashable mapping from group name to width, in the order of the space's groups.

    >>> policy = Policy({"layer1.conv1": 8, "layer2.conv1": 24})
    >>> policy["layer1.conv1"], len(policy)
    (8, 2)
    >>> Policy.from_json(policy.to_json()) == policy
    True

    Two policies are equal when they give every group the same width; ``key`` is the same then.

    Raises:
        UserError: a width is not an integer of at least 1.
    """

    __slots__ = ("_key", "_widths")

    def __init__(self, widths: Mapping[str, int]) -> None:
        for name, width in widths.items():
            if not _is_width(width):
                raise UserError(
                    f"width of group {name!r} must be an integer >= 1, but got {width!r}"
                )
        self._widths = {name: int(width) for name, width in widths.items()}
        text = json.dumps(self._widths, sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """Twelve hex digits that name this policy: equal policies, equal keys."""
        return self._key

    def __getitem__(self, name: str) -> int:
        return self._widths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._widths)

    def __len__(self) -> int:
        return len(self._widths)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Policy({self._widths})"

    def to_json(self) -> str:
        """The widths as a JSON object, group order kept."""
        return json.dumps(self._widths)

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """The policy that ``to_json`` wrote."""
        return cls(json.loads(text))


def _is_width(value: object) -> bool:
    whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and int(value) >= 1  # type: ignore[call-overload]
