"""Networks trained to the end, each once, whatever it is trained for.

A plan says which trainings a purpose needs and makes rows of what they gave; `trainer.Trainer`
does those that nobody has done.

| module | purpose |
|---|---|
| ``finals`` | the front and uniform widths, with several seeds |
| ``repeats`` | some trials again with another seed: how much of an accuracy is luck |
| ``compression_baselines`` | other ways to compress the same network |
"""
