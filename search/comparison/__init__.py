"""Fine-tune or from scratch? The same structures, trained in every arm, with several seeds.

>>> run = search.compare("runs/digits_cnn-0.5", seeds=3)
>>> run.comparison, run.contrasts

| file | what it knows |
|---|---|
| ``config`` | the options |
| ``structures`` | whose widths are trained: searched, uniform, of other methods |
| ``arms`` | how each structure is trained in each arm |
| ``sweep`` | the learning rate of fine-tuning |
| ``comparer`` | the whole comparison, top to bottom |
"""
