"""Re-creates the inputs of the reference numbers, NHWC."""

import numpy as np

from tests.golden import rule


def value(about, arrays, key):
  """The array of an input by its key; pictures as [N, H, W, C]."""
  row = about['inputs'][key]
  kind = row['rule']
  if kind in ('stored', 'uniform'):
    array = arrays[f'in/{key}']
  elif kind == 'normal':
    fields = {k: row[k] for k in ('scale', 'shift') if k in row}
    array = rule.rule(row['name'], row['shape'], row['seed'], **fields)
  else:
    array = rule.image(
      row['name'], row['shape'], row['seed'], row['low'], row['amp']
    )
    if kind == 'image_uint8':
      array = np.round((array.astype(np.float64) + 1) * 127.5).astype(np.uint8)
  return np.transpose(array, (0, 2, 3, 1)) if array.ndim == 4 else array


def nchw(x):
  return np.transpose(x, (0, 3, 1, 2))
