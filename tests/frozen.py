"""Imported last by a server that forks: what it has imported is no garbage, and a fork that looked
for some there would copy it all.
"""

import gc

gc.freeze()
