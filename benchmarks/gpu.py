"""All that needs a GPU, in one call of at most eight minutes.

    scripts/gpu --out gpu

Its parts, in this order: the tests that need a GPU; one training with its steps replayed against
the same with every step made anew; several trainings at once against one, without and with MPS;
the accuracies with and without graphs; a whole small search with fractional GPUs where Ray is
installed, else with local workers.

Each part is a process with a time limit of its own; what fails, or takes too long, stops no other.
In the folder there are afterwards ``summary.md``, ``figures.json`` and what each part printed. A
part that was not run says why. The exit code is 1 if a part failed, 2 if there is no GPU.

    scripts/gpu --device cpu --small --out /tmp/gpu

tries the script itself: every part at its smallest, on the CPU, where no step is ever replayed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 480.0
"""For all parts together."""
FIGURES = "figures: "
"""How the line of a part begins that has what it measured."""
GRACE = 3.0
"""Seconds that a part has to end when it is asked to."""


@dataclass(frozen=True)
class Part:
    """A part: the command that does it, and the most seconds it may take.

    ``lacks`` says why it cannot be run here, if it cannot; ``mps`` starts CUDA's Multi-Process
    Service for it.
    """

    name: str
    seconds: float
    command: Sequence[str]
    lacks: str = ""
    mps: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a part ended: ``done``, ``failed`` or ``not run``, and what it measured."""

    part: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)


def main() -> int:
    """Run the parts; the exit code."""
    options = _options()
    if options.out.exists() and not options.out.is_dir():
        print(f"error: --out must be a folder, but {options.out} is a file", file=sys.stderr)
        return 2
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        print(
            f"error: scripts/gpu needs a GPU, but torch {torch.__version__} sees none; "
            "--device cpu --small tries the script itself",
            file=sys.stderr,
        )
        return 2
    device = "cpu" if options.device == "cpu" else "cuda"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    chosen = [part for part in parts(device, options.small) if part.name in options.parts]
    outcomes = run(chosen, options.out, options.seconds)
    where = f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}"
    write(outcomes, options.out, where)
    return int(any(outcome.state == "failed" for outcome in outcomes))


def parts(device: str, small: bool) -> list[Part]:
    """All of them, in order."""
    how = ["--device", device, *(["--small"] if small else [])]
    measured = [sys.executable, str(Path(__file__).with_name("gpu_parts.py"))]
    on_cpu = "" if device == "cuda" else "MPS shares a GPU, and this is the CPU"
    mps = on_cpu or _missing_program("nvidia-cuda-mps-control")
    return [
        Part("tests", 150, _tests(device), _missing_package("pytest", "hypothesis")),
        Part("trial", 80, [*measured, "trial", *how]),
        Part("together", 70, [*measured, "together", *how]),
        Part("together-mps", 60, [*measured, "together", *how], lacks=mps, mps=True),
        Part("accuracy", 50, [*measured, "accuracy", *how], _missing_package("sklearn")),
        Part("search", 110, [*measured, "search", *how], _missing_package("sklearn")),
    ]


def _tests(device: str) -> list[str]:
    """The tests that need a GPU; on the CPU a few others."""
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]
    if device == "cpu":
        return [*command, "tests/search/test_hardware.py"]
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    marked = [str(path.relative_to(ROOT)) for path in files if "from devices" in path.read_text()]
    return [*command, "-m", "cuda", *marked]


def _missing_package(*names: str) -> str:
    missing = [name for name in names if find_spec(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


def _missing_program(name: str) -> str:
    return "" if shutil.which(name) else f"there is no {name}"


def run(chosen: Sequence[Part], out: Path, seconds: float) -> list[Outcome]:
    """Run the parts one after another, within so many seconds in all; tells how each ended."""
    out.mkdir(parents=True, exist_ok=True)
    end, outcomes = time.monotonic() + seconds, []
    for part in chosen:
        left = end - time.monotonic()
        if part.lacks:
            outcome = Outcome(part.name, "not run", part.lacks)
        elif left <= 0:
            outcome = Outcome(part.name, "not run", f"the {seconds:g} s were over")
        else:
            outcome = _outcome(part, out / f"{part.name}.txt", min(part.seconds, left))
        print(_told(outcome), flush=True)
        outcomes.append(outcome)
    return outcomes


def _outcome(part: Part, log: Path, seconds: float) -> Outcome:
    began = time.monotonic()
    try:
        with _mps() if part.mps else _as_is() as more, log.open("w") as printed:
            code = _code(part.command, os.environ | more, printed, seconds)
    except OSError as error:
        return Outcome(part.name, "not run", str(error))
    taken = time.monotonic() - began
    lines = log.read_text(errors="replace").splitlines()
    figures = _figures(lines)
    if code is None:
        return Outcome(part.name, "failed", f"stopped after {seconds:.0f} s", taken, figures)
    if code:
        last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
        return Outcome(part.name, "failed", f"exit code {code}: {last}", taken, figures)
    return Outcome(part.name, "done", "", taken, figures)


def _code(
    command: Sequence[str], environment: Mapping[str, str], printed: Any, seconds: float
) -> int | None:
    """The exit code of a command; None if it had to be stopped, with all that it started."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=printed,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, sign)
                try:
                    process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    continue


def _figures(lines: Sequence[str]) -> dict[str, Any]:
    """What a part measured; of pytest, how many tests ended in which way."""
    found: dict[str, Any] = {}
    for line in lines:
        if line.startswith(FIGURES):
            found |= json.loads(line.removeprefix(FIGURES))
        for word in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
            if f" {word}" in line and "::" in line.split(f" {word}")[0] and "%]" in line:
                found[word.lower()] = found.get(word.lower(), 0) + 1
    return found


@contextmanager
def _as_is() -> Iterator[Mapping[str, str]]:
    yield {}


@contextmanager
def _mps() -> Iterator[Mapping[str, str]]:
    """A Multi-Process Service of our own, for what has this environment.

    Raises:
        OSError: it does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
        environment = dict.fromkeys(names, folder)
        control = ["nvidia-cuda-mps-control"]
        try:
            started = subprocess.run(
                [*control, "-d"],
                env=os.environ | environment,
                timeout=20,
                capture_output=True,
                text=True,
                check=False,
            )
            if started.returncode:
                raise OSError(f"MPS did not start: {(started.stderr or started.stdout).strip()}")
            yield environment
        except subprocess.TimeoutExpired as error:
            raise OSError("MPS did not start in 20 s") from error
        finally:
            subprocess.run(
                control,
                input="quit\n",
                env=os.environ | environment,
                timeout=20,
                capture_output=True,
                text=True,
                check=False,
            )


def _told(outcome: Outcome) -> str:
    figures = ", ".join(f"{name} {_shown(value)}" for name, value in outcome.figures.items())
    why = f": {outcome.reason}" if outcome.reason else ""
    took = f" ({outcome.seconds:.0f} s)" if outcome.seconds else ""
    return f"{outcome.part}: {outcome.state}{why}{took}{'; ' + figures if figures else ''}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def write(outcomes: Sequence[Outcome], out: Path, where: str) -> None:
    """``figures.json`` and ``summary.md``."""
    rows = [
        {"part": o.part, "state": o.state, "reason": o.reason, "seconds": round(o.seconds, 1)}
        | {"figures": dict(o.figures)}
        for o in outcomes
    ]
    (out / "figures.json").write_text(json.dumps({"where": where, "parts": rows}, indent=1) + "\n")
    lines = [where, "", *(f"- {_told(outcome)}" for outcome in outcomes)]
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print(f"written: {out / 'summary.md'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [part.name for part in parts("cpu", small=True)]
    parser.add_argument("--out", type=Path, required=True, help="folder for what is found")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu"))
    parser.add_argument("--small", action="store_true", help="every part at its smallest")
    parser.add_argument("--parts", nargs="+", default=names, choices=names, metavar="PART")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all parts together")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
