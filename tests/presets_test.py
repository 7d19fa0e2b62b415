"""What the configs of a paper share, against the paper and the spec."""

import pathlib

import pytest

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.presets import osgan
from gan_jax.validate import validate

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
FILES = sorted(CONFIGS.glob('osgan_*.py'))


def test_every_row_of_table_1_is_there_for_every_data_set():
  """Ten rows; the conditional one needs classes, and has CelebA's alone."""
  found = {f.stem.removeprefix('osgan_') for f in FILES}
  expected = {
    f'{row}_{data}'
    for row in osgan.LOSSES
    for data in ('celeba', 'church', 'ffhq', 'cifar')
    if row != 'cgan' or data in ('celeba', 'cifar')
  }
  assert len(osgan.LOSSES) == 10
  assert expected <= found
  assert {f.partition('_')[0] for f in found} <= {
    row.partition('_')[0] for row in osgan.LOSSES
  }


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_a_controlled_pair_differs_in_the_scheme_alone(file):
  one = config_lib.load(str(file))
  two = config_lib.load(f'{file}:scheme=two_stage')
  for config in (one, two):
    validate(config)
  assert config_lib.differences(one, two) == [
    'scheme.name: one_stage -> two_stage'
  ]
  assert one.train.batch == 128
  # Section 4.1.2: no batch norm in D.
  assert one.discriminator.norm in ('group', 'none')


def test_losses_are_those_of_their_files():
  """The file's name and the loss it trains, for each row."""
  chosen = {
    row: config_lib.load(str(CONFIGS / f'osgan_{row}_cifar.py'))
    for row in osgan.LOSSES
  }
  assert {row: c.loss.name for row, c in chosen.items()} == osgan.LOSSES
  assert len(set(osgan.LOSSES.values())) == 8  # cgan, sngan share one
  assert chosen['cgan'].data.conditional
  assert chosen['sngan'].discriminator.spectral
  assert chosen['wgan'].penalties.clip.limit == 0.01


def test_options():
  gp = osgan.table1('wgan', 'cifar', 'gp')
  assert gp.penalties.wgan_gp.weight and not gp.penalties.clip.limit
  average = osgan.table1('relgan', 'ffhq', 'average')
  assert average.loss.name == 'relativistic_average'
  for config in (gp, average):
    validate(config)


# spec/osgan.md section 3.4: D's norm, latent size, rates, decay of D's rate.
@pytest.mark.parametrize(
  'row, scheme, norm, latent, lr_g, lr_d, decay_at',
  [
    ('dcgan_sym', 'one_stage', 'batch', 100, 2e-4, 4e-5, (10, 15)),
    ('dcgan_sym', 'two_stage', 'batch', 100, 2e-4, 2e-5, ()),
    ('dcgan', 'one_stage', 'group', 128, 2e-4, 1e-4, ()),
    ('dcgan', 'two_stage', 'group', 100, 2e-4, 4e-5, (10, 15)),
    ('wgan', 'one_stage', 'batch', 100, 1e-4, 1.35e-5, (10, 15)),
    ('wgan', 'two_stage', 'batch', 100, 2e-4, 2e-4, (10, 15)),
  ],
)
def test_released_settings(row, scheme, norm, latent, lr_g, lr_d, decay_at):
  c = osgan.table1(row, 'celeba', f'released,scheme={scheme}')
  validate(c)
  rates = c.optimizer.generator, c.optimizer.discriminator
  assert (c.discriminator.norm, c.latent.size) == (norm, latent)
  assert [r.lr for r in rates] == [lr_g, lr_d]
  for r in rates:
    epochs = [at / osgan.CELEBA for at in r.decay_at]
    assert epochs == pytest.approx(decay_at, rel=1e-3)


@pytest.mark.parametrize(
  'row, data, arg',
  [
    ('wgan', 'mnist', 'released,scheme=two_stage'),
    ('wgan', 'celeba', 'released,gp'),
    ('lsgan', 'celeba', 'released'),
    ('dcgan', 'cifar', 'released'),
    ('lsgan', 'cifar', 'gp'),
  ],
)
def test_what_was_never_released_is_refused(row, data, arg):
  with pytest.raises(UserError, match='released|takes no option'):
    osgan.table1(row, data, arg)


def test_sgans_text_experiment():
  """Appendix B.1; RMSProp's decay is that of the lecture cited there."""
  c = config_lib.load(str(CONFIGS / 'sgan_text.py'))
  validate(c)
  assert (c.ensemble.pairs, c.loss.name) == (5, 'wasserstein')
  assert (c.penalties.wgan_gp.weight, c.scheme.d_steps) == (10.0, 5)
  assert (c.data.resolution, c.train.batch) == (32, 64)
  for network in (c.generator, c.discriminator):
    assert (network.name, network.depth) == ('charcnn', 4)
  for rule in (c.optimizer.generator, c.optimizer.discriminator):
    assert (rule.name, rule.lr, rule.b2) == ('rmsprop', 1e-5, 0.9)
