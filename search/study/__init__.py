"""A run's study: opened, begun, shared with other processes, and kept by the ledger.

Start with ``ledger``: every engine asks it what is next and tells it what came out.
"""
