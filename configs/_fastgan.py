"""What the configs of FastGAN have in common (Liu et al. 2021)."""

from gan_jax.config import defaults
from gan_jax.networks.fastgan import PAPER

# Options, the first choice of each the default.
ROWS = ('full', 'baseline', 'skip', 'decode')
PRESETS = ('official', 'paper')


def build(row: str, preset: str, width: int = 64):
  """All but the data and how long: networks, tasks, augmentation, rules.

  Args:
    row: of Table 2, see `ROWS`.
    preset: whose choices where paper and released code differ, see `PRESETS`.
    width: of both networks; 64 is released.

  Returns:
    A config that is not finished.
  """
  c = defaults()
  c.augment.mirror = True
  c.latent.size = 256
  c.generator = dict(name='fastgan', width=width)
  c.discriminator = dict(name='fastgan', width=width)
  if preset == 'paper':
    c.generator.update(PAPER['generator'])
    c.discriminator.update(PAPER['discriminator'])
    c.tasks.autoencode.update(whole=('8',), crop='eighth')
  if row in ('baseline', 'decode'):
    c.generator.sle_from = ()
    c.discriminator.gates = False
  if row in ('full', 'decode'):
    c.tasks.autoencode.weight = 1.0
  c.augment.diff = ('color', 'translation')
  c.scheme.fakes = 'shared'  # as released
  c.loss.name = 'hinge'
  c.loss.margin_jitter = 0.0 if preset == 'paper' else 0.2
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=2e-4, b1=0.5, b2=0.999)
  c.ema.update(name='decay', decay=0.999)
  c.train.batch = 8
  c.train.steps = 50_000
  return c
