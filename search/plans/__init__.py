"""Plans: which networks are trained to the end, for what purpose.

A plan names the trainings that a purpose needs and makes rows of their records;
`search.training.trainer.Trainer` does the missing ones, each once.

| module | purpose |
|---|---|
| ``finals`` | the front and uniform widths, with several seeds |
| ``repeats`` | some trials again with another seed, to measure the noise |
| ``compression_baselines`` | other ways to compress the same network |
"""
