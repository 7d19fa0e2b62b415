"""Spectral normalisation (Miyato et al. 2018), as PyTorch counts it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

# The vectors' collection. An average of networks takes it over as it is: the
# mean of two singular vectors is none.
COLLECTION = 'spectral'
EPSILON = 1e-12


def spectral_norm(layer, wanted: bool, *, train: bool):
  """A layer whose kernel is divided by its largest singular value, if wanted.

  One power iteration a pass, if `train`, on two vectors u and v of the layer in
  `COLLECTION`; the singular value is u . (W v) with W the kernel as [out,
  rest], of a transposed convolution too. Gradients take u and v as given.
  Where not `train`, the vectors of the last training pass are used, as
  PyTorch's layer does; Flax's own iterates there as well.

  Args:
    layer: a `nn.conv.Conv`, or one of its kind.
    wanted: whether to change it at all.
    train: whether the iteration goes on in this pass.

  Returns:
    A function of the layer's input.
  """
  if not wanted:
    return layer
  divide = functools.partial(_divided, train=train)
  return lambda x: layer(x, divide)


def _unit(x):
  return x / jnp.maximum(jnp.linalg.norm(x), EPSILON)


def _divided(layer: nn.Module, kernel, *, train: bool):
  """The kernel over its singular value, within the layer's pass."""
  # Products of three digits, the default of GPUs, would end the iteration
  # there.
  dot = functools.partial(jnp.matmul, precision='highest')
  matrix = kernel.reshape(-1, kernel.shape[-1])  # [rest, out], W transposed
  fixed = jax.lax.stop_gradient(matrix)

  def first_u():
    key = layer.make_rng('params')
    return _unit(jax.random.normal(key, matrix.shape[1:], matrix.dtype))

  u = layer.variable(COLLECTION, 'u', first_u)
  v = layer.variable(COLLECTION, 'v', lambda: _unit(dot(fixed, u.value)))
  if train and not layer.is_initializing():
    v.value = _unit(dot(fixed, u.value))
    u.value = _unit(dot(v.value, fixed))
  return kernel / dot(dot(v.value, matrix), u.value)
