"""A fully connected GAN on points in the plane.

The toy networks of Chavdarova and Fleuret 2018 (SGAN, appendix A: 4 layers of
512 units, LeakyReLU 0.01) on eight Gaussians on a ring; the learning rate is
1e-4, not the paper's slow 1e-5.

  python -m gan_jax.main --config=configs/mlp_toy.py
  python -m gan_jax.main --config=configs/mlp_toy.py:data=grid25

Options:
  data       ring8, ring10, grid25 or swissroll; default ring8
Data: drawn on the spot.
Expected numbers: not yet measured at this width. Some of the Gaussians are
missed: it is what SGAN's ensembles mend (docs/results.md has narrow networks).
"""

from _sgan import points
from gan_jax.config import defaults, finish, options
from gan_jax.data.toy import NAMES


def get_config(arg=''):
  args = options(arg, data=NAMES)
  c = defaults()
  points(c, args.data)
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.lr = 1e-4
  return finish(c, args.test)
