"""SGAN on text: 5-S-WGAN by character, lines of 32.

Chavdarova and Fleuret 2018, Table 2, Figure 18 and appendix B.1: WGAN with
gradient penalty, one-dimensional convolutional networks of 4 residual blocks,
RMSProp, batch 64. Width 512 and 128 latent numbers are those of the WGAN-GP
paper's language model, which SGAN starts from.

  python -m gan_jax.main --config=configs/sgan_text.py \
      --config.data.source=text:PATH

n is the number of local pairs (n=0: a single one, the baseline), loss one of
gan, wgan_gp, dragan; share=0.5 is the paper's N-SW, half of the parameters
common to the local pairs; simple=true leaves the messengers out. The paper's
learning rate, 1e-5, is slow: lr=1e-4 is WGAN-GP's own.
Data: a UTF-8 text file with a sentence a line, or a folder of such, as the
One Billion Word Benchmark's training-monolingual.tokenized.shuffled; without
PATH, sentences made up for tests. Samples are lines of text: images/*.txt.
Expected numbers: not yet measured.
"""

from gan_jax.config import defaults, finish, options
from gan_jax.presets import sgan


def get_config(arg=''):
  args = options(arg, **sgan.OPTIONS | dict(loss='wgan_gp'))
  c = defaults()
  c.data.source = 'text:builtin'
  c.data.resolution = 32
  net = dict(name='charcnn', width=512, depth=4, window=5)
  c.generator = net
  c.discriminator = net
  c.latent.size = 128
  c.optimizer.generator.name = 'rmsprop'
  c.optimizer.discriminator.name = 'rmsprop'
  c.train.batch = 64
  c.train.steps = 40_000
  c.metrics.names = ('scores',)
  sgan.apply(c, args)
  return finish(c, args.test)
