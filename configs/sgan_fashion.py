"""SGAN on Fashion-MNIST, 28 x 28: 5-S-DCGAN.

Chavdarova and Fleuret 2018, Figure 14 (samples after 6,000 steps) and appendix
B.1: batch 50.

  python -m gan_jax.main --config=configs/sgan_fashion.py

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default gan
  lr         learning rate; default 2e-4, DCGAN's own, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
Data: TFDS downloads and prepares it once (needs the tf extra); the files
themselves do as well: --config.data.source=idx:FOLDER.
Expected numbers: the paper has pictures only; not yet measured.
"""

from _sgan import OPTIONS, pictures
from gan_jax.config import options


def get_config(arg=''):
  args = options(arg, **OPTIONS)
  data = dict(source='tfds:fashion_mnist', resolution=28, channels=1)
  return pictures(args, data, steps=6000, batch=50)
