"""Words explained where they stand in a page: the first use of each in a section has its meaning.

>>> explained = Explained({"rung": "a step of judging"})
>>> explained("rung 1 and rung 2")
Markup('<abbr title="a step of judging" tabindex="0">rung</abbr> 1 and rung 2')
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup, escape


class Explained:
    """Escapes text, and marks each word once a section; a pointer or a tap shows what it means.

    Args:
        meanings: of words, which may also stand in the plural or begin with a capital letter.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self._meanings = {word.lower(): meaning for word, meaning in meanings.items()}
        self._said: set[str] = set()
        longest_first = sorted(map(re.escape, self._meanings), key=len, reverse=True)
        any_word = f"({'|'.join(longest_first)})s?"
        self._pattern = re.compile(rf"(?<![\w-]){any_word}(?![\w+-])", re.IGNORECASE)

    def begin(self, explains: bool = False) -> str:
        """Begin a section; of one that ``explains`` all words itself nothing is marked."""
        self._said = set(self._meanings) if explains else set()
        return ""

    def __call__(self, text: str) -> Markup:
        """The text as HTML."""
        shown, at = Markup(), 0
        for found in self._pattern.finditer(text) if self._meanings else ():
            word = found[1].lower()
            if word not in self._said:
                self._said.add(word)
                shown += escape(text[at : found.start()]) + self._marked(found[0], word)
                at = found.end()
        return shown + escape(text[at:])

    def _marked(self, text: str, word: str) -> Markup:
        abbr = Markup('<abbr title="{}" tabindex="0">{}</abbr>')
        return abbr.format(self._meanings[word], text)
