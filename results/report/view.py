"""What the report and the terminal both show, worked out once from records and provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.arms import Comparison
from results.beside import BesideRecord
from results.compare import chosen
from results.pareto import finished, trial_front
from results.record import FinalRecord, Role, TrialRecord, Tried
from results.sensitivity import SensitivityRecord
from spaces import Policy


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the summary table.

    ``val_accuracy`` is what the search saw after brief training; ``test_accuracy`` has one value
    a seed of the longer final training and is empty until that is done.
    """

    name: str
    role: Role
    budget: str | None
    flops: int | None
    flops_fraction: float | None
    params: int | None
    val_accuracy: float | None
    test_accuracy: tuple[float, ...]
    best: bool = False


@dataclass(frozen=True, slots=True)
class Widths:
    """The policy that represents a budget, with the uniform one beside it where it is known."""

    title: str
    budget: str | None
    policy: Policy
    uniform: Policy | None


@dataclass(frozen=True, slots=True)
class BudgetCount:
    """How the trials of one budget went; ``name`` is ``None`` for trials above every budget."""

    name: str | None
    limit: int | None
    trials: int
    trained: int
    best: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What a run measured, behind one face; every key of the provenance may be absent.

    Attributes:
        repeats, measured: see `results.Run`.
        compared: what a comparison of fine-tuning with training from scratch measured.
        others: networks compressed in other ways; see `results.Run`.
    """

    records: Sequence[TrialRecord]
    finals: Sequence[FinalRecord]
    provenance: Mapping[str, Any]
    repeats: Sequence[TrialRecord] = ()
    compared: Comparison = field(default_factory=Comparison)
    measured: Sequence[SensitivityRecord] = ()
    others: Sequence[BesideRecord] = ()

    @property
    def budgets(self) -> dict[str, int]:
        """Budget name to the most flops it allows, as the run was given them."""
        return dict(self.provenance.get("budgets") or {})

    @property
    def criteria(self) -> list[str]:
        """Who said which channels stay, in the order of the trials."""
        return list(dict.fromkeys(r.criterion for r in self.records))

    @property
    def budget_names(self) -> list[str]:
        """Every budget that the run or a final knows, in order."""
        return list(dict.fromkeys([*self.budgets, *(f.budget for f in self.finals if f.budget)]))

    def budget_of(self, record: TrialRecord) -> str | None:
        """The tightest budget that a trial meets: its sampler put it just under that one."""
        met = {name: limit for name, limit in self.budgets.items() if record.flops <= limit}
        return min(met, key=lambda name: met[name], default=None)

    def trials_at(self, budget: str | None) -> list[TrialRecord]:
        """The trials whose tightest budget this is."""
        return [r for r in self.records if self.budget_of(r) == budget]

    def compared_at(self, budget: str | None) -> list[TrialRecord]:
        """Those of them that were trained to the top rung, so that they can be compared."""
        return [r for r in finished(self.records) if self.budget_of(r) == budget]

    def front_at(self, budget: str | None) -> list[TrialRecord]:
        """The part of the whole front that lies under this budget."""
        return [r for r in trial_front(self.records) if self.budget_of(r) == budget]

    def uniform_at(self, budget: str | None) -> FinalRecord | TrialRecord | None:
        """Uniform widths at a budget: the final when there is one, else the start of that name."""
        finals = (f for f in self.finals if f.role == "uniform" and f.budget == budget)
        return next(finals, None) or furthest(self.uniform_starts(budget))

    def uniform_starts(self, budget: str | None) -> list[TrialRecord]:
        """Uniform widths as the search tried them, under every criterion that it searched."""
        return [r for r in self.trials_at(budget) if r.origin == "uniform"]

    def seen(self, tried: Tried | None) -> TrialRecord | None:
        """The trial that tried this policy under this criterion and climbed highest."""
        trials = [r for r in self.records if r.tried == tried and r.rung > 0]
        return max(trials, key=lambda r: r.rung, default=None)

    def rows(self) -> list[Row]:
        """Baseline; then for each budget uniform widths and the searched front by rising flops."""
        rows = self._baseline_rows()
        shown: set[Tried | None] = set()
        for budget in [*self.budget_names, None]:
            for what, role in self._rivals(budget):
                if what.tried not in shown:
                    rows.append(self._row(what, role, budget))
                    shown.add(what.tried)
        return rows

    def _rivals(self, budget: str | None) -> Iterator[tuple[FinalRecord | TrialRecord, Role]]:
        uniform = self.uniform_at(budget)
        if uniform is not None:
            yield uniform, "uniform"
        finals = [f for f in self.finals if f.role == "searched" and f.budget == budget]
        searched: list[FinalRecord | TrialRecord] = [*finals, *self.front_at(budget)]
        for what in sorted(searched, key=lambda what: what.flops):
            yield what, "searched"

    def _baseline_rows(self) -> list[Row]:
        final = next((f for f in self.finals if f.role == "baseline"), None)
        known = self.provenance.get("baseline") or {}
        if final is None and not known:
            return []
        one = known.get("test_accuracy")
        test = (final.test_accuracy if final else ()) or (() if one is None else (one,))
        flops = final.flops if final else known.get("flops")
        params = final.params if final else known.get("params")
        val = known.get("val_accuracy")
        return [Row("baseline", "baseline", None, flops, 1.0, params, val, test)]

    def _row(self, what: FinalRecord | TrialRecord, role: Role, budget: str | None) -> Row:
        trial, best = self.seen(what.tried), self.best_final(budget)
        return Row(
            name=self._name(what, role, budget),
            role=role,
            budget=budget,
            flops=what.flops,
            flops_fraction=what.flops_fraction,
            params=what.params,
            val_accuracy=trial.val_accuracy if trial else None,
            test_accuracy=what.test_accuracy if isinstance(what, FinalRecord) else (),
            best=best is not None and best.tried == what.tried,
        )

    def _name(self, what: FinalRecord | TrialRecord, role: Role, budget: str | None) -> str:
        varies = len(self.criteria) > 1
        if role == "uniform":
            name = f"uniform at {budget}" if budget else "uniform"
            return f"{name} ({what.criterion})" if varies else name
        trial = self.seen(what.tried)
        if trial is None:
            return what_name(what)
        about = dict.fromkeys((trial.origin, trial.criterion) if varies else (trial.origin,))
        return f"trial {trial.number} ({', '.join(about)})"

    def best_final(self, budget: str | None) -> FinalRecord | None:
        """The searched final that represents a budget in its verdict."""
        return chosen(f for f in self.finals if f.budget == budget)

    def widths(self) -> list[Widths]:
        """The best policy of each budget: its final, or, while there is none, its best trial."""
        found = []
        names: list[str | None] = [*self.budget_names]
        for budget in names or [None]:
            trial = max(self.compared_at(budget), key=lambda r: r.val_accuracy, default=None)
            best = self.best_final(budget) or trial
            if best is None or best.policy is None:
                continue
            uniform = self.uniform_at(budget)
            title = what_name(best)
            found.append(Widths(title, budget, best.policy, uniform.policy if uniform else None))
        return found

    def counts(self) -> list[BudgetCount]:
        """One line a budget, and one more when trials lie above all of them."""
        lines = []
        for name in [*self.budgets, None]:
            trials = self.trials_at(name)
            if name is None and not trials:
                continue
            best = max((r.val_accuracy for r in self.compared_at(name)), default=None)
            trained = sum(r.rung > 0 for r in trials)
            limit = self.budgets[name] if name else None
            lines.append(BudgetCount(name, limit, len(trials), trained, best))
        return lines

    def states(self) -> dict[str, int]:
        """How many trials are complete, stopped, failed and running, leaving out none of them."""
        counted = Counter(r.state for r in self.records)
        return {state: counted[state] for state in ("complete", "stopped", "failed", "running")}

    def failures(self) -> list[tuple[str, int]]:
        """Reasons of failed trials and how many gave each, most frequent first."""
        failed = (r for r in self.records if r.state == "failed")
        return Counter(r.reason or "no reason given" for r in failed).most_common()


def furthest(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial that climbed highest, among equals the most accurate."""
    return max(trials, key=lambda r: (r.rung, r.val_accuracy), default=None)


def what_name(what: FinalRecord | TrialRecord) -> str:
    """``trial 12`` or the final's own name."""
    return what.name if isinstance(what, FinalRecord) else f"trial {what.number}"
