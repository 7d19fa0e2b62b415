"""OSGAN's Table 1: what osgan_<data>.py have in common (Shen et al. 2021).

The rows, and the paper's FID in one stage / in two (lower is better); none of
them is measured here yet. In symmetric rows gamma is -1 throughout.

  loss       what it is                            symmetric
  dcgan      non-saturating loss (the default)     no
  dcgan_sym  saturating loss                       yes
  cgan       as dcgan_sym, with labels             yes
  wgan       Wasserstein, D's weights in +- 0.01   yes
  lsgan      least squares, labels 0, 1, 1         no
  geogan     GeoGAN's hinge                        no
  relgan     relativistic, paired                  no
  fishergan  Fisher, with its multiplier           no
  bgan       boundary-seeking                      no
  sngan      as dcgan, spectral norm in D          no

  loss       CelebA         LSUN churches  FFHQ
  dcgan      24.20 / 25.34  25.41 / 33.35  31.19 / 31.50
  dcgan_sym  22.66 / 23.78  38.99 / 46.09  29.38 / 40.56
  cgan       30.97 / 39.85  -              -
  wgan       27.23 / 33.30  35.58 / 36.29  39.77 / 35.66
  lsgan      19.31 / 23.00  22.39 / 22.63  29.11 / 30.29
  geogan     21.52 / 21.92  18.92 / 18.85  30.63 / 30.55
  relgan     20.79 / 20.91  25.09 / 24.95  35.72 / 35.81
  fishergan  27.10 / 27.88  29.23 / 29.25  51.63 / 52.65
  bgan       25.34 / 31.12  34.42 / 35.06  42.64 / 41.35
  sngan      34.34 / 34.95  31.23 / 33.51  51.03 / 52.46

Section 4.1.2: DCGAN's networks (width 128, group norm in place of batch norm
in D), Adam, batch 128. The paper gives no learning rates and no number of
steps, and its released runs differ from row to row; here the two schemes of a
row differ in nothing but the scheme, and rows in the learning rate only where
they must. `released` takes a released run's own settings where there is one
(spec/osgan.md section 3.4).
"""

from gan_jax.config import defaults, finish, options
from gan_jax.errors import UserError

# The rows: name here -> name of the loss. The first one is the default.
LOSSES = {
  'dcgan': 'non_saturating',
  'dcgan_sym': 'minimax',
  'cgan': 'minimax',
  'wgan': 'wasserstein',
  'lsgan': 'least_squares',
  'geogan': 'hinge',
  'relgan': 'relativistic_paired',
  'fishergan': 'fisher',
  'bgan': 'boundary_seeking',
  'sngan': 'non_saturating',
}
ROWS = tuple(LOSSES)
UNLABELLED = tuple(row for row in ROWS if row != 'cgan')
OWN = {'average': 'relgan', 'gp': 'wgan'}  # options of one row

CELEBA = 202_599  # pictures; churches and FFHQ train on as many

# D's learning rate where the generator's loss saturates: that of the released
# one-stage run. At G's own 2e-4 D is sure of itself within 100 steps, and in
# one stage G then never learns (docs/results.md).
SATURATING_D_LR = 4e-5


def table1(arg, data, rows=ROWS, epochs=30, pictures=CELEBA, released=None):
  """The config of one entry.

  Args:
    arg: the text after the colon of --config=FILE:text.
      loss: the row.
      scheme=one_stage | two_stage | simultaneous
      average: relgan against the other samples' mean (RaSGAN)
      gp: wgan with a gradient penalty of 10 in place of clipping
      released: the released run's settings, where there is one
    data: settings of the section data; `label` only matters to cgan.
    rows: of LOSSES, those that can be had on these data.
    epochs: to train for; 30 on CelebA as released.
    pictures: in an epoch.
    released: {(row, scheme): (D's norm, latent size, learning rates of G and
      D, factor on them at epochs 10 and 15)} of the released runs.

  Returns:
    A locked ConfigDict.

  Raises:
    UserError: for an option that this entry does not have.
  """
  switches = [name for name, row in OWN.items() if row in rows]
  switches = dict.fromkeys(switches + ['released'] * bool(released), False)
  args = options(arg, loss=rows, scheme='one_stage', **switches)
  for name, row in OWN.items():
    if args.get(name) and args.loss != row:
      raise UserError(
        f"The config's option {name} is for loss={row}, not loss={args.loss}:"
        ' leave it out.'
      )
  c = defaults()
  c.data.update(data)
  net = dict(name='dcgan', width=128, spectral=False, bias=True)
  c.generator = dict(net, norm='batch')
  c.discriminator = dict(net, norm='group')
  c.loss.name = LOSSES[args.loss]
  c.scheme.name = args.scheme
  c.train.batch = 128
  c.train.steps = epochs * pictures // c.train.batch
  _make_row(c, args)
  if args.get('released'):
    _as_released(c, args, epochs, released)
  if args.test:
    c.data.resolution = 32  # quicker to compile, and nothing else depends on it
  return finish(c, args.test)


def _make_row(c, args) -> None:
  """What a row has beside its loss."""
  if c.loss.name == 'minimax':
    c.optimizer.discriminator.lr = SATURATING_D_LR
  if args.loss == 'cgan':
    c.data.conditional = True
  else:
    c.data.label = ''  # no other row has a condition
  if args.loss == 'sngan':
    c.discriminator.update(norm='none', spectral=True)
  if args.get('average'):
    c.loss.name = 'relativistic_average'
  if args.get('gp'):
    c.penalties.wgan_gp.weight = 10.0
  elif args.loss == 'wgan':
    c.penalties.clip.limit = 0.01


def _as_released(c, args, epochs, released) -> None:
  """Changes a controlled config to the released run's settings."""
  found = released.get((args.loss, args.scheme))
  if not found or args.get('gp'):
    raise UserError(
      "The config's option released is for what was released, and no run of"
      f' loss={args.loss} on these data with scheme={args.scheme} was, nor one'
      ' with gp: leave the option out.'
    )
  norm, c.latent.size, *rates, decay = found
  c.discriminator.norm = norm
  c.ema.name = 'none'
  epoch = c.train.steps * c.train.batch // epochs
  for player, lr in zip(('generator', 'discriminator'), rates, strict=True):
    c.optimizer[player].lr = lr
    if decay:
      c.optimizer[player].update(decay=decay, decay_at=(10 * epoch, 15 * epoch))
