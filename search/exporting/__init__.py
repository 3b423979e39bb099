"""Exporting: a network of a run as a file that runs without this package, with its model card."""
