"""What stands for the objects in snapshots of ProGAN's TensorFlow version.

A snapshot is a pickle of three objects of a class `tfutil.Network`, each with
its arrays, the settings that it was made with, and the text of the program that
makes it. Arrays and settings are read as data; the text is not looked at.
"""

import numpy as np

# In front of the name of a setting that a network was made with.
SETTING = 'static_kwargs/'
# What is in a snapshot: both players, and the average of G.
_SNAPSHOT = ('G', 'D', 'Gs')


class Network:
  """What stands for a network of ProGAN's TensorFlow version.

  Its state is a dictionary with a list of (name, array), `variables`, and with
  `static_kwargs`, the settings that it was made with. Those that are numbers
  become arrays too, static_kwargs/NAME; the source text beside them is dropped.
  """

  __slots__ = ('content',)

  def __init__(self):
    self.content = {}

  def restore(self, state):
    """Takes over variables and settings."""
    if not isinstance(state, dict):
      raise ValueError('a network of it has no state')
    told = state.get('static_kwargs') or {}
    variables = state.get('variables') or ()
    if not isinstance(told, dict) or not isinstance(variables, tuple | list):
      raise ValueError('a network of it has no variables')
    self.content = {
      f'{SETTING}{name}': np.float64(value)
      for name, value in told.items()
      if type(value) in (bool, int, float)
    }
    for pair in variables:
      if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError('a variable of it is no pair of name and array')
      name, value = pair
      if not isinstance(name, str):
        raise ValueError('a variable of it has no name')
      if name in self.content:
        raise ValueError(f'two arrays are called {name:.80}')
      self.content[name] = value


def named(content):
  """The content of a pickle, a snapshot as a dictionary of its networks."""
  several = isinstance(content, tuple | list) and len(content) == 3
  if several and all(isinstance(part, Network) for part in content):
    return dict(zip(_SNAPSHOT, content, strict=True))
  return content
