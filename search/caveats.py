"""What a reader should know before believing the figures of a search."""

from __future__ import annotations

from collections.abc import Iterator

from results.text import plural
from search.provenance import metric_info
from search.session import Session
from search.study.extent import extensions, grown_when_tested


def caveats(s: Session) -> Iterator[str]:
    """All of it that is not known before the first trial."""
    config, about = s.run.config, metric_info(s.run.task.metric)
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
