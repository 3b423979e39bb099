"""What a comparison shows: paired differences, corrected for there being several, and a verdict.

>>> for sentence in verdict(run.compared):
...     print(sentence)
At budget 0.5, over searched and uniform widths, no difference between fine-tuning ...

Fine-tuning is set against ``scratch-b+``: inherited weights cost the unpruned network's training
and the fine-tuning, and that is the arm of fresh weights which comes closest to as much computation
in all. Where it is not as much, sentences say how much it is.

| family | contrasts of all budgets, corrected together (Holm) |
|---|---|
| ``planned`` | weights, widths and channels: what the verdict is about |
| ``further`` | the interaction of weights and widths; fine-tuning against every other arm; |
| | the best searched structure against every predefined or discovered one |
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from results import text
from results.arms import ARMS, FineTune, RandomChannels, ScratchBPlus
from results.board import Board, By
from results.compare import sides
from results.comparison import Comparison
from results.paired import Paired, holm, paired

Family = Literal["planned", "further"]
Widths = Literal["searched", "uniform"]
Weights = Literal["inherited", "fresh"]

INHERITED, FRESH = FineTune.name, ScratchBPlus.name
"""The arms of the 2×2."""
DRAWN = RandomChannels.name

SAME_COMPUTATION = 0.02
"""Two amounts of computation that differ by no more than this share of the larger are the same."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One paired difference of two ways to a network.

    Attributes:
        name: ``weights``, ``widths`` and ``channels`` are planned; ``interaction``,
            ``trial 12: finetune - scratch-e``, ``finetune: trial 12 - l1``.
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


@dataclass(frozen=True, slots=True)
class Cell:
    """One of the four of the 2×2; ``accuracy`` is on the test split, one value a seed, 0..1."""

    widths: Widths
    weights: Weights
    structure: str
    arm: str
    accuracy: tuple[float, ...]

    @property
    def mean(self) -> float:
        """``nan`` without a value."""
        return statistics.fmean(self.accuracy) if self.accuracy else math.nan

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds; ``nan`` for fewer than two."""
        return statistics.stdev(self.accuracy) if len(self.accuracy) > 1 else math.nan


def contrasts(comparison: Comparison) -> list[Contrast]:
    """Every contrast of every budget, the planned ones first.

    A planned one that cannot be made says why in its ``note``. Of the further ones those are left
    out that cannot be made, whose sides are the same trainings, or that were there already.
    """
    boards = [Board(comparison, budget) for budget in comparison.budgets]
    planned = _corrected([c for b in boards for c in (_weights(b), _widths(b), _channels(b))])
    further = _corrected([c for b in boards for c in _further(b)])
    return [
        c
        for budget in comparison.budgets
        for family in (planned, further)
        for c in family
        if c.budget == budget
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


def _weights(board: Board) -> Contrast:
    alike = _same(board, (board.best, INHERITED), ("uniform", INHERITED))
    contrast = _contrast(
        board,
        "weights",
        ARMS[INHERITED].meaning,
        _meaning(FRESH, board, board.best, "uniform"),
        where="in uniform widths" if alike else "over searched and uniform widths",
    )
    cells = _four(board)
    inherited = _mean(cells["searched", "inherited"], cells["uniform", "inherited"])
    fresh = _mean(cells["searched", "fresh"], cells["uniform", "fresh"])
    return _judged(contrast, "inherited weights", _missing(board), inherited, fresh)


def _widths(board: Board) -> Contrast:
    why, where = _missing(board), "over inherited and fresh weights"
    criteria = [board.criterion(structure, INHERITED) for structure in (board.best, "uniform")]
    left, right, both = sides("", "") if why else sides(*criteria)
    contrast = _contrast(board, "widths", left, right, where=where, plural=True, both=both)
    if not why and _same(board, (board.best, INHERITED), ("uniform", INHERITED)):
        same = "the best that the search found are the uniform widths themselves"
        return replace(contrast, where="", note=same)
    cells = _four(board)
    searched = _mean(cells["searched", "inherited"], cells["searched", "fresh"])
    uniform = _mean(cells["uniform", "inherited"], cells["uniform", "fresh"])
    return _judged(contrast, "searched widths", why, searched, uniform)


def _channels(board: Board) -> Contrast:
    left, right = "the chosen channels", "channels drawn at random"
    where = "inside the searched widths"
    contrast = _contrast(board, "channels", left, right, where=where, plural=True)
    why = _lacking(board, [("searched", INHERITED), ("searched", DRAWN)])
    if not why and _same(board, (board.best, INHERITED), (board.best, DRAWN)):
        same = "channels were drawn at random in the run itself, so there is no choice to judge"
        return replace(contrast, where="", note=same)
    if not why:
        left = f"the channels chosen by {board.criterion(board.best, INHERITED)}"
        contrast = replace(contrast, left=left, right="ones drawn at random")
    chosen, drawn = (board.accuracy(board.best, arm) for arm in (INHERITED, DRAWN))
    return _judged(contrast, "the choice of channels", why, chosen, drawn)


def _contrast(
    board: Board, name: str, left: str, right: str, family: Family = "planned", **more: Any
) -> Contrast:
    """Without a difference yet."""
    return Contrast(board.budget, family, name, left, right, paired({}, {}), **more)


def _judged(contrast: Contrast, subject: str, why: str, left: By, right: By) -> Contrast:
    """With its difference, or with ``why`` there is no verdict on its subject."""
    if why:
        note = f"there is no verdict on {subject}: {why}"
        return replace(contrast, where="", note=note)
    return replace(contrast, paired=paired(left, right))


def _four(board: Board) -> dict[tuple[Widths, Weights], dict[int, float]]:
    """Seed to accuracy of each cell of the 2×2."""
    return {
        ("searched", "inherited"): board.accuracy(board.best, INHERITED),
        ("searched", "fresh"): board.accuracy(board.best, FRESH),
        ("uniform", "inherited"): board.accuracy("uniform", INHERITED),
        ("uniform", "fresh"): board.accuracy("uniform", FRESH),
    }


def _missing(board: Board) -> str:
    """Why the 2×2 cannot be filled; empty if it can."""
    widths: tuple[Widths, ...] = ("searched", "uniform")
    return _lacking(board, [(w, arm) for w in widths for arm in (INHERITED, FRESH)])


def _lacking(board: Board, needed: Sequence[tuple[Widths, str]]) -> str:
    """Which trainings a contrast would take and has not; empty if they share a seed."""
    name = {"searched": board.best, "uniform": "uniform"}
    have = {place: board.accuracy(name[place[0]], place[1]).keys() for place in needed}
    lacks = [f"{arm} of {widths} widths" for (widths, arm), seeds in have.items() if not seeds]
    if lacks:
        return f"it takes {' and '.join(lacks)}, which were not trained, or failed"
    shared = frozenset.intersection(*map(frozenset, have.values()))
    return "" if shared else "its trainings share no seed that succeeded with all of them"


def _same(board: Board, a: tuple[str | None, str], b: tuple[str | None, str]) -> bool:
    return board.ways(*a) == board.ways(*b)


def _mean(a: By, b: By) -> dict[int, float]:
    return {seed: (a[seed] + b[seed]) / 2 for seed in a.keys() & b}


def _minus(a: By, b: By) -> dict[int, float]:
    return {seed: a[seed] - b[seed] for seed in a.keys() & b}


def _further(board: Board) -> Iterator[Contrast]:
    yield from _interaction(board)
    pairs = [*_between_arms(board), *_between_structures(board)]
    seen: set[object] = set()
    for left, right, contrast in pairs:
        ways = board.ways(*left), board.ways(*right)
        difference = paired(board.accuracy(*left), board.accuracy(*right))
        if difference.n and ways[0] != ways[1] and ways not in seen:
            seen.add(ways)
            yield replace(contrast, paired=difference)


def _interaction(board: Board) -> Iterator[Contrast]:
    """Whether inherited weights are worth more in searched widths than in uniform ones."""
    if _missing(board) or _same(board, (board.best, INHERITED), ("uniform", INHERITED)):
        return
    cells = _four(board)
    searched = _minus(cells["searched", "inherited"], cells["searched", "fresh"])
    uniform = _minus(cells["uniform", "inherited"], cells["uniform", "fresh"])
    contrast = _contrast(
        board,
        "interaction",
        "what inherited weights bring in searched widths",
        "what they bring in uniform ones",
        "further",
        words=("larger", "smaller"),
    )
    yield replace(contrast, paired=paired(searched, uniform))


Place = tuple[str, str]


def _between_arms(board: Board) -> Iterator[tuple[Place, Place, Contrast]]:
    """Fine-tuning against every other arm of the same structure."""
    for structure in board.structures:
        for arm in ARMS:
            planned = structure == board.best and arm == DRAWN
            if arm != INHERITED and not planned:
                contrast = _contrast(
                    board,
                    f"{structure}: {INHERITED} - {arm}",
                    ARMS[INHERITED].meaning,
                    _meaning(arm, board, structure),
                    "further",
                    where=f"with {_widths_of(structure)}",
                )
                yield (structure, INHERITED), (structure, arm), contrast


def _between_structures(board: Board) -> Iterator[tuple[Place, Place, Contrast]]:
    """The best searched structure against those of other methods, in the same arm."""
    best = board.best
    if best is None:
        return
    for rival in board.rivals:
        for arm in ARMS:
            contrast = _contrast(
                board,
                f"{arm}: {best} - {rival}",
                f"the searched structure ({best})",
                _structure_of(rival),
                "further",
                where=f"by {_meaning(arm, board, best, rival)}",
            )
            yield (best, arm), (rival, arm), contrast


def _widths_of(structure: str) -> str:
    return "uniform widths" if structure == "uniform" else f"the widths of {structure}"


def _structure_of(name: str) -> str:
    return "the uniform one" if name == "uniform" else f"that of {name}"


def verdict(comparison: Comparison) -> list[str]:
    """For every budget a sentence on weights, widths and channels, and one on failed trainings."""
    planned = [c for c in contrasts(comparison) if c.family == "planned"]
    sentences = []
    for budget in comparison.budgets:
        sentences += [c.sentence for c in planned if c.budget == budget]
        places = Board(comparison, budget).places
        failed = sum(not math.isfinite(r.test_accuracy) for _, _, rs in places for r in rs)
        if failed:
            were = f"{text.plural(failed, 'training')} failed and {'is' if failed == 1 else 'are'}"
            sentences.append(f"At budget {budget}, {were} left out of every comparison.")
    return sentences


def two_by_two(comparison: Comparison, budget: str) -> list[Cell]:
    """Searched and uniform widths × inherited and fresh weights: four cells, some maybe empty."""
    board = Board(comparison, budget)
    names: dict[Widths, str] = {"searched": board.best or "", "uniform": "uniform"}
    arms: dict[Weights, str] = {"inherited": INHERITED, "fresh": FRESH}
    return [
        Cell(w, weights, name, arm, tuple(board.accuracy(name, arm).values()))
        for w, name in names.items()
        for weights, arm in arms.items()
    ]
