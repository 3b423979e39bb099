"""The company that a process keeps on its study: none, or others that may live longer than it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from optuna.study import Study
from optuna.trial import FrozenTrial

from search.study.pace import PAUSE
from search.study.roll import Roll
from search.study.unsaved import Unsaved


class Company(Protocol):
    """What has to be done because others may work on the study.

    Attributes:
        shared: whether they may.
        leads: whether it is this process that says in the study where its results come from.
        unsaved: where results wait for the study.
    """

    shared: bool
    leads: bool
    unsaved: Unsaved

    def mine(self, trial: FrozenTrial) -> bool:
        """Whether a running trial was left by this run's former process."""
        ...

    def take(self, trial_id: int) -> None:
        """We work on the trial from now on."""
        ...

    def release(self, trial_id: int) -> None:
        """We no longer do."""
        ...

    def bury(self, roll: Roll) -> None:
        """Requeue what dead processes left running."""
        ...

    def only_one(
        self, what: str, done: Callable[[], bool], say: Callable[[str], None]
    ) -> AbstractContextManager[bool]:
        """Whether it is on us to do ``what``; waits until it is, or until another has done it."""
        ...


class Alone:
    """This process has the study for itself: what runs there and is not out is its own."""

    shared = False
    leads = True
    unsaved = Unsaved(None)

    def mine(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        return True

    def take(self, trial_id: int) -> None: ...

    def release(self, trial_id: int) -> None: ...

    def bury(self, roll: Roll) -> None: ...

    @contextmanager
    def only_one(
        self,
        what: str,  # noqa: ARG002
        done: Callable[[], bool],  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
    ) -> Iterator[bool]:
        """Always: whatever is done here may be done again."""
        yield True


def company_of(study: Study) -> Company:
    """Who else works on the study, as `open_study` found."""
    return getattr(study, "company", None) or Alone()


def until_ended(
    study: Study, trials: int, run: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Have ``run`` work on the study until all its trials have ended, those of others included.

    A process that finds nothing more to begin waits: a trial of another one that dies is requeued,
    and somebody has to be there to take it.
    """
    company, roll, told = company_of(study), Roll(study, trials), False
    if not company.shared:
        return run()
    while True:
        roll.update()
        if roll.ended:
            return None
        company.bury(roll)
        if roll.to_ask or any(map(company.mine, roll.running)):
            run()
        elif not told:
            say("waiting for the trials of other processes")
            told = True
        time.sleep(PAUSE)
