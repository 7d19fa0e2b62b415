"""SGAN on CelebA, 32 x 32 or 64 x 64: 5-S-DCGAN.

Chavdarova and Fleuret 2018, Figures 6 (32 pixels, after 100 steps) and 16
(after 1,000); appendix B.1: batch 64.

  python -m gan_jax.main --config=configs/sgan_celeba.py
  python -m gan_jax.main --config=configs/sgan_celeba.py:resolution=32

n is the number of local pairs (n=0: a single one, the baseline), loss one of
gan, wgan_gp, dragan; share=0.5 is the paper's N-SW, half of the parameters
common to the local pairs; simple=true leaves the messengers out. The paper's
learning rate, 1e-5, is slow: lr=2e-4 is DCGAN's own.
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
Expected numbers: not yet measured.
"""

from gan_jax.config import defaults, finish, options
from gan_jax.presets import sgan


def get_config(arg=''):
  args = options(arg, **sgan.OPTIONS, resolution=64)
  c = defaults()
  c.data.source = 'tfds:celeb_a'
  c.data.resolution = args.resolution
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  c.generator = net
  c.discriminator = net
  c.train.steps = 40_000
  sgan.apply(c, args)
  return finish(c, args.test)
