"""SGAN on LSUN bedrooms, 64 x 64: 5-SW-DRAGAN, and others.

Chavdarova and Fleuret 2018, Figure 17 (DRAGAN and 5-SW-DRAGAN after 1,000 to
14,000 steps) and Figure 6 (5-S-DCGAN, 32 pixels, after 1,000); batch 64.

  python -m gan_jax.main --config=configs/sgan_lsun.py:loss=dragan,share=0.5
  python -m gan_jax.main --config=configs/sgan_lsun.py:resolution=32

n is the number of local pairs (n=0: a single one, the baseline), loss one of
gan, wgan_gp, dragan; share=0.5 is the paper's N-SW, half of the parameters
common to the local pairs; simple=true leaves the messengers out. The paper's
learning rate, 1e-5, is slow: lr=2e-4 is DCGAN's own.
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
Expected numbers: not yet measured.
"""

from gan_jax.config import defaults, finish, options
from gan_jax.presets import sgan


def get_config(arg=''):
  args = options(arg, **sgan.OPTIONS, resolution=64)
  c = defaults()
  c.data.source = 'tfds:lsun/bedroom'
  c.data.resolution = args.resolution
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  c.generator = net
  c.discriminator = net
  c.train.steps = 14_000
  sgan.apply(c, args)
  return finish(c, args.test)
