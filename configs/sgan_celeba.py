"""SGAN on CelebA, 32 x 32 or 64 x 64: 5-S-DCGAN.

Chavdarova and Fleuret 2018, Figures 6 (32 pixels, after 100 steps) and 16
(after 1,000); appendix B.1: batch 64.

  python -m gan_jax.main --config=configs/sgan_celeba.py
  python -m gan_jax.main --config=configs/sgan_celeba.py:resolution=32

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default gan
  lr         learning rate; default 2e-4, DCGAN's own, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
  resolution 32 or 64; default 64
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well: --config.data.source=folder:PATH.
Expected numbers: the paper has pictures only; not yet measured.
"""

from _sgan import OPTIONS, pictures
from gan_jax.config import options


def get_config(arg=''):
  args = options(arg, **OPTIONS, resolution=(64, 32))
  data = dict(source='tfds:celeb_a', resolution=args.resolution)
  return pictures(args, data, steps=40_000)
