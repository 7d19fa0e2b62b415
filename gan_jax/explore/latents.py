"""A file of latent vectors that pictures were inverted to."""

import hashlib
import logging
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from gan_jax import paths
from gan_jax.convert import files
from gan_jax.errors import UserError
from gan_jax.run.write import whole

log = logging.getLogger('gan_jax')


class Inverted(NamedTuple):
  """Pictures as latent vectors; the arrays of the .npz, by these names.

  Attributes:
    z: float32 [N, Z]; of an inversion into w or w+ the w of each layer,
      [N, layers, numbers].
    labels: the class that the generator was asked for, int32 [N].
    pictures: their numbers in the set they are from, int64 [N].
    distance: how far each reconstruction is, float32 [N].
    mse: the mean squared error of each, pictures in [-1, 1], float32 [N].
    batches: what each batch was made from, as SHA-256, uint8 [B, 32].
    generator: a SHA-256 of its variables, uint8 [32].
  """

  z: np.ndarray
  labels: np.ndarray
  pictures: np.ndarray
  distance: np.ndarray
  mse: np.ndarray
  batches: np.ndarray
  generator: np.ndarray

  def save(self, file: pathlib.Path) -> None:
    """Writes the file, whole or not at all."""
    with whole(file) as scratch:
      np.savez(scratch, **self._asdict())

  def warn_of_others(self, variables) -> None:
    """Warns if these are vectors of another generator than `variables`."""
    if not np.array_equal(self.generator, digest(variables)):
      log.warning(
        'These latent vectors were found for another generator, or another'
        ' step of it: here they give other pictures.'
      )


def load(path: pathlib.Path, size: int, style_shape, title: str) -> Inverted:
  """Reads a file of `Inverted.save`.

  Args:
    path: of the file.
    size: Z, of the generator's latent vectors.
    style_shape: of its w, see `Sampler`.
    title: what to call the file in sentences.

  Raises:
    UserError: if it is none, or its vectors are of another size.
  """
  with paths.fetched(path) as here:
    paths.regular(here, title, 'name an .npz of --tool=invert')
    arrays = files.read(here)
  missing = [name for name in Inverted._fields if name not in arrays]
  if missing:
    raise UserError(
      f'{title} has no {missing[0]}: name an .npz that --tool=invert has'
      ' written.'
    )
  found = Inverted(*(arrays[name] for name in Inverted._fields))
  n = len(found.z) if found.z.ndim in (2, 3) else 0
  rows = {x.shape[:1] for x in found[:5]} == {(n,)}
  rows = rows and found.batches.ndim == 2
  if not (n and rows and np.isfinite(found.z).all()):
    raise UserError(
      f'{title} holds no finite vectors, one a picture: have --tool=invert'
      ' write it anew.'
    )
  shape = found.z.shape[1:]
  if shape not in ((size,), style_shape):
    raise UserError(
      f'{title} has vectors of {_by(shape)} numbers, and the run takes'
      f' {" or ".join(map(_by, filter(None, ((size,), style_shape))))}: name a'
      ' file of its own.'
    )
  return found


def _by(shape) -> str:
  return ' x '.join(f'{n:,}' for n in shape)


def digest(variables) -> np.ndarray:
  """SHA-256 of a network's variables, uint8 [32]."""
  total = hashlib.sha256()
  for array in jax.tree.leaves(jax.device_get(variables)):
    total.update(np.ascontiguousarray(array).tobytes())
  return np.frombuffer(total.digest(), np.uint8)
