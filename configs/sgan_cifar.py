"""SGAN on CIFAR-10, 32 x 32: 5-S-DCGAN.

Chavdarova and Fleuret 2018, Table 1 (inception score after 5,000 steps: GAN
3.58, 5-S-GAN 4.73; WGAN 1.21, 4.44; DRAGAN 3.40, 4.80), Figures 12, 13 (n=10)
and 15 (loss=dragan, 40,000 steps); batch 64.

  python -m gan_jax.main --config=configs/sgan_cifar.py
  python -m gan_jax.main --config=configs/sgan_cifar.py:n=10,loss=wgan_gp

n is the number of local pairs (n=0: a single one, the baseline), loss one of
gan, wgan_gp, dragan; share=0.5 is the paper's N-SW, half of the parameters
common to the local pairs; simple=true leaves the messengers out. The paper's
learning rate, 1e-5, is slow: lr=2e-4 is DCGAN's own.
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: not yet measured; docs/results.md has the first 300 steps.
"""

from gan_jax.config import defaults, finish, options
from gan_jax.presets import sgan


def get_config(arg=''):
  args = options(arg, **sgan.OPTIONS)
  c = defaults()
  c.data.source = 'tfds:cifar10'
  c.data.resolution = 32
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  c.generator = net
  c.discriminator = net
  c.train.steps = 40_000
  sgan.apply(c, args)
  return finish(c, args.test)
