"""The database that a study may be kept in: its URL, with and without the password.

>>> shown("postgresql://ada:secret@db.example/studies")     # fit for files and messages
'postgresql://ada@db.example/studies'
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from spaces.errors import UserError

DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
"""What a plain URL means: SQLAlchemy's own default for PostgreSQL is the older psycopg2."""

SECRETS = ("password", "sslpassword")
"""Parameters after the ? that are not for others to read."""

OPTIONS: dict[str, dict[str, Any]] = {
    # Of libpq: an address where nobody answers, and a network that goes away without a word, are
    # told of after so long; the system alone would wait for a quarter of an hour.
    "postgresql": {"connect_timeout": 10, "keepalives_idle": 10, "tcp_user_timeout": 20_000},
    "sqlite": {"timeout": 60},  # seconds to wait for another process to finish its writing
}


def parsed(url: str) -> URL:
    """The URL in SQLAlchemy's form, with the driver that is meant.

    Raises:
        UserError: it is no URL of a database; what was given is not repeated, it holds a password.
    """
    try:
        given = make_url(url)
        meant = given.set(drivername=DRIVERS.get(given.drivername, given.drivername))
        meant.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UserError(
            "--storage must be the URL of a database, postgresql://USER@HOST/DATABASE, but it is "
            f"not: {one_line(error)}"
        ) from None
    except ImportError as error:
        raise driver_missing(error) from None
    if meant.get_backend_name() == "sqlite" and meant.database in (None, "", ":memory:"):
        raise UserError("--storage must name a file, sqlite:///FILE, but it is kept in memory only")
    return meant


def optuna_url(url: str) -> str:
    """The URL as Optuna takes it: whole, with its braces doubled."""
    whole = parsed(url).render_as_string(hide_password=False)
    return whole.replace("{", "{{").replace("}", "}}")


def engine_options(url: str) -> dict[str, Any]:
    """What connecting needs besides the URL; ``pool_pre_ping`` replaces dead connections."""
    return {
        "pool_pre_ping": True,
        "connect_args": dict(OPTIONS.get(parsed(url).get_backend_name(), {})),
    }


def shown(url: str, password: str | None = None) -> str:
    """The URL without its password, or with a stand-in; fit for files, reports and messages."""
    given = make_url(url)
    public = URL.create(
        given.drivername,
        given.username,
        password,
        given.host,
        given.port,
        given.database,
        given.difference_update_query(SECRETS).query,
    )
    return public.render_as_string(hide_password=False)


def has_password(url: str) -> bool:
    """Whether the URL alone is enough to connect."""
    return make_url(url).password is not None


def refused(url: str, error: BaseException) -> UserError:
    """What to tell the user when the database at ``url`` cannot be used."""
    if isinstance(error, ImportError):
        return driver_missing(error.__cause__ or error)
    hint = "mend the URL or start the server"
    if not has_password(url):
        hint += "; a password may be in the URL, in PGPASSWORD or in ~/.pgpass"
    return UserError(
        f"--storage {shown(url)} must be a database that answers, but got: {one_line(error)}; "
        f"{hint}"
    )


def driver_missing(error: BaseException) -> UserError:
    """What to install; psycopg comes with an extra of its own."""
    name = getattr(error, "name", None) or "its driver"
    install = {"psycopg": "'psycopg[binary]'"}.get(name, name)
    return UserError(f"--storage needs {name}, which is not installed; pip install {install}")


def one_line(error: BaseException) -> str:
    """The operating system's or the database's own words, without paths and SQL."""
    cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
    reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(reason.split())
