"""``--config FILE``: options from a TOML file, or those of another run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search.options import Options, check_plain
from spaces.errors import UserError, brief, unknown

NAME = "run.toml"
"""The file in a run's folder that begins the same run again."""


def options_in(path: str, *known: Options) -> dict[str, Any]:
    """The options that a file gives, each checked alone: what they break together, those that are
    typed may mend.

    Names are those of the flags, with hyphens or underscores; TOML's tables only put them in order.
    A run's ``config.json`` is taken too, without what says where and how it ran.

    Args:
        known: the options that there are.

    Raises:
        UserError: the file cannot be read, or has an unknown option or a value that cannot be.
    """
    check_plain("--config", path)
    is_run = Path(path).suffix == ".json"
    content = _content(path)
    try:
        return dict(_options(content["config"] if is_run else content, known, is_run))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--config must be TOML or the config.json of a run, but {path} is neither"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def as_toml(config: Options) -> str:
    """What ``--config`` takes to begin the same run again: all that its results depend on."""
    return "\n".join(_tables(config))


def _tables(config: Options) -> Iterator[str]:
    for name, part in vars(config).items():
        values = {f.name: part.values[f.name] for _, f in part.leaves() if not f.metadata["free"]}
        told = {name: value for name, value in values.items() if value is not None}
        if told:
            yield f"# {(type(part).__doc__ or '').strip()}\n[{name}]"
            # A number, a text without control characters and a list of such are alike in JSON.
            yield from (f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in told.items())
            yield ""


def _content(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text) if Path(path).suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        why = (error.strerror or brief(error)).lower()
        raise UserError(f"--config must be a file of options, but {path} is none: {why}") from error
    except ValueError as error:
        raise UserError(f"--config must be TOML, but {path} is not: {error}") from error


def _options(
    content: Mapping[str, Any], known: tuple[Options, ...], is_run: bool
) -> Iterator[tuple[str, Any]]:
    """Name and value of each option; of a run's only those that its results depend on."""
    names = {word: name for config in known for word, name in config.spellings().items()}
    fields = {field.name: (part, field) for each in known for part, field in each.leaves()}
    seen = set[str]()
    for word, value in _flat(content):
        name = names.get(word.replace("-", "_"), "")
        if not name:
            raise unknown("option", word, fields)
        if name in seen:
            raise UserError(f"{name} must be given once, but is there twice; leave one out")
        seen.add(name)
        part, field = fields[name]
        if is_run and (value is None or field.metadata["free"]):
            continue
        part.check(name, value)
        yield name, value


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for word, value in content.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield word, value
