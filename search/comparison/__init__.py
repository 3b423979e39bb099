"""Fine-tune or from scratch? The same structures, trained in every arm, with several seeds.

>>> run = search.compare("runs/digits_cnn-0.5", seeds=3)
>>> run.comparison, run.contrasts

| file | what it knows |
|---|---|
| ``config`` | what may be asked for |
| ``structures`` | whose widths are trained: searched, uniform, of other methods |
| ``plan`` | which arm of which structure is trained how |
| ``job`` | the whole comparison, top to bottom |
"""
