"""The rows and columns of OSGAN's Table 1 (Shen et al. 2021).

Section 4.1.2: DCGAN's networks (width 128, group norm in place of batch norm
in D), Adam, batch 128. The paper gives no learning rates and no number of
steps, and its released runs differ from row to row; here the two schemes of a
row differ in nothing but the scheme, and rows in the learning rate only where
they must. `released` takes a released run's own settings where there is one
(spec/osgan.md section 3.4).
"""

from gan_jax.config import defaults, finish, options
from gan_jax.errors import UserError

# The columns, and CIFAR-10: data, and real images to train on. 30 epochs of
# CelebA's 202,599 pictures, as released, everywhere but on CIFAR-10.
CELEBA = 202_599
DATA = {
  'celeba': (dict(source='tfds:celeb_a', resolution=64), 30 * CELEBA),
  'church': (
    dict(source='tfds:lsun/church_outdoor', resolution=64),
    30 * CELEBA,
  ),
  'ffhq': (dict(source='folder:ffhq', resolution=64), 30 * CELEBA),
  'cifar': (dict(source='tfds:cifar10', resolution=32), 100 * 50_000),
  # Not in the table; the released code trains on it, enlarged, for 20 epochs.
  'mnist': (dict(source='tfds:mnist', resolution=64, channels=1), 20 * 60_000),
}

# The rows: name here -> name of the loss.
LOSSES = {
  'dcgan_sym': 'minimax',
  'cgan': 'minimax',
  'wgan': 'wasserstein',
  'dcgan': 'non_saturating',
  'lsgan': 'least_squares',
  'geogan': 'hinge',
  'relgan': 'relativistic_paired',
  'fishergan': 'fisher',
  'bgan': 'boundary_seeking',
  'sngan': 'non_saturating',
}

# D's learning rate where the generator's loss saturates: that of the released
# one-stage run. At G's own 2e-4 D is sure of itself within 100 steps, and in
# one stage G then never learns (docs/results.md).
SATURATING_D_LR = 4e-5

# Released runs: D's norm, latent size, learning rates of G and D, factor at
# epochs 10 and 15.
RELEASED = {
  ('celeba', 'dcgan_sym', 'one_stage'): ('batch', 100, 2e-4, 4e-5, 0.1),
  ('celeba', 'dcgan_sym', 'two_stage'): ('batch', 100, 2e-4, 2e-5, None),
  ('celeba', 'dcgan', 'one_stage'): ('group', 128, 2e-4, 1e-4, None),
  ('celeba', 'dcgan', 'two_stage'): ('group', 100, 2e-4, 4e-5, 0.5),
  ('celeba', 'wgan', 'one_stage'): ('batch', 100, 1e-4, 1.35e-5, 0.1),
  ('celeba', 'wgan', 'two_stage'): ('batch', 100, 2e-4, 2e-4, 0.1),
  ('mnist', 'dcgan_sym', 'one_stage'): ('batch', 100, 2e-4, 1.35e-5, None),
  ('mnist', 'dcgan_sym', 'two_stage'): ('batch', 100, 2e-4, 2e-4, None),
  ('mnist', 'dcgan', 'one_stage'): ('group', 100, 2e-4, 5e-5, None),
  ('mnist', 'dcgan', 'two_stage'): ('batch', 100, 2e-4, 2e-4, None),
  ('mnist', 'wgan', 'one_stage'): ('batch', 100, 2e-4, 1.35e-5, None),
}


def table1(row: str, data: str, arg: str):
  """The config of one entry.

  Args:
    row: a key of `LOSSES`.
    data: a key of `DATA`.
    arg: the text after the colon of --config=FILE:text.
      scheme=one_stage | two_stage | simultaneous
      released: the released run's settings (CelebA and MNIST; three rows)
      average: RelGAN against the other samples' mean
      gp: WGAN with a gradient penalty of 10 in place of clipping

  Returns:
    A locked ConfigDict.

  Raises:
    UserError: for an option that this entry does not have.
  """
  own = {'relgan': {'average': False}, 'wgan': {'gp': False}}.get(row, {})
  if (data, row, 'one_stage') in RELEASED:
    own = own | {'released': False}
  args = options(arg, scheme='one_stage', **own)

  c = defaults()
  place, images = DATA[data]
  c.data.update(place)
  net = dict(name='dcgan', width=128, spectral=False, bias=True)
  c.generator = dict(net, norm='batch')
  c.discriminator = dict(net, norm='group')
  c.loss.name = LOSSES[row]
  c.scheme.name = args.scheme
  c.train.batch = 128
  c.train.steps = images // c.train.batch

  if c.loss.name == 'minimax':
    c.optimizer.discriminator.lr = SATURATING_D_LR
  if row == 'cgan':
    c.data.conditional = True
    if data == 'celeba':  # the paper does not say which condition it took
      c.data.label = 'attributes/Male'
  if row == 'sngan':
    c.discriminator.update(norm='none', spectral=True)
  if args.get('average'):
    c.loss.name = 'relativistic_average'
  if row == 'wgan':
    if args.gp:
      c.penalties.wgan_gp.weight = 10.0
    else:
      c.penalties.clip.limit = 0.01
  if args.get('released'):
    _as_released(c, data, row)
  if args.test:
    c.data.resolution = 32  # quicker to compile, and nothing else depends on it
  return finish(c, args.test)


def _as_released(c, data: str, row: str) -> None:
  """Changes a controlled config to the released run's settings."""
  found = RELEASED.get((data, row, c.scheme.name))
  if not found or c.penalties.wgan_gp.weight:
    raise UserError(
      'The option released is for what was released, and no run of this row'
      f' on this data with scheme={c.scheme.name} was, nor one with gp: leave'
      ' the option out.'
    )
  norm, c.latent.size, *rates, decay = found
  c.discriminator.norm = norm
  c.ema.name = 'none'
  epoch = c.train.steps * c.train.batch // (20 if data == 'mnist' else 30)
  for player, lr in zip(('generator', 'discriminator'), rates, strict=True):
    c.optimizer[player].lr = lr
    if decay:
      c.optimizer[player].update(decay=decay, decay_at=(10 * epoch, 15 * epoch))
