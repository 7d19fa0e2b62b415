"""How far two pictures are apart, for who looks for one: differentiable."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.convert import weights
from gan_jax.tasks.perceptual import LAST, across_scales

log = logging.getLogger('gan_jax')

NAMES = ('auto', 'lpips_vgg', 'lpips_alex', 'pixels')
LEAST = 64  # px, that LPIPS's network sees at least


class Likeness(NamedTuple):
  """A distance of pictures.

  Attributes:
    name: 'LPIPS' and its network, or what it is else.
    about: the weights, and how pictures reach the network, in words.
    variables: of `function`.
    function: (variables, a, b) -> distances [N] of pictures [N, H, W, C] in
      [-1, 1].
  """

  name: str
  about: str
  variables: Any
  function: Callable


def open_likeness(name: str, named: str, shape) -> Likeness:
  """A distance, its weights loaded.

  Args:
    name: one of `NAMES`; auto is lpips_vgg if its file is there, else pixels,
      and the log says so.
    named: files of weights, see `weights.find`.
    shape: of a picture.

  Raises:
    UserError: if weights are missing or are not their own.
  """
  if name == 'auto':
    name = 'lpips_vgg' if 'lpips_vgg' in weights.find(named) else 'pixels'
    if name == 'pixels':
      log.info(
        'LPIPS has no weights here (--mode=weights says where they are): the'
        ' distance is the mean squared error over several scales.'
      )
  if name == 'pixels':
    return Likeness(
      'MSE over scales',
      f'mean over scales, each half the one before, down to {LAST} px',
      (),
      lambda _, a, b: across_scales(a, b),
    )
  side = max(max(shape[:2]) // 2, LEAST)
  module, variables, about, _ = weights.load(name, named)

  def seen(x):
    x = jnp.broadcast_to(x, (*x.shape[:-1], 3))  # grey ones in colour
    # Of a side twice as large these are the means over 2x2.
    size = (len(x), side, side, 3)
    return jax.image.resize(x, size, 'linear', antialias=False)

  def function(variables, a, b):
    return module.apply(variables, seen(a), seen(b))

  words = f'at {side} px, bilinear; {about}'
  kind = 'VGG' if name == 'lpips_vgg' else 'AlexNet'
  return Likeness(f'LPIPS ({kind})', words, variables, function)
