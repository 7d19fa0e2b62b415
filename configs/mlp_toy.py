"""A fully connected GAN on points in the plane.

SGAN's toy networks (appendix: 4 layers of 512 units, LeakyReLU 0.01) on eight
Gaussians on a ring; the learning rate is 1e-4, not the paper's slow 1e-5.

  python -m gan_jax.main --config=configs/mlp_toy.py
  python -m gan_jax.main --config=configs/mlp_toy.py:data=grid25

Data: drawn on the spot; data is one of ring8, ring10, grid25, swissroll.
Expect some of the Gaussians to be missed: it is what SGAN's ensembles mend.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg, data='ring8')
  c = defaults()
  c.data.source = f'toy:{args.data}'
  net = dict(name='mlp', width=512, depth=4, slope=0.01)
  c.generator = net
  c.discriminator = net
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.lr = 1e-4
  c.train.batch = 256
  c.train.steps = 20_000
  # The Swiss roll is no mixture, so it has no modes to count.
  counted = () if args.data == 'swissroll' else ('modes',)
  c.metrics.names = (*counted, 'density', 'scores')
  return finish(c, args.test)
