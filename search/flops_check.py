"""The search's FLOPs against the counts of fvcore and torch: where they differ, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import nn

from results import FinalRecord, text
from results.record import Candidate
from search.evaluation.evaluator import Evaluator
from spaces import Space
from spaces.cost import layer_flops
from spaces.counters import KNOWN_GAPS, Count, opinions

MOST_NAMED = 3
"""How many layers, or operations, are named; of the rest only the number is given."""


def flops_check(finals: Sequence[FinalRecord], evaluator: Evaluator) -> Iterator[str]:
    """Compare the counts of fvcore and torch for the best network of every budget.

    >>> list(flops_check(run.finals, evaluator))
    ['fvcore and torch count 713,856 flops in trial 29, exactly what the search did']
    """
    for final in finals:
        if final.best and final.policy is not None:
            small = evaluator.pruned(Candidate(final.policy, final.criterion), "plain")
            space, counts = evaluator.space, opinions(small, evaluator.task.example)
            counts = [count.within(space.inside) for count in counts]
            yield from compared(final.name, final.flops, small, space, counts)


def compared(
    name: str, flops: int, small: nn.Module, space: Space, counts: Iterable[Count]
) -> Iterator[str]:
    """One line for the counters that agree, and one for each that differs or failed.

    Args:
        flops: the search's count of ``small``, a network cut by a policy of ``space``.
    """
    counts = list(counts)
    agreeing = [c.counter for c in counts if not c.failure and c.total == flops]
    if agreeing:
        verb = "counts" if len(agreeing) == 1 else "count"
        yield (
            f"{' and '.join(agreeing)} {verb} {flops:,} flops in {name}, exactly what the search "
            "did"
        )
    ours = _by_first_name(layer_flops(space.costs, small), small)
    for count in counts:
        if count.failure:
            yield f"{count.counter} cannot count the flops of {name} ({count.failure})"
        elif count.total != flops:
            reasons = "; ".join(_differences(count, ours, space))
            line = f"{count.counter} counts {count.total:,} flops in {name}, the search {flops:,}"
            yield f"{line}: {reasons}" if reasons else line


def _by_first_name(flops: Mapping[str, int], model: nn.Module) -> Counter[str]:
    """Add up a module's flops under its first name, where it has several."""
    first = {id(module): name for name, module in model.named_modules()}
    same = {n: first[id(m)] for n, m in model.named_modules(remove_duplicate=False)}
    total: Counter[str] = Counter()
    for name, count in flops.items():
        total[same.get(name, name)] += count
    return total


def _differences(count: Count, ours: Counter[str], space: Space) -> Iterator[str]:
    """How much a counter and the search differ, in which layers, and why."""
    layers: defaultdict[tuple[bool, str], dict[str, int]] = defaultdict(dict)
    for layer in dict.fromkeys([*ours, *count.layers]):
        more = count.layers.get(layer, 0) - ours[layer]
        if more:
            why = _left_out(layer, space) if more > 0 else _skipped(count, layer)
            layers[more > 0, why][layer] = abs(more)
    for (is_more, why), flops in layers.items():
        sense = "more" if is_more else "fewer"
        named = text.some([layer or "the network itself" for layer in flops], MOST_NAMED)
        yield f"{sum(flops.values()):,} {sense} in {named} ({why})"


def _skipped(count: Count, layer: str) -> str:
    """Why a counter counts less in a layer."""
    operations = count.skipped.get(layer, ())
    if known := dict.fromkeys(KNOWN_GAPS[op] for op in operations if op in KNOWN_GAPS):
        return f"{count.counter} skips {' and '.join(known)}"
    return f"it calls {text.some(operations, MOST_NAMED)}" if operations else "no reason is known"


def _left_out(layer: str, space: Space) -> str:
    """Why the search counts less in a layer."""
    operations = {u.operation for u in space.uncounted if u.module == layer}
    if operations:
        return f"the search does not count {' and '.join(sorted(operations))}"
    return "the search has no count for it"
