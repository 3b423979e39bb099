"""A real PostgreSQL on loopback, from Debian's package, for tests that stop and start it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER, PASSWORD = "search", "pass{word}"


def binaries() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``: the newest of Debian's, else the one on PATH."""
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if debian:
        return max(debian, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """One server with a folder of its own; ``url`` stays the same when it is stopped and started.

    >>> with server() as postgres:
    ...     postgres.stop()
    ...     postgres.start()
    """

    def __init__(self, folder: Path, bin: Path) -> None:
        self._folder, self._bin = folder, bin
        self.port = _free_port()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def url(self, password: str | None = PASSWORD, database: str = "postgres") -> str:
        """What ``--storage`` takes."""
        secret = "" if password is None else f":{password}"
        return f"postgresql://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}"]
        self._call("initdb", *options, "--no-sync", "--encoding=UTF8", "--no-locale")

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": self.port,
            "fsync": "off",
        }
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._call("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"-o{flags}")

    def stop(self) -> None:
        """As in a crash: every connection breaks at once."""
        self._call("pg_ctl", "stop", "--mode=immediate")

    def create(self, database: str) -> str:
        """A new database; its URL."""
        psql = [str(self._bin / "psql"), "--quiet", "--command", f'create database "{database}"']
        subprocess.run(psql, check=True, env={**os.environ, **self._login})
        return self.url(database=database)

    @property
    def _login(self) -> dict[str, str]:
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGDATABASE": "postgres"}
        return where | {"PGUSER": USER, "PGPASSWORD": PASSWORD}

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), f"--pgdata={self._folder / 'data'}", *arguments]
        # Its own output file: a server that keeps our pipe open would keep us waiting for its end.
        with open(self._folder / "out", "w+") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self._folder, **self._as)
            out.seek(0)
            assert done.returncode == 0, out.read()


@contextmanager
def server(bin: Path) -> Iterator[Server]:
    """A server that runs, and is gone afterwards."""
    # Not pytest's tmp_path, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    postgres = Server(folder, bin)
    try:
        postgres.make()
        postgres.start()
        yield postgres
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
