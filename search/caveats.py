"""What a reader should know before believing the figures of a search."""

from __future__ import annotations

from collections.abc import Iterator

from prune_ops.surgery.reconstruct import Reconstruct
from results.text import plural
from search.evaluation.repairing import shortage
from search.policies.starts import start_budget_warning
from search.provenance import metric_info
from search.session import Session
from search.study.extent import extensions, grown_when_tested
from search.task.prepare import Prepared
from search.training.modes import MODES


def known_before(run: Prepared, starts: int) -> Iterator[str]:
    """What is known before the first trial; said then and again in the report."""
    if warning := start_budget_warning(starts, run.config):
        yield warning
    training = run.config.training
    repairs = training.surgery == Reconstruct.name and not MODES[training.train].scratch
    if repairs and (warning := shortage(run.task, run.space)):
        yield warning


def caveats(s: Session, starts: int) -> Iterator[str]:
    """All of it, of a search whose trials are done."""
    config, about = s.run.config, metric_info(s.run.task.metric)
    yield from known_before(s.run, starts)
    if extended := extensions(s.opened.study):
        size = config.policies.trials, len(config.policies.budget)
        resized = any((extension.trials, extension.budgets) != size for extension in extended)
        other = ": one that is begun at its present size will propose other policies"
        yield (
            f"the run was begun with {plural(extended[0].trials, 'trial')} and extended"
            f"{other if resized else ''}"
        )
    if how := grown_when_tested(s.opened.study):
        yield (
            f"the run was {how} when the test {about.values} of its finals were known: whoever "
            "goes on for that reason until a result pleases will find one that does"
        )
    if config.task.weights is not None:
        yield (
            f"the weights were given: if they were trained on {about.items} that are now in the "
            f"validation split, validation {about.values} flatter; test {about.values} do not"
        )
