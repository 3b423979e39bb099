"""A run's study: opened, begun, and kept by the ledger; shared, see ``search.sharing``.

Start with ``ledger``: every engine asks it what is next and tells it what came out.
"""
