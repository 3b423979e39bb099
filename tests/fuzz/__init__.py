"""Random networks and random command lines: whatever a user brings, the project's word holds.

    scripts/fuzz --seed 7 --networks 1000 --commands 1000

``networks`` draws small networks from a grammar of operations (``*_steps``), ``check`` holds the
project to what it promises of each; ``commands`` draws command lines with models and data that
misbehave (``misbehaving``), ``calling`` runs them and says what must hold.
"""
