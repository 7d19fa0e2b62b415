"""SGAN on CIFAR-10, 32 x 32: 5-S-DCGAN.

Chavdarova and Fleuret 2018, Table 1, Figures 12, 13 (n=10) and 15 (loss=dragan,
40,000 steps); appendix B.1: batch 64.

  python -m gan_jax.main --config=configs/sgan_cifar.py
  python -m gan_jax.main --config=configs/sgan_cifar.py:n=10,loss=wgan_gp

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default gan
  lr         learning rate; default 2e-4, DCGAN's own, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: the paper's inception score after 5,000 steps is, of n=0 and
of n=5, 3.58 and 4.73 (gan), 1.21 and 4.44 (wgan_gp; the paper says WGAN), 3.40
and 4.80 (dragan). Measured is the default's first half hour on a CPU,
docs/results.md: a classifier's score of 2.07 after 500 steps, of n=0 1.69.
"""

from _sgan import OPTIONS, pictures
from gan_jax.config import options


def get_config(arg=''):
  args = options(arg, **OPTIONS)
  data = dict(source='tfds:cifar10', resolution=32)
  return pictures(args, data, steps=40_000)
