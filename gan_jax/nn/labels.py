"""How a class enters a network: one-hot, behind the channels."""

import jax
import jax.numpy as jnp


def with_label(x, labels, classes: int):
  """A network's input with its class (Mirza and Osindero 2014).

  Args:
    x: vectors [N, C] or maps [N, H, W, C].
    labels: [N], or None without classes.
    classes: their number K; with 0 the input stays as it is.

  Returns:
    [N, ..., C + K]: a vector has a one-hot one behind it, each pixel of a map
    the same.
  """
  if not classes:
    return x
  one_hot = jax.nn.one_hot(labels, classes)
  one_hot = one_hot.reshape(len(x), *(1,) * (x.ndim - 2), classes)
  return jnp.concatenate(
    [x, jnp.broadcast_to(one_hot, (*x.shape[:-1], classes))], -1
  )
