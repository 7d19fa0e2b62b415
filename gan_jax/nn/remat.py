"""Rematerialisation: maps are made again where the backward pass needs them.

A pass leaves its backward pass every map that a gradient goes through. With
`remat` a block (what a network does at a resolution, or a residual block)
leaves what goes into it: 'blocks'; or the products of its convolutions and
matrices as well, so that only what is cheap is done again, norms, activations,
noise: 'convs'. Numbers, parameters and draws stay what they are.

A network that offers it has a field `remat` with `SETTING`, and calls its
blocks by `block`.
"""

from collections.abc import Callable

import flax.linen as nn

from gan_jax.nn.conv import form_p
from gan_jax.settings import Setting


def _products(primitive, *_, **__) -> bool:
  """Whether `jax.checkpoint` keeps what a primitive gives: 'convs'."""
  return primitive is form_p or primitive.name == 'dot_general'


POLICIES = {'none': None, 'convs': _products, 'blocks': None}

SETTING = Setting(
  'none',
  'what the backward pass makes again in place of keeping it: nothing; all of a'
  ' block but the products of convolutions; all of a block',
  choices=POLICIES,
)


def block(network: nn.Module, function: Callable, x):
  """`function(network, x)`, by the policy of the network's field `remat`.

  Args:
    network: the module in whose compact method this is called.
    function: makes the block's layers, as layers of the network that it is
      given; it may look at arrays beside x.
    x: what goes into the block.
  """
  if network.remat == 'none' or network.is_initializing():
    return function(network, x)
  return nn.remat(function, policy=POLICIES[network.remat])(network, x)
