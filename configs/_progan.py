"""ProGAN: what progan_<data>.py have in common (Karras et al. 2018).

Presets, spec/progan.md section 1.3: how the released code was run.

  preset  devices  images a phase  minibatch                  learning rate
  paper   1        800,000         16; 256: 14, 512: 6,       0.001, rising over
                                   1024: 3                    40,000 images
  v2      1        600,000         4-16: 128, 32: 64, 64: 32, 0.001; 1024: .0015
                                   128: 16, 256: 8, else 4
  v2      2        600,000         4-8: 256, 16: 128, 32: 64, 0.001; 512: .0015,
                                   64: 32, 128: 16, else 8    1024: .002
  v2      4        600,000         4: 512, 8: 256, 16: 128,   0.001; 256: .0015,
                                   32: 64, 64: 32, else 16    512: .002,
                                                              1024: .003
  v2      8        600,000         4: 512, 8: 256, 16: 128,   0.001; 128: .0015,
                                   32: 64, 64: 32, else 32    256: .002, 512 and
                                                              1024: .003

`devices` only chooses the row of that table; how many there are is another
matter. The minibatch's deviation is taken over the whole minibatch as in the
paper, with v2 over groups of 4. A phase is a fade or the training behind it.
"""

from gan_jax.config import defaults
from gan_jax.errors import UserError

OPTIONS = dict(preset=('v2', 'paper'), devices=(1, 2, 4, 8))

# By preset and devices: minibatch of the rest, by resolution, learning rates.
_TABLES = {
  ('paper', 1): (16, {256: 14, 512: 6, 1024: 3}, {}),
  ('v2', 1): (
    4,
    {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4},
    {1024: 0.0015},
  ),
  ('v2', 2): (
    8,
    {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8},
    {512: 0.0015, 1024: 0.002},
  ),
  ('v2', 4): (
    16,
    {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16},
    {256: 0.0015, 512: 0.002, 1024: 0.003},
  ),
  ('v2', 8): (
    32,
    {4: 512, 8: 256, 16: 128, 32: 64, 64: 32},
    {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003},
  ),
}


def schedule(c, resolution: int, preset: str, devices: int) -> None:
  """Sets how a config grows to a resolution: `_TABLES`' entries on the way.

  Raises:
    UserError: if there is no such preset for so many devices.
  """
  if (preset, devices) not in _TABLES:
    raise UserError(
      f"The config's option devices={devices} has no preset=paper, whose code"
      ' ran on one: leave devices out, or take preset=v2.'
    )
  rest, batches, rates = _TABLES[preset, devices]
  phase = 800_000 if preset == 'paper' else 600_000
  c.growth.update(start=4, stable_images=phase, fade_images=phase)
  for name, table in (('batch', batches), ('lr', rates)):
    c.growth[name] = tuple(
      f'{side}:{value}' for side, value in table.items() if side <= resolution
    )
  c.train.batch = rest


def progan(data: dict, *, preset: str = 'paper', devices: int = 1):
  """A config of ProGAN with WGAN-GP, not finished.

  Args:
    data: changes to `config.data`, its resolution among them.
    preset: see above.
    devices: see above.
  """
  c = defaults()
  c.data.update(data)
  c.augment.mirror = True
  c.generator = dict(name='progan')
  c.discriminator = dict(
    name='progan', group_size=0 if preset == 'paper' else 4
  )
  c.latent.size = 512
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.penalties.drift.weight = 1e-3
  ramp_up = 40_000 if preset == 'paper' else 0
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=1e-3, b1=0.0, b2=0.99, ramp_up=ramp_up)
  c.ema.update(name='decay', decay=0.999)
  schedule(c, c.data.resolution, preset, devices)
  return c
