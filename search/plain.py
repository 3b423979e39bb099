"""What any text of the user's must be, since it may name a file, and may be printed."""

from __future__ import annotations

import unicodedata

from spaces.errors import UserError

CONTROLS = "Cc", "Cs"
"""Unicode's categories of line breaks and their like, and of halves of characters."""

LONGEST = 255
"""Bytes of a name between two slashes: more is no file's on any system."""


def check_plain(name: str, text: str) -> None:
    """Refuse what no file can be called and no terminal show.

    >>> check_plain("--weights", "runs/one.pt")

    Args:
        name: of the option, for the message.

    Raises:
        UserError: a line break or its like, half a character, or a part of more than 255 bytes.
    """
    if any(unicodedata.category(character) in CONTROLS for character in text):
        raise UserError(f"{name} must be plain text, but got {text[:LONGEST]!r}")
    longest = max(len(part.encode()) for part in text.split("/"))
    if longest > LONGEST:
        raise UserError(
            f"{name} must have at most {LONGEST} bytes between slashes, but got {longest}: "
            f"{text[:20]}..."
        )
