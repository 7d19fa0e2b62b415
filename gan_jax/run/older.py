"""What older versions of this program stored otherwise."""

import re

import jax
import jax.numpy as jnp

from gan_jax.nn import spectral

# Flax's layer kept a vector and the singular value of each kernel.
_VECTOR = re.compile(
  rf'(.*)\.stats\.{spectral.COLLECTION}\.SpectralNorm_\d+\.(.*)/kernel/u'
)


def with_vectors(arrays: dict, dropped: dict) -> dict:
  """A state with the vectors of spectral norm that an older version had.

  Its u is ours; v is what half an iteration makes of it, so that training goes
  on as it would have.

  Args:
    arrays: of the state by name, such as 'pair.d.params.Conv_0.kernel'.
    dropped: what the checkpoint has beside these.

  Returns:
    The arrays that change, by name; {} for a run without such.
  """
  new = {}
  for name, old in dropped.items():
    if found := _VECTOR.fullmatch(name):
      player, layer = found.groups()
      u = old[..., 0, :]
      kernel = arrays[f'{player}.params.{layer}.kernel']
      matrix = kernel.reshape(*u.shape[:-1], -1, u.shape[-1])
      v = jnp.einsum('...ro,...o->...r', matrix, u, precision='highest')
      to = f'{player}.stats.{spectral.COLLECTION}.{layer}'
      new |= {f'{to}.u': u, f'{to}.v': spectral.unit(v)}
  place = lambda name, x: jax.device_put(x, arrays[name].sharding)
  return {name: place(name, x) for name, x in new.items()}
