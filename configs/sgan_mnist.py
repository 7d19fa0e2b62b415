"""SGAN on MNIST, 28 x 28: 5-S-GAN, convolutional or fully connected.

Chavdarova and Fleuret 2018, Figure 5 (score of a classifier, entropy of the
modes, total variation, for GAN, WGAN, DRAGAN) and appendix B.1: DCGAN with 4
transposed convolutions, or the toy networks; batch 50.

  python -m gan_jax.main --config=configs/sgan_mnist.py
  python -m gan_jax.main --config=configs/sgan_mnist.py:net=mlp,loss=wgan_gp

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default gan
  lr         learning rate; default 2e-4, DCGAN's own, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
  net        dcgan or mlp; default dcgan
Data: TFDS downloads and prepares it once (needs the tf extra); the files
themselves do as well: --config.data.source=idx:FOLDER.
Expected numbers: docs/results.md, by benchmarks/sgan_pictures.py with width 16:
a classifier's score of 1.60, 4.31, 5.09 after 500, 1,000, 2,000 steps, of a
single pair 1.21, 3.03, 4.49, with `paper` at that rate 1.00.
"""

from _sgan import DCGAN, MLP, OPTIONS, pictures
from gan_jax.config import options


def get_config(arg=''):
  args = options(arg, **OPTIONS, net=('dcgan', 'mlp'))
  data = dict(source='tfds:mnist', resolution=28, channels=1)
  net = DCGAN if args.net == 'dcgan' else MLP
  return pictures(args, data, steps=40_000, batch=50, net=net)
