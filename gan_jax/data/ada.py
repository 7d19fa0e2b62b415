"""ADA: changes in front of D, as often as D's overfitting asks for.

Karras et al. 2020b, section 3: each change of ada_pipe.py happens to a picture,
real or not, with probability p, which follows how sure D is of the real
pictures it trains on. The paper's heuristic is r_t = E[sign(D(real))]: 0 where
D cannot tell real ones, 1 where it is sure of all. As long as p is below 0.8 or
so, what is changed in D's eyes does not leak into what G makes.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.data import ada_pipe
from gan_jax.data.augment import Augmentation
from gan_jax.settings import Setting

_ON = {'ada': True}

SETTINGS = {
  'ada': Setting(
    (),
    'random changes of what D sees, each with a probability p that follows its'
    ' overfitting (ADA; the paper has all three); empty: none',
    choices=ada_pipe.GROUPS,
  ),
  'ada_p': Setting(0.0, 'p at first', low=0.0, high=1.0, when=_ON),
  'ada_images': Setting(
    500_000.0,
    'real images in which p can go from 0 to 1; 0: it stays as it is',
    low=0.0,
    when=_ON,
  ),
  'ada_target': Setting(
    0.6,
    'mean sign of D of real pictures above which p goes up, below which down',
    low=-1.0,
    high=1.0,
    when=_ON | {'ada_images': True},
  ),
  'ada_every': Setting(
    4,
    'updates of D over which signs are averaged, and after which p moves',
    low=1,
    high=10_000,
    when=_ON | {'ada_images': True},
  ),
}


@dataclasses.dataclass(frozen=True)
class Ada(Augmentation):
  """The changes of some groups, with a probability that moves.

  It carries, as float32 scalars, `p`; `r`, the mean sign that moved it last;
  and since then `updates` of D, `images`, and the sum of their `signs`. Of a
  sample of several pictures (FastGAN's `Scales`) all are changed alike.

  The paper limits p from below alone. Here it is at most 1, since there is
  nothing above a probability of 1 but a longer way back.

  Attributes:
    groups: of `ada_pipe.GROUPS`.
    p: probability at first.
    images: real images from 0 to 1; 0.0: p stays.
    target: of the mean sign.
    every: updates of D between moves.
  """

  groups: tuple[str, ...] = tuple(ada_pipe.GROUPS)
  p: float = 0.0
  images: float = 500_000.0
  target: float = 0.6
  every: int = 4

  def __call__(self, samples, carried, key) -> Any:
    """See `Augmentation`; samples are pictures [N, H, W, C]."""
    count = len(jax.tree.leaves(samples)[0])
    changes = ada_pipe.draw(key, count, carried['p'], self.groups)
    change = functools.partial(
      ada_pipe.apply, changes=changes, groups=self.groups
    )
    return jax.tree.map(change, samples)

  def start(self) -> dict:
    """See `Augmentation`."""
    names = 'r', 'updates', 'images', 'signs'
    return dict.fromkeys(names, jnp.float32(0.0)) | {'p': jnp.float32(self.p)}

  def advance(self, real, carried) -> dict:
    """See `Augmentation`; a sample with scores of patches has their mean."""
    patches = real.size // len(real)
    updates = carried['updates'] + 1
    images = carried['images'] + len(real)
    signs = carried['signs'] + jnp.sum(jnp.sign(real)) / patches
    due, r = updates >= self.every, signs / images
    move = jnp.sign(r - self.target) * images / (self.images or jnp.inf)
    p = jnp.clip(carried['p'] + move, 0.0, 1.0)
    since = dict(updates=updates, images=images, signs=signs)
    return {
      'p': jnp.where(due, p, carried['p']),
      'r': jnp.where(due, r, carried['r']),
    } | {name: jnp.where(due, 0.0, x) for name, x in since.items()}

  def metrics(self, carried) -> dict:
    """See `Augmentation`."""
    return {'ada_p': carried['p'], 'ada_r': carried['r']}


def build(section) -> Ada | None:
  """The augmentation of `config.augment`; None for one that changes nothing."""
  if not section.ada:
    return None
  return Ada(
    tuple(name for name in ada_pipe.GROUPS if name in section.ada),
    section.ada_p,
    section.ada_images,
    section.ada_target,
    section.ada_every,
  )
