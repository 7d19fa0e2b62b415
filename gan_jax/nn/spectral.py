"""Spectral normalisation (Miyato et al. 2018)."""

import flax.linen as nn


def spectral_norm(layer, wanted: bool, *, train: bool):
  """A layer whose kernel is divided by its largest singular value, if wanted.

  One power iteration a pass, if `train`, on vectors in the collection
  'spectral'. To be called where the layer is made, in a compact method.

  Args:
    layer: a module with a kernel, such as Conv.
    wanted: whether to change it at all.
    train: whether the iteration goes on from this pass.

  Returns:
    A function of the layer's input.
  """
  if not wanted:
    return layer
  wrapped = nn.SpectralNorm(layer, collection_name='spectral')
  return lambda x: wrapped(x, update_stats=train)
