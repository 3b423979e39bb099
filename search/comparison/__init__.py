"""Fine-tune or from scratch? The same structures, trained in every arm, with several seeds.

>>> run = search.compare("runs/digits_small-0.5", seeds=3)
>>> run.comparison, run.contrasts

``comparer`` has the whole comparison, top to bottom.
"""
