"""Plans: which networks are trained to the end, for what purpose.

A plan names the trainings that a purpose needs and makes rows of their records;
`search.training.trainer.Trainer` does the missing ones, each once.
"""
