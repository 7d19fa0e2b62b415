"""What stands for the networks in pickles of StyleGAN's PyTorch versions.

A snapshot there is a pickle of a dictionary, {'G', 'D', 'G_ema', ...}, of
networks that bring the text of their own program along: each module is rebuilt
by a function from a dictionary with that text and the module's state. Here the
state is read as data, and the text is not looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gan_jax.errors import UserError

# In front of the name of a setting that a module was made with.
SETTING = 'init/'
# A class of snapshots that are refused, and how.
TENSORFLOWS = ('dnnlib.tflib.network', 'Network')
REFUSAL = (
  "is a snapshot of StyleGAN's TensorFlow version"
  f' ({".".join(TENSORFLOWS)}), which is not read: take the network as a .pkl'
  ' of stylegan2-ada-pytorch or stylegan3, whose legacy.py converts it.'
)


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


def is_setting(name: str) -> bool:
  """Whether an array is a setting that a module was made with."""
  return f'.{name}'.rpartition('.')[2].startswith(SETTING)


def told(
  arrays: Mapping[str, np.ndarray], name: str, default: float | None
) -> float | None:
  """A setting that all modules that have it share.

  Args:
    arrays: of a network by name, settings among them.
    name: of the setting.
    default: where no module tells it.

  Returns:
    The number, or None where that is what modules were made with.

  Raises:
    UserError: modules differ in it, or it is no number.
  """
  found = set()
  for key, array in arrays.items():
    if is_setting(key) and key.endswith(f'{SETTING}{name}'):
      if np.size(array) != 1:
        raise UserError(f'{key} is no number.')
      value = float(np.ravel(array)[0])
      found.add(None if np.isnan(value) else value)
  if len(found) > 1:
    raise UserError(
      f'its layers differ in {name}, {sorted(map(str, found))}, and here all'
      ' have the same.'
    )
  return found.pop() if found else default
