"""How alike two pictures look, as D's tasks measure it.

| name | what |
|---|---|
| lpips_vgg, lpips_alex | LPIPS (Zhang et al. 2018), which needs its weights |
| vgg16 | the same distance of VGG-16's features without learned heads |
| pixels | mean squared error over scales: a stand-in that needs no weights |

The heads of LPIPS weigh channels by what people see; `vgg16` has ones in their
place (the "baseline" of that paper, Table 5), and the mean over the five layers
where LPIPS has the sum, so that it needs a file of VGG-16 only.
"""

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.lpips import Lpips
from gan_jax.networks.vgg import Vgg16
from gan_jax.terms import Frozen

Array = jax.Array

PIXELS = 'pixels'
# What compares, by name; each is a row in `convert.weights.NETWORKS`, and the
# name of a frozen network in a run.
NETWORKS = {
  'lpips_alex': Lpips(AlexNet()),
  'lpips_vgg': Lpips(Vgg16()),
  'vgg16': Lpips(Vgg16()),
}
NAMES = (*NETWORKS, PIXELS)
LEAST = 32  # pixels that the networks need
LAST = 4  # px, the smallest scale of `pixels`


def frozen(
  name: str, weights: str, setting: str, without: str
) -> dict[str, Frozen]:
  """The network that a distance uses and nobody trains.

  Args:
    name: one of `NAMES`.
    weights: see `terms.Frozen`, as the rest.
    setting: which one names them.
    without: flags with which a run does not need it.
  """
  if name == PIXELS:
    return {}
  picture = jnp.zeros((1, LEAST, LEAST, 3))
  if name == 'vgg16':
    first = lambda key: NETWORKS[name].net.init(key, picture)
  else:
    first = lambda key: NETWORKS[name].init(key, picture, picture)
  return {name: Frozen(first, weights, setting, without)}


def check(name: str, side: int, channels: int, path: str, value, others: str):
  """Refuses pictures that a network cannot compare.

  Args:
    name: one of `NAMES`.
    side: of the pictures that are compared.
    channels: theirs.
    path: of the setting that names it, for messages.
    value: of that setting.
    others: values of it that take all pictures, in words.

  Raises:
    UserError: if they are too small, or neither grey nor in colour.
  """
  if name != PIXELS and (side < LEAST or channels not in (1, 3)):
    raise UserError(
      f'config.{path} = {value!r} compares pictures of {LEAST} px and more,'
      f' grey or in colour, not of {side} px and {channels} channel(s): set'
      f' config.{path} = {others}.'
    )


def distance(name: str, constants, a: Array, b: Array) -> Array:
  """How far apart pictures look.

  Args:
    name: one of `NAMES`.
    constants: frozen networks' variables by name; `pixels` needs none.
    a: [N, H, W, C] in [-1, 1].
    b: of the same shape.

  Returns:
    [N], 0 where they are the same.
  """
  if name == PIXELS:
    return across_scales(a, b)
  # To these networks a grey picture has three equal channels.
  a, b = (jnp.broadcast_to(x, (*x.shape[:3], 3)) for x in (a, b))
  network, variables = NETWORKS[name], constants[name]
  if name != 'vgg16':
    return network.apply(variables, a, b)
  shapes = jax.eval_shape(network.init, jax.random.key(0), a, b)['params']
  ones = {
    head: jnp.ones(x.shape) for head, x in shapes.items() if head != 'net'
  }
  whole = {'params': ones | {'net': variables['params']}}
  layers = network.apply(whole, a, b, method='layers')
  return jnp.mean(layers, 1)


def across_scales(a: Array, b: Array) -> Array:
  """Mean squared errors of pictures and of their means over 2x2, 4x4, ...

  Args:
    a: [N, H, W, C].
    b: of the same shape.

  Returns:
    [N], the mean over the scales: a side halves while both are even, and gets
    no smaller than 4 px.
  """
  apart = a - b
  terms = [squared(apart)]
  n, height, width, channels = apart.shape
  while not (height % 2 or width % 2) and min(height, width) >= 2 * LAST:
    height, width = height // 2, width // 2
    apart = apart.reshape(n, height, 2, width, 2, channels).mean((2, 4))
    terms.append(squared(apart))
  return jnp.mean(jnp.stack(terms), 0)


def squared(apart: Array) -> Array:
  """The mean square of each, [N, ...] -> [N]."""
  return jnp.mean(jnp.square(apart), tuple(range(1, apart.ndim)))
