"""SGAN on text: 5-S-WGAN by character, lines of 32.

Chavdarova and Fleuret 2018, Table 2, Figure 18 and appendix B.1: WGAN with
gradient penalty, one-dimensional convolutional networks of 4 residual blocks,
RMSProp, batch 64. Width 512 and 128 latent numbers are those of the WGAN-GP
paper's language model, which SGAN starts from.

  python -m gan_jax.main --config=configs/sgan_text.py \
      --config.data.source=text:PATH

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default wgan_gp
  lr         learning rate; default 1e-4, WGAN-GP's own, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
Data: a UTF-8 text file with a sentence a line, or a folder of such, as the
One Billion Word Benchmark's training-monolingual.tokenized.shuffled; without
PATH, sentences made up for tests. Samples are lines of text: images/*.txt.
Expected numbers: the paper has samples only; docs/results.md has some of narrow
networks after 100 and 200 steps, with and without local pairs.
"""

from _sgan import OPTIONS, apply
from gan_jax.config import defaults, finish, options


def get_config(arg=''):
  losses = ('wgan_gp', 'gan', 'dragan')  # the first is the default
  args = options(arg, **OPTIONS | dict(loss=losses))
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
  apply(c, args, 1e-4)
  return finish(c, args.test)
