"""DCGAN on CIFAR-10, 32 x 32.

Radford et al. 2016 with the widths of SGAN's networks (spec section 2.2: G
1,068,928 and D 663,296 parameters, no bias), non-saturating loss, Adam 2e-4.

  python -m gan_jax.main --config=configs/dcgan_cifar.py

Options: none.
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: FID not yet measured; docs/results.md has ten minutes of it.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'tfds:cifar10'
  c.data.resolution = 32
  c.augment.mirror = True
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  c.generator = net
  c.discriminator = net
  c.train.steps = 100_000
  return finish(c, args.test)
