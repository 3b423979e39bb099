"""A check of the user's texts, which may become file names and may be printed."""

from __future__ import annotations

import unicodedata

from spaces.errors import UserError

CONTROLS = "Cc", "Cs"
"""Unicode categories of control characters and of surrogates."""

LONGEST = 255
"""Bytes of a file name: no file system takes more."""


def check_plain(name: str, text: str) -> None:
    """Refuse a text that cannot be a file name or cannot be printed.

    >>> check_plain("--weights", "runs/one.pt")

    Args:
        name: name of the option, for the message.

    Raises:
        UserError: a control character, a surrogate, or a part of more than 255 bytes.
    """
    if any(unicodedata.category(character) in CONTROLS for character in text):
        raise UserError(f"{name} must be plain text, but got {text[:LONGEST]!r}")
    longest = max(len(part.encode()) for part in text.split("/"))
    if longest > LONGEST:
        raise UserError(
            f"{name} must have at most {LONGEST} bytes between slashes, but got {longest}: "
            f"{text[:20]}..."
        )
