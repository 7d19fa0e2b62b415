"""DCGAN on MNIST, 28 x 28.

SGAN's MNIST networks (section 4.2: the transposed convolutions cut from 5 to
4), non-saturating loss, Adam 2e-4, batch 50.

  python -m gan_jax.main --config=configs/dcgan_mnist.py \
      --config.data.source=idx:FOLDER

Options: none.
Data: FOLDER holds MNIST's files under their own names, .gz or not; without
the second line TFDS downloads and prepares them (needs the tf extra). Fashion-
MNIST's files have the same names and form.
Expected numbers: not yet measured.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'tfds:mnist'
  c.data.resolution = 28
  c.data.channels = 1
  net = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
  c.generator = net
  c.discriminator = net
  c.train.batch = 50
  c.train.steps = 40_000
  return finish(c, args.test)
