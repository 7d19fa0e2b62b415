"""StyleGAN2: what stylegan2_<data>.py have in common (Karras et al. 2020).

Configuration F: non-saturating loss; R1 of weight gamma every 16 steps and path
length of weight 2 every 4, each an update of its own behind its player's, with
Adam corrected for it; two w in 0.9 of the samples; an average of G by its
half-life in images.

Presets:

  preset    channels      minibatch          groups  rate            gamma
  paper256  16384 / side  64                 8       .0025           1
  full      32768 / side  32                 4       .002            10
  auto      16384 / side, 32; 256 px: 16,    4       .0025,          see below
            from 512 px   512: 8, 1024: 4            1024 px: .002
            32768 / side

paper256 is GLeaD's baseline (spec/glead.md, 5.1 and 5.5), made for 256 px; full
the paper's own networks and rules. auto is for one device and any size: gamma
is 0.0002 side^2 / minibatch, which appendix C of Karras et al. 2020b begins
with, the rest our choice. The half-life is 20,000 images for paper256 and
10,000 for full, without a ramp; for auto 10,000 for each 32 images of the
minibatch, and at most 0.05 of the images shown.

What is not as released:
- A step has D's update first, then G's. Updates alternate all the same: with D
  first a run is ahead by half a step.
- The released code makes zeros of gradients that are NaN and limits infinite
  ones to 1e5. Here a run that diverges says so and stops.
- Its upper four levels are of float16. Here all are of float32, unless
  --config.generator.bfloat16_from=32 --config.discriminator.bfloat16_from=32
  say from which side on they are of bfloat16.
- Groups of the minibatch deviation are neighbours, which lie on one device:
  --config.discriminator.group_layout=strided is as released.
"""

from gan_jax.config import defaults
from gan_jax.networks.stylegan2 import FULL, PAPER256

PRESETS = ('paper256', 'full', 'auto')


def build(preset: str, side: int, width: int = 512, path_length: float = 2.0):
  """All but the data and how long: networks, terms, rules.

  Args:
    preset: one of `PRESETS`.
    side: of the pictures, which the rules of 'auto' look at.
    width: most channels of a layer; 512 is released.
    path_length: weight of the path length; 0.0: off.

  Returns:
    A config that is not finished.
  """
  c = defaults()
  c.data.resolution = side
  base, batch, group, rate, gamma, half_life, ramp_up = {
    'paper256': (PAPER256, 64, 8, 0.0025, 1.0, 20_000.0, 0.0),
    'full': (FULL, 32, 4, 0.002, 10.0, 10_000.0, 0.0),
    'auto': _by_side(side),
  }[preset]
  sizes = dict(name='stylegan2', fmap_base=base, fmap_max=width)
  c.generator = dict(sizes, mixing=0.9)
  c.discriminator = dict(sizes, group_size=group)
  c.latent.size = 512
  c.loss.name = 'non_saturating'
  c.penalties.r1.update(weight=gamma, every=16, phase='after')
  if path_length:
    late = dict(every=4, phase='after')
    c.penalties.path_length.update(weight=path_length, **late)
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=rate, b1=0.0, b2=0.99)
  c.ema.update(name='half_life', half_life=half_life, ramp_up=ramp_up)
  c.train.batch = batch
  return c


def _by_side(side: int) -> tuple:
  """The row of 'auto'."""
  batch = min(max(4096 // side, 1), 32)
  half_life = 10_000.0 * batch / 32
  base = FULL if side >= 512 else PAPER256
  rate = 0.002 if side >= 1024 else 0.0025
  gamma = round(0.0002 * side**2 / batch, 6)
  return base, batch, min(batch, 4), rate, gamma, half_life, 0.05
