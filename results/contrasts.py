"""What a comparison shows: paired differences, corrected for there being several, and a verdict.

>>> for sentence in verdict(run.compared):
...     print(sentence)
At budget 0.5, over searched and uniform widths, no difference between fine-tuning ...

Fine-tuning is set against ``scratch-b+``: inherited weights cost the unpruned network's training
and the fine-tuning, and that is the arm of fresh weights which comes closest to as much computation
in all. Where it is not as much, sentences say how much it is.

| family | contrasts of all budgets, corrected together (Holm) |
|---|---|
| ``planned`` | weights, widths, channels, `Arm.against`: what the verdict is about |
| ``further`` | the interaction of weights and widths; fine-tuning against every other arm; |
| | the best searched structure against every predefined or discovered one |
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from results import text
from results.arms import ARMS
from results.board import Board, By
from results.compare import sides
from results.comparison import Comparison
from results.differences import Paired, holm, paired
from results.metric import ACCURACY, MetricInfo

Family = Literal["planned", "further"]

INHERITED, FRESH = "finetune", "scratch-b+"
"""The arms of the 2×2."""
DRAWN = "random-channels"

_FOUR = [*product(("searched", "uniform"), (INHERITED, FRESH))]
NEEDED = {
    "inherited weights": _FOUR,
    "searched widths": _FOUR,
    "the choice of channels": [("searched", INHERITED), ("searched", DRAWN)],
}
"""What the verdict is about, and the structures and arms that must be trained for it."""

SAME_COMPUTATION = 0.02
"""Two amounts of computation that differ by no more than this share of the larger are the same."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One paired difference of two ways to a network.

    Attributes:
        name: ``weights``, ``widths``, ``channels`` and two arms, ``finetune - mine``, are planned;
            ``interaction``, ``trial 12: finetune - scratch-e``, ``finetune: trial 12 - l1``.
        left, right: the two sides; ``paired`` is left minus right.
        comparisons: how many the family has, over all budgets.
        adjusted: p-value with all of these allowed for; ``nan`` where there is none.
        where: over what it was taken; opens the sentence.
        note: why there is nothing to compare, a whole clause.
        plural, both, words: see `Paired.sentence`.
    """

    budget: str
    family: Family
    name: str
    left: str
    right: str
    paired: Paired
    comparisons: int = 0
    adjusted: float = math.nan
    where: str = ""
    note: str = ""
    plural: bool = False
    both: str = ""
    words: tuple[str, str] = ("better", "worse")

    @property
    def shown(self) -> bool:
        """Whether a difference is shown, all comparisons of the family allowed for."""
        return not self.note and self.paired.claims(self.adjusted)

    @property
    def kind(self) -> str:
        """Of the interval: Student's t."""
        return "t"

    @property
    def sentence(self) -> str:
        """A whole sentence that claims no more than is shown."""
        clause = self.note or self.paired.sentence(
            self.left,
            self.right,
            plural=self.plural,
            both=self.both,
            words=self.words,
            adjusted=self.adjusted,
            comparisons=self.comparisons,
        )
        return f"At budget {self.budget}{self.where and f', {self.where}'}, {clause}."


def contrasts(comparison: Comparison, metric: MetricInfo = ACCURACY) -> list[Contrast]:
    """Every contrast of every budget, the planned ones first.

    A planned one that cannot be made says why in its ``note``. Of the further ones those are left
    out that cannot be made, whose sides are the same trainings, or that were there already.
    """
    budgets = comparison.budgets
    boards = [Board(comparison, budget) for budget in budgets]
    asked = (c for b in boards for c in (_weights(b), _widths(b), _channels(b), *_asked(b)))
    planned = _corrected([*asked])
    further = _corrected([c for b in boards for c in _further(b)])
    every = (replace(c, paired=replace(c.paired, metric=metric)) for c in (*planned, *further))
    return sorted(every, key=lambda c: budgets.index(c.budget))


def unanswered(structures: Collection[str], arms: Collection[str]) -> list[str]:
    """What a comparison of these alone gives no verdict on, a clause for each pair that it lacks.

    >>> unanswered(["searched"], ["finetune", "random-channels"])
    ['there will be no verdict on inherited weights and searched widths, which takes --arms ...']
    """
    have = {*product(structures, arms)}
    lacking: dict[str, list[str]] = {}
    for subject, needed in NEEDED.items():
        if not have.issuperset(needed):
            widths, ways = (" ".join(dict.fromkeys(each)) for each in zip(*needed, strict=True))
            takes = f"--arms {ways} with --structures {widths}"
            lacking.setdefault(takes, []).append(subject)
    return [
        f"there will be no verdict on {text.listed(subjects)}, which takes {takes}"
        for takes, subjects in lacking.items()
    ]


def fresh_computation(places: Iterable[tuple[Board, str | None]]) -> float:
    """What ``scratch-b+`` took in all, in multiples of what ``finetune`` took.

    It is of the structures that have both; 1 if they differ by 2 % at most, ``nan`` without any.
    """
    both = [(b.spent(structure, INHERITED), b.spent(structure, FRESH)) for b, structure in places]
    spent = [(inherited, fresh) for inherited, fresh in both if inherited > 0 and fresh > 0]
    if not spent:
        return math.nan
    inherited, fresh = map(sum, zip(*spent, strict=True))
    same = abs(fresh - inherited) <= SAME_COMPUTATION * max(fresh, inherited)
    return 1.0 if same else fresh / inherited


def _meaning(arm: str, board: Board, *structures: str | None) -> str:
    """An arm as it stands in sentences on these structures."""
    ratio = fresh_computation((board, structure) for structure in structures)
    if arm != FRESH or math.isnan(ratio):
        return ARMS[arm].meaning
    amount = "the same computation" if ratio == 1 else f"{text.factor(ratio)} × the computation"
    return f"training fresh weights with {amount}"


def _corrected(family: Sequence[Contrast]) -> list[Contrast]:
    adjusted = holm([c.paired.p_value for c in family])
    m = sum(not math.isnan(p) for p in adjusted)
    return [replace(c, adjusted=p, comparisons=m) for c, p in zip(family, adjusted, strict=True)]


def two_by_two(board: Board) -> tuple[By, By, By, By]:
    """Searched widths with inherited and with fresh weights, then uniform ones, as far as any."""
    searched = board.accuracy(board.best, INHERITED), board.accuracy(board.best, FRESH)
    return *searched, board.accuracy("uniform", INHERITED), board.accuracy("uniform", FRESH)


def _weights(board: Board) -> Contrast:
    searched, searched_fresh, uniform, uniform_fresh = two_by_two(board)
    return _planned(
        board,
        "weights",
        (ARMS[INHERITED].meaning, _meaning(FRESH, board, board.best, "uniform")),
        (_mean(searched, uniform), _mean(searched_fresh, uniform_fresh)),
        _no_verdict("inherited weights", _lacking(board, _FOUR)),
        where="in uniform widths" if _one_widths(board) else "over searched and uniform widths",
    )


def _widths(board: Board) -> Contrast:
    searched, searched_fresh, uniform, uniform_fresh = two_by_two(board)
    note = _no_verdict("searched widths", _lacking(board, _FOUR))
    criteria = [board.criterion(structure, INHERITED) for structure in (board.best, "uniform")]
    left, right, both = sides("", "") if note else sides(*criteria)
    if not note and _one_widths(board):
        note = "the best that the search found are the uniform widths themselves"
    means = _mean(searched, searched_fresh), _mean(uniform, uniform_fresh)
    where = "over inherited and fresh weights"
    return _planned(board, "widths", (left, right), means, note, where, plural=True, both=both)


def _channels(board: Board) -> Contrast:
    chosen, drawn = (board.best, INHERITED), (board.best, DRAWN)
    subject = "the choice of channels"
    note = _no_verdict(subject, _lacking(board, NEEDED[subject]))
    said = "the chosen channels", "channels drawn at random"
    if not note and board.ways(*chosen) == board.ways(*drawn):
        note = "channels were drawn at random in the run itself, so there is no choice to judge"
    elif not note:
        said = f"the channels chosen by {board.criterion(*chosen)}", "ones drawn at random"
    both = board.accuracy(*chosen), board.accuracy(*drawn)
    return _planned(board, "channels", said, both, note, "inside the searched widths", plural=True)


def _asked(board: Board) -> Iterator[Contrast]:
    """Of the arms that say what they are set against, as far as they were trained."""
    best = board.best
    for arm in ARMS.values():
        pair = arm.against, arm.name
        one, other = (board.ways(best, each) for each in pair)
        if arm.against and other and one != other:
            note = _no_verdict(arm.meaning, _lacking(board, [("searched", each) for each in pair]))
            said = _meaning(arm.against, board, best), _meaning(arm.name, board, best)
            both = board.accuracy(best, arm.against), board.accuracy(best, arm.name)
            yield _planned(board, " - ".join(pair), said, both, note, "inside the searched widths")


def _planned(
    board: Board,
    name: str,
    said: tuple[str, str],
    pair: tuple[By, By],
    note: str,
    where: str,
    **words: Any,
) -> Contrast:
    """With the difference of the two, or with the note why there is none."""
    if note:
        return Contrast(board.budget, "planned", name, *said, paired({}, {}), note=note, **words)
    return Contrast(board.budget, "planned", name, *said, paired(*pair), where=where, **words)


def _no_verdict(subject: str, why: str) -> str:
    return f"there is no verdict on {subject}: {why}" if why else ""


def _lacking(board: Board, needed: Sequence[tuple[str, str]]) -> str:
    """Which trainings a contrast would take and has not; empty if they share a seed."""
    name = {"searched": board.best, "uniform": "uniform"}
    have = {place: board.accuracy(name[place[0]], place[1]).keys() for place in needed}
    lacks = [f"{arm} of {widths} widths" for (widths, arm), seeds in have.items() if not seeds]
    if lacks:
        return f"it takes {' and '.join(lacks)}, which were not trained, or failed"
    shared = frozenset.intersection(*map(frozenset, have.values()))
    return "" if shared else "its trainings share no seed that succeeded with all of them"


def _one_widths(board: Board) -> bool:
    """Whether the searched widths and the uniform ones share their trainings."""
    return board.ways(board.best, INHERITED) == board.ways("uniform", INHERITED)


def _mean(a: By, b: By) -> By:
    return {seed: (a[seed] + b[seed]) / 2 for seed in a.keys() & b}


def _minus(a: By, b: By) -> By:
    return {seed: a[seed] - b[seed] for seed in a.keys() & b}


def _further(board: Board) -> Iterator[Contrast]:
    if not _lacking(board, _FOUR) and not _one_widths(board):
        yield _interaction(board)
    seen: set[object] = set()
    for left, right, name, said, where in (*_between_arms(board), *_between_structures(board)):
        ways = board.ways(*left), board.ways(*right)
        difference = paired(board.accuracy(*left), board.accuracy(*right))
        if difference.n and ways[0] != ways[1] and ways not in seen:
            seen.add(ways)
            yield Contrast(board.budget, "further", name, *said, difference, where=where)


def _interaction(board: Board) -> Contrast:
    """Whether inherited weights are worth more in searched widths than in uniform ones."""
    searched, searched_fresh, uniform, uniform_fresh = two_by_two(board)
    return Contrast(
        board.budget,
        "further",
        "interaction",
        "what inherited weights bring in searched widths",
        "what they bring in uniform ones",
        paired(_minus(searched, searched_fresh), _minus(uniform, uniform_fresh)),
        words=("larger", "smaller"),
    )


Place = tuple[str, str]
Pair = tuple[Place, Place, str, tuple[str, str], str]
"""Two places of a board; then the name of their contrast, its sides, and where."""


def _between_arms(board: Board) -> Iterator[Pair]:
    """Fine-tuning against every other arm of the same structure."""
    for structure in board.structures:
        where = "uniform widths" if structure == "uniform" else f"the widths of {structure}"
        for arm in ARMS:
            asked = arm == DRAWN or ARMS[arm].against == INHERITED
            planned = structure == board.best and asked
            if arm != INHERITED and not planned:
                name = f"{structure}: {INHERITED} - {arm}"
                said = ARMS[INHERITED].meaning, _meaning(arm, board, structure)
                yield (structure, INHERITED), (structure, arm), name, said, f"with {where}"


def _between_structures(board: Board) -> Iterator[Pair]:
    """The best searched structure against those of other methods, in the same arm."""
    best = board.best
    if best is None:
        return
    for rival in board.rivals:
        other = "the uniform one" if rival == "uniform" else f"that of {rival}"
        for arm in ARMS:
            said = f"the searched structure ({best})", other
            where = f"by {_meaning(arm, board, best, rival)}"
            yield (best, arm), (rival, arm), f"{arm}: {best} - {rival}", said, where


def verdict(comparison: Comparison, metric: MetricInfo = ACCURACY) -> list[str]:
    """For every budget a sentence on weights, widths and channels, and one on failed trainings."""
    planned = [c for c in contrasts(comparison, metric) if c.family == "planned"]
    sentences = []
    for budget in comparison.budgets:
        sentences += [c.sentence for c in planned if c.budget == budget]
        places = Board(comparison, budget).places
        failed = sum(not math.isfinite(r.test_accuracy) for _, _, rs in places for r in rs)
        if failed:
            were = f"{text.plural(failed, 'training')} failed and {'is' if failed == 1 else 'are'}"
            sentences.append(f"At budget {budget}, {were} left out of every comparison.")
    return sentences
