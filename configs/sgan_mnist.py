"""SGAN on MNIST, 28 x 28: 5-S-GAN, convolutional or fully connected.

Chavdarova and Fleuret 2018, Figure 5 (score of a classifier, entropy of the
modes, total variation, for GAN, WGAN, DRAGAN) and appendix B.1: DCGAN with 4
transposed convolutions, or the toy networks; batch 50.

  python -m gan_jax.main --config=configs/sgan_mnist.py
  python -m gan_jax.main --config=configs/sgan_mnist.py:net=mlp,loss=wgan_gp

n is the number of local pairs (n=0: a single one, the baseline), loss one of
gan, wgan_gp, dragan; share=0.5 is the paper's N-SW, half of the parameters
common to the local pairs; simple=true leaves the messengers out. The paper's
learning rate, 1e-5, is slow: lr=2e-4 is DCGAN's own.
net is dcgan or mlp.
Data: TFDS downloads and prepares it once (needs the tf extra); the files
themselves do as well: --config.data.source=idx:FOLDER.
Expected numbers: docs/results.md, by benchmarks/sgan_mnist.py, which draws
Figure 5 of narrow networks on 2 cores: 5-S-WGAN of net=mlp is ahead of one pair
early on, G_0 of net=dcgan collapses.
"""

from gan_jax.config import defaults, finish, options
from gan_jax.presets import sgan


def get_config(arg=''):
  args = options(arg, **sgan.OPTIONS, net='dcgan')
  c = defaults()
  c.data.source = 'tfds:mnist'
  c.data.resolution = 28
  c.data.channels = 1
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  if args.net == 'mlp':
    net = dict(name='mlp', width=512, depth=4, slope=0.01)
  c.generator = net
  c.discriminator = net
  c.train.batch = 50
  c.train.steps = 40_000
  sgan.apply(c, args)
  return finish(c, args.test)
