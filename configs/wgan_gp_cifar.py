"""WGAN-GP on CIFAR-10, 32 x 32.

Gulrajani et al. 2017, Algorithm 1: five updates of D to one of G, penalty 10,
Adam 1e-4 (0, 0.9), batch 64, no batch norm in D; on DCGAN's networks.

  python -m gan_jax.main --config=configs/wgan_gp_cifar.py

Options: none.
Data: as in dcgan_cifar.py.
Expected numbers: not yet measured.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'tfds:cifar10'
  c.data.resolution = 32
  c.augment.mirror = True
  c.generator = dict(
    name='dcgan', width=64, norm='batch', spectral=False, bias=False
  )
  c.discriminator = dict(
    name='dcgan', width=64, norm='none', spectral=False, bias=True
  )
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.scheme.d_steps = 5
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=1e-4, b1=0.0, b2=0.9)
  c.train.steps = 100_000
  return finish(c, args.test)
