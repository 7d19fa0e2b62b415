"""DCGAN on scikit-learn's 1,797 digits: a first run, without any download.

The networks of Radford et al. 2016, narrow, with labels; 32 x 32.

  python -m gan_jax.main --config=configs/quickstart.py

Options: none.
Data: embedded.
Expected numbers: readable digits in runs/quickstart/images after about two
minutes on 2 CPU cores.
"""

from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  args = options(arg)
  c = defaults()
  c.data.source = 'digits'
  c.data.resolution = 32
  c.data.channels = 1
  c.data.conditional = True
  c.generator = dict(
    name='dcgan', width=24, norm='batch', spectral=False, bias=False
  )
  c.discriminator = dict(
    name='dcgan', width=24, norm='batch', spectral=False, bias=False
  )
  c.latent.size = 64
  c.optimizer.generator.lr = 5e-4
  c.optimizer.discriminator.lr = 5e-4
  c.train.steps = 1500
  c.train.log_every = 50
  c.train.image_every = 500
  c.train.checkpoint_every = 100
  return finish(c, args.test)
