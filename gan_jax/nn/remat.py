"""Rematerialisation: maps are made again where the backward pass needs them.

A pass leaves its backward pass every map that a gradient goes through. With
`remat = 'blocks'` a block (what a network does at a resolution, or a residual
block) leaves what goes into it alone, a fifth to three quarters of the bytes,
and is passed once more on the way back. Numbers, parameters and draws stay what
they are. XLA's CPU compiler finds that the two passes are one and makes it
once: nothing is gained, or lost, there.

To keep the products of convolutions and make again only what lies between was
tried and left out: where a layer is a convolution and a LeakyReLU, whose signs
are all that its gradient needs, it keeps more than without.

A network that offers it has a field `remat` with `SETTING`, and calls its
blocks by `block`.
"""

from collections.abc import Callable

import flax.linen as nn

from gan_jax.settings import Setting

SETTING = Setting(
  'none',
  'what the backward pass makes again in place of keeping it: the maps within a'
  ' block (a resolution, or a residual block), for about a pass more',
  choices=('none', 'blocks'),
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
  return nn.remat(function)(network, x)
