"""The page of the report: everything the template shows, gathered from records and provenance.

>>> Path("report.html").write_text(html(records, finals, provenance))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from results import text
from results.compare import verdicts
from results.pareto import hypervolume, trial_front
from results.record import FinalRecord, TrialRecord
from results.report.view import View
from results.trust import noise_ceiling, proxy_trust, trust_rung


def html(
    records: Sequence[TrialRecord],
    finals: Sequence[FinalRecord],
    provenance: Mapping[str, Any],
) -> str:
    """The whole page as text; arguments as in `results.report`."""
    view = View(records, finals, provenance)
    on_front = trial_front(records)
    return _template().render(
        view=view,
        provenance=defaultdict(lambda: None, provenance),
        verdicts=verdicts(finals, view.budgets),
        trust=proxy_trust(records),
        trust_rung=trust_rung(records),
        ceiling=noise_ceiling(records),
        front=on_front,
        hypervolume=hypervolume([(r.flops_fraction, r.val_accuracy) for r in on_front], (1.0, 0.0)),
        origin=_origin(provenance),
        pictures=_pictures(view),
        channels=_channels(view),
        config=list(_flat(provenance.get("config") or {})),
    )


def _channels(view: View) -> dict[str, int]:
    return {group["name"]: group["channels"] for group in view.provenance.get("groups") or ()}


def _pictures(view: View) -> dict[str, Any]:
    """Every picture there is something to draw for."""
    # Imported late: matplotlib takes a second that workers and `--help` need not spend.
    from results.report import plots

    pictures: dict[str, Any] = {"front": None, "final": None, "history": None}
    pictures |= {"close_ups": {}, "widths": []}
    trained = any(r.rung for r in view.records)
    if trained:
        pictures["front"] = plots.front(view)
        pictures["history"] = plots.history(view)
        pictures["close_ups"] = {
            b: plots.close_up(view, b, limit) for b, limit in _limits(view).items()
        }
    if any(row.test_accuracy for row in view.rows() if row.role != "baseline"):
        pictures["final"] = plots.final_accuracy(view)
    channels = _channels(view)
    if channels:
        pictures["widths"] = [
            (shown, plots.widths(shown, channels, i)) for i, shown in enumerate(view.widths())
        ]
    return pictures


def _limits(view: View) -> dict[str, float]:
    """The budgets under which at least two trials can be compared, as fractions."""
    full = view.provenance.get("full_flops")
    return {
        name: limit / full
        for name, limit in view.budgets.items()
        if full and len(view.compared_at(name)) > 1
    }


def _origin(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts that fit on one line each."""
    full = provenance.get("full_flops")
    facts = {
        "commit": provenance.get("commit"),
        "device": provenance.get("device"),
        "started": provenance.get("started"),
        "time": text.duration(provenance["seconds"]) if "seconds" in provenance else None,
        "FLOPs of the unpruned network": f"{full:,}" if full else None,
        "reads of the test split": provenance.get("test_reads"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("results.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "number", "mean_spread", "duration", "plural"):
        environment.filters[name] = getattr(text, name)
    environment.filters["correlation"] = _correlation
    return environment.get_template("page.html")


def _correlation(value: float) -> str:
    return f"{value:.2f}".replace("-", text.MINUS)
