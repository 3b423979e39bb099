"""Ray's worker processes, which need not import torch first, as that takes longer than what most of
them do: forks of a server that has imported it, and nothing of Ray's or ours.

Ray starts a worker by a command. Here that asks the server for a fork, and ends:

    python ray_worker_fork.py SOCKET default_worker.py --node-ip-address=...
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

PRELOADED = [
    *("torch", "torch.export._trace", "torch._dynamo", "torchvision"),
    *("pandas", "pyarrow", "pyarrow.fs", "requests", "google.protobuf.descriptor", "fsspec"),
    *("optuna", "sqlalchemy", "sqlalchemy.dialects.sqlite", "jinja2", "numpy.random"),
]
"""What a worker imports that is installed on every node anyway."""

STREAMS = (0, 1, 2)


def ask(where: str, command: list[str]) -> None:
    """Have the server run the command in this process's place: same variables, folder, streams."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(where)
        socket.send_fds(line, [b"\n"], STREAMS)
        line.sendall(json.dumps([command, dict(os.environ), os.getcwd()]).encode())


def serve() -> None:
    """Fork for whoever asks the socket that is this process's stdin, until it is killed."""
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # a fork that looks for garbage there would copy it all
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(fileno=0) as server:
        while True:
            line, _ = server.accept()
            with line:
                streams = socket.recv_fds(line, 1, len(STREAMS))[1]
                asked = json.loads(line.makefile().read())
                if os.fork() == 0:
                    _become(streams, *asked)
                for stream in streams:
                    os.close(stream)


def _become(streams: list[int], command: list[str], variables: dict[str, str], folder: str) -> None:
    """Run the command as an interpreter that starts with these variables does."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, number)
    os.closerange(len(STREAMS), max(streams) + 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    given = variables.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(Path(command[0]).parent), *filter(None, given)]
    sys.argv = command
    code: object = 0
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    finally:
        atexit._run_exitfuncs()
        os._exit(code if isinstance(code, int) else 1)  # to free what it never used takes seconds


if __name__ == "__main__":
    _, socket_file, *rest = sys.argv
    ask(socket_file, rest) if rest else serve()
