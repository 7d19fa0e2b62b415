"""Networks that a run uses and never trains: a teacher, LPIPS, VGG.

Their arrays lie beside the checkpoints, once, not in every one of them:

constants/<name>.npz   the arrays, by path: 'params/Conv_0/kernel'
constants.json         of each file its hash, and where it came from
"""

import hashlib
import json

import jax
import numpy as np

from gan_jax.errors import UserError
from gan_jax.run.write import make_folder, whole

TABLE = 'constants.json'


def save(folder, name: str, tree, origin: str) -> None:
  """Keeps a network's variables in a run's folder, whole or not at all.

  Args:
    folder: of the run.
    name: of the network, such as 'teacher'.
    tree: nested dictionaries of arrays.
    origin: where they came from, for people.
  """
  file = folder / 'constants' / f'{name}.npz'
  make_folder(file.parent)
  arrays = {path: np.asarray(x) for path, x in _flat(tree).items()}
  with whole(file) as scratch, open(scratch, 'wb') as stream:
    np.savez(stream, **arrays)  # to a path it would add an ending of its own
  # After the arrays: a kill between the two leaves what `load` takes for none.
  entry = {'sha256': _sha256(file), 'origin': origin}
  table = json.dumps(_table(folder) | {name: entry}, indent=2) + '\n'
  with whole(folder / TABLE) as scratch:
    scratch.write_text(table, encoding='utf-8')


def keeps(folder, name: str) -> bool:
  """Whether a run's folder has a network of this name."""
  return name in _table(folder)


def load(folder, name: str, like):
  """A network's variables, or None if the run keeps none of that name.

  Args:
    folder: of the run.
    name: of the network.
    like: nested dictionaries of what has the arrays' shapes and types.

  Returns:
    Nested dictionaries of NumPy arrays, of the form of `like`.

  Raises:
    UserError: if they are not what was saved, or not of this form.
  """
  entry = _table(folder).get(name)
  if entry is None:
    return None
  file = folder / 'constants' / f'{name}.npz'
  if not file.is_file() or _sha256(file) != entry.get('sha256'):
    raise UserError(
      f'{file} is damaged or gone: restore it from a copy of the run; it came'
      f' from {entry.get("origin", "elsewhere")}.'
    )
  with file.open('rb') as stream, np.load(stream, allow_pickle=False) as held:
    arrays = {path: held[path] for path in held}
  wanted = _flat(like)
  kind = lambda x: (tuple(x.shape), np.dtype(x.dtype))
  for path in sorted(wanted | arrays):
    there = kind(arrays[path]) if path in arrays else '(absent)'
    here = kind(wanted[path]) if path in wanted else '(absent)'
    if there != here:
      raise UserError(
        f'{file} belongs to another network: {path} is {there} there and'
        f' {here} here.'
      )
  return jax.tree_util.tree_map_with_path(
    lambda path, _: arrays[_named(path)], like
  )


def _named(path) -> str:
  return '/'.join(str(entry.key) for entry in path)


def _flat(tree) -> dict:
  """The arrays of nested dictionaries by path."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {_named(path): leaf for path, leaf in leaves}


def _sha256(file) -> str:
  with file.open('rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()


def _table(folder) -> dict:
  """The content of constants.json."""
  file = folder / TABLE
  if not file.exists():
    return {}
  try:
    table = json.loads(file.read_text(encoding='utf-8'))
    if all(isinstance(entry, dict) for entry in table.values()):
      return table
  except (ValueError, AttributeError):
    pass
  raise UserError(f'{file} is damaged: restore it from a copy of the run.')
