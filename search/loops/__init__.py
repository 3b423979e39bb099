"""Other libraries' trainers as training loops: one file a library, of its name.

>>> from search.loops.lightning import Lightning
>>> Task(model=model, train=loader, ..., train_loop=Lightning(MyModule, data=loader))

Each is an object that is called as ``(model, epochs, seed)``, see
`search.training.own_loop.TrainLoop`. It can be named on the command line: ``--train-loop
package.module:loop``, of a module that has ``loop = Lightning(...)``. None keeps checkpoints: a
training that is cut short begins again.
"""

from __future__ import annotations

from importlib.util import find_spec

from spaces.errors import UserError


def needs(adapter: str, *packages: str) -> None:
    """Refuse an adapter whose packages are not there.

    Args:
        adapter: its file in this folder, after which the extra is named.

    Raises:
        UserError: one is missing; it names the extra.
    """
    if missing := [package for package in packages if find_spec(package) is None]:
        raise UserError(
            f"search.loops.{adapter} needs {', '.join(packages)}, but {missing[0]} is not "
            f"installed; pip install 'pruning-policy-search[{adapter}]'"
        )
