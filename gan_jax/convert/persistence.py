"""What stands for the networks in pickles of StyleGAN's PyTorch versions.

A snapshot there is a pickle of a dictionary, {'G', 'D', 'G_ema', ...}, of
networks that bring the text of their own program along: each module is rebuilt
by a function from a dictionary with that text and the module's state. Here the
state is read as data, and the text is not looked at.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

# In front of the name of a setting that a module was made with.
SETTING = 'init/'


class Module:
  """What stands for a module: its arrays, its parts and its settings by name.

  Args:
    meta: the dictionary that the module would be rebuilt from.
  """

  __slots__ = ('_state',)

  def __init__(self, meta):
    self._state = meta.get('state') if isinstance(meta, dict) else None
    if not isinstance(self._state, dict):
      raise ValueError('a module of it has no state')

  def items(self) -> Iterator[tuple[str, Any]]:
    """(name, value) of arrays, of modules, and of settings as arrays.

    Settings that are numbers are called init/NAME, None among them is NaN; all
    else that the module was made with is left out.
    """
    for place in ('_parameters', '_buffers', '_modules', '_init_kwargs'):
      held = self._state.get(place) or {}
      if not isinstance(held, dict):
        raise ValueError(f'the {place} of a module of it are no dictionary')
      if place != '_init_kwargs':
        yield from held.items()
        continue
      for name, value in held.items():
        if value is None or type(value) in (bool, int, float):
          number = np.nan if value is None else float(value)
          yield f'{SETTING}{name}', np.float64(number)
