"""A run's study: opened, begun, and kept by the ledger; shared, see ``search.sharing``.

Start with ``ledger``: every engine asks it for the next trial and hands it the results.
"""
