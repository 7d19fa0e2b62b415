"""The files in configs/: what they say, how they are found, their papers."""

import ast
import os
import pathlib
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import config_files, ema
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.state import START
from gan_jax.validate import validate, validate_shape

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
FILES = list(config_files.files(CONFIGS))
# OSGAN's Table 1, read off the paper: row -> loss, whether it is symmetric
# (the scheme's gamma is -1) does not show in a config.
TABLE_1 = {
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
ENTRIES = [
  (data, row)
  for data in ('celeba', 'church', 'ffhq', 'cifar')
  for row in TABLE_1
  if row != 'cgan' or data in ('celeba', 'cifar')
] + [('mnist', row) for row in ('dcgan', 'dcgan_sym', 'wgan')]


def osgan(data, *options):
  return config_lib.load(f'{CONFIGS}/osgan_{data}.py:{",".join(options)}')


def refusal(spec):
  with pytest.raises(UserError) as error:
    config_lib.load(spec)
  return str(error.value)


def test_a_file_is_a_config_or_shared():
  """The underscore tells people what the program tells by get_config."""
  shared = {p for p in CONFIGS.glob('*.py') if p.name.startswith('_')}
  assert set(FILES) | shared == set(CONFIGS.glob('*.py'))
  assert not set(FILES) & shared


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_a_docstring_says_what_a_user_needs(file):
  doc = ast.get_docstring(ast.parse(file.read_text()))
  assert doc.partition('\n')[0].endswith('.')
  parts = ['--config=configs/' + file.name, 'Options:', 'Data:', 'Expected nu']
  places = [doc.index('\n' + p) if ':' in p else doc.index(p) for p in parts]
  assert places == sorted(places)
  # Every option the file takes, but test, has a line of its own, and no other.
  taken = refusal(f'{file}:no_such_option').partition(' but ')[2]
  taken = set(re.findall(r'\w+', taken.partition(';')[0])) - {'test'}
  lines = doc[places[1] + 1 : places[2]].splitlines()
  if taken:
    said = {line.split()[0] for line in lines[1:] if line[2] != ' '}
    assert lines[0] == 'Options:' and said == taken
  else:
    assert lines == ['Options: none.']


@pytest.mark.parametrize('data, row', ENTRIES)
def test_a_controlled_pair_differs_in_the_scheme_alone(data, row):
  one = osgan(data, f'loss={row}')
  two = osgan(data, f'loss={row}', 'scheme=two_stage')
  for config in (one, two):
    validate(config)
  assert config_lib.differences(one, two) == [
    'scheme.name: one_stage -> two_stage'
  ]
  assert one.loss.name == TABLE_1[row]
  assert one.train.batch == 128
  # Section 4.1.2: no batch norm in D.
  assert one.discriminator.norm in ('group', 'none')


def test_rows_have_what_their_names_say():
  chosen = {row: osgan('cifar', f'loss={row}') for row in TABLE_1}
  assert [r for r, c in chosen.items() if c.data.conditional] == ['cgan']
  assert [r for r, c in chosen.items() if c.discriminator.spectral] == ['sngan']
  assert [r for r, c in chosen.items() if c.penalties.clip.limit] == ['wgan']
  assert chosen['wgan'].penalties.clip.limit == 0.01
  assert osgan('cifar') == chosen['dcgan']


@pytest.mark.parametrize('data', ['church', 'ffhq', 'mnist'])
def test_a_row_that_a_data_set_lacks_is_refused_with_those_it_has(data):
  text = refusal(f'{CONFIGS}/osgan_{data}.py:loss=cgan')
  there = [row for d, row in ENTRIES if d == data]
  listed = text.partition('one of ')[2].partition(';')[0].split(', ')
  assert sorted(listed) == sorted(there) and '\n' not in text


def test_options():
  gp = osgan('cifar', 'loss=wgan', 'gp')
  assert gp.penalties.wgan_gp.weight and not gp.penalties.clip.limit
  average = osgan('ffhq', 'loss=relgan', 'average')
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
  c = osgan('celeba', f'loss={row}', 'released', f'scheme={scheme}')
  validate(c)
  rates = c.optimizer.generator, c.optimizer.discriminator
  assert (c.discriminator.norm, c.latent.size) == (norm, latent)
  assert [r.lr for r in rates] == [lr_g, lr_d]
  for r in rates:
    epochs = [at / 202_599 for at in r.decay_at]
    assert epochs == pytest.approx(decay_at, rel=1e-3)


@pytest.mark.parametrize(
  'data, arg, words',
  [
    ('mnist', 'loss=wgan,released,scheme=two_stage', 'released is for what'),
    ('celeba', 'loss=wgan,released,gp', 'released is for what'),
    ('celeba', 'loss=lsgan,released', 'released is for what'),
    ('cifar', 'released', "takes no option 'released'"),
    ('cifar', 'loss=lsgan,gp', 'for loss=wgan, not loss=lsgan'),
    ('cifar', 'average', 'for loss=relgan, not loss=dcgan'),
  ],
)
def test_options_that_an_entry_lacks_are_refused(data, arg, words):
  text = refusal(f'{CONFIGS}/osgan_{data}.py:{arg}')
  assert words in text and '\n' not in text


@pytest.mark.parametrize('classes', [10, 100])
def test_the_student_looks_where_its_teacher_is(classes):
  """The two default folders of the docstring's two commands."""
  option = '' if classes == 10 else f':classes={classes}'
  teacher = config_lib.load(f'{CONFIGS}/classifier_cifar.py{option}')
  student = config_lib.load(f'{CONFIGS}/distill_cifar.py{option}')
  name = config_files.name_of(f'configs/classifier_cifar.py{option}')
  assert student.teacher.workdir == f'runs/{name}'
  assert student.data.source == teacher.data.source == f'tfds:cifar{classes}'
  assert student.teacher.depth == teacher.discriminator.depth


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
    assert (rule.name, rule.lr, rule.b2) == ('rmsprop', 1e-4, 0.9)


@pytest.mark.parametrize('data', ['cifar', 'mnist', 'text', 'toy'])
def test_the_papers_sgan_is_an_option_and_ours_says_what_it_adds(data):
  load = lambda arg: config_lib.load(f'{CONFIGS}/sgan_{data}.py{arg}')
  ours, papers, one = load(''), load(':paper'), load(':n=0')
  assert 0.0 < ours.ensemble.memory <= 1.0 and papers.ensemble.memory == 0.0
  assert papers.optimizer.generator.lr == 1e-5  # appendix B.1
  assert one.optimizer == ours.optimizer and not one.ensemble.memory
  assert load(':paper,lr=0.001').optimizer.discriminator.lr == 1e-3
  for c in (ours, papers, one, load(':simple')):
    validate(c)


# Finding and loading.


@pytest.mark.parametrize('spec', ['configs', 'configs/', 'configs/:test'])
def test_a_folder_lists_its_configs_with_a_line_each(spec, monkeypatch):
  monkeypatch.chdir(CONFIGS.parent)
  sentence, *lines = refusal(spec).splitlines()
  assert sentence.endswith('configs has:')
  assert [line.split()[0] for line in lines] == [f.name for f in FILES]
  line = next(x for x in lines if x.startswith('  dcgan_mnist.py'))
  assert line.endswith('  DCGAN on MNIST, 28 x 28')


@pytest.mark.parametrize(
  'spec, right',
  [
    ('configs/quikstart.py', 'quickstart'),
    ('configs/quickstart', 'quickstart'),
    ('quickstart:test', 'quickstart'),
    ('sgan_cifar10.py', 'sgan_cifar'),
    # As they were called until losses and classes became options.
    ('configs/classifier_cifar100.py', 'classifier_cifar'),
    ('configs/distill_cifar10.py', 'distill_cifar'),
    *((f'configs/osgan_{r}_{d}.py', f'osgan_{d}') for d, r in ENTRIES),
  ],
)
def test_a_near_name_is_suggested_with_its_line(spec, right, monkeypatch):
  monkeypatch.chdir(CONFIGS.parent)
  text = refusal(spec)
  assert f'did you mean configs/{right}.py (' in text
  assert text.endswith(')?') and '\n' not in text


def test_a_name_that_is_near_to_nothing_lists_what_there_is(tmp_path):
  (tmp_path / 'one.py').write_text('"""The first."""\ndef get_config(_): 0\n')
  (tmp_path / 'helper.py').write_text('"""None."""\n')
  (tmp_path / 'broken.py').write_text('def get_config(:\n')
  text = refusal(f'{tmp_path}/zzzzzz.py')
  assert text.endswith(f'{tmp_path} has:\n  one.py  The first')
  text = refusal(f'{tmp_path}/helper.py')
  assert 'no function get_config' in text and f'--config={tmp_path} li' in text


@pytest.mark.parametrize(
  'body, words',
  [
    ('def get_config(arg): pass', 'gives nothing, not a ConfigDict'),
    ('def get_config(arg): return {}', 'gives a dict'),
    ('def get_config(arg): return defaults().to_dict()', 'gives a dict'),
    ('def get_config(arg): return get_config', 'gives a function'),
    ('def get_config(arg): return defaults', 'gives a function'),
    ('def get_config(arg): return 0', 'gives an int'),
    ('def get_config(arg): yield defaults()', 'gives a generator'),
    (
      'def get_config(arg): return ml_collections.FrozenConfigDict(defaults())',
      'gives a FrozenConfigDict',
    ),
    ('def get_config(arg): return ml_collections.ConfigDict()', 'without data'),
    (
      'def get_config(arg):\n  c = defaults()\n  del c.train.batch\n  return c',
      'without train.batch',
    ),
    (
      'def get_config(arg):\n  c = defaults()\n  del c.mesh\n  return c',
      'without mesh.',
    ),
    ('get_config = 3', 'has no function get_config'),
    ('class C:\n  pass\nget_config = C', 'gives a C'),
    ('import sys\nsys.exit(0)', 'failed to load: SystemExit: 0'),
    ('def get_config(arg): exit()', 'failed to load: SystemExit'),
    ('def get_config(arg): raise ValueError("a\\n\\nb")', 'ValueError: a b'),
    ('def get_config(arg): return get_config(arg)', 'RecursionError'),
    ('def get_config(arg', 'SyntaxError'),
    ('\0', 'failed to load'),
    ('', 'has no function get_config'),
  ],
)
def test_what_is_no_config_is_one_sentence(body, words, tmp_path):
  head = 'import ml_collections\nfrom gan_jax.config import defaults\n'
  (tmp_path / 'a.py').write_text(head + body + '\n')
  text = refusal(f'{tmp_path}/a.py')
  assert words in text and '\n' not in text


def test_what_is_no_file_is_no_config(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'a.py').write_text(
    'from gan_jax.config import defaults\ndef get_config(): return defaults()\n'
  )
  (tmp_path / 'b.py').write_bytes(b'x = "\xff"\n')
  os.mkfifo(tmp_path / 'pipe.py')
  for spec, words in (
    (f'{tmp_path}/pipe.py', 'is a pipe or a device'),
    ('/dev/zero', 'is a pipe or a device'),
    ('gs://a/b.py:test', 'is an address'),
    ('~nosuchuser/a.py', 'no home folder'),
    ('', 'is no path'),
    ('\0.py', 'is no path'),
    ('x' * 5000, 'is no path here'),
    (f'{tmp_path}/b.py', 'failed to load'),
    (f'{tmp_path}/a.py:test', 'takes no options'),
  ):
    text = refusal(spec)
    assert words in text and '\n' not in text, spec
  assert config_lib.load('~/a.py').train.batch == 64


@pytest.mark.parametrize(
  'words, said',
  [
    ('test,test', "'test' is given twice"),
    ('n=1,n=1', "'n' is given twice"),
    ('n=1,m=2,n=3', "no option 'm'"),
    ('n', 'must be of type int'),
    ('n=', 'must be of type int'),
    ('n=²', 'must be of type int'),
    ('n=' + '9' * 5000, 'must be of type int'),
    ('n=1.5', 'must be of type int'),
    ('test=', 'must be of type bool'),
    ('test=yes', 'must be of type bool'),
    ('loss', 'must be of type str'),
    ('loss=', 'must be of type str'),
    ('Test', 'did you mean'),
    (' test', "no option ' test'"),
  ],
)
def test_options_that_are_not_understood_are_refused(words, said):
  with pytest.raises(UserError) as error:
    config_lib.options(words, n=3, loss=('a', 'b'))
  assert said in str(error.value)


SHARED = """
import _shared
def get_config(arg):
  import lazily
  from gan_jax import config
  c = config.defaults()
  c.train.seed = _shared.SEED + lazily.SEED
  return config.finish(c)
"""


def write(folder, seed, extra=''):
  folder.mkdir()
  (folder / 'a.py').write_text(SHARED + extra)
  (folder / '_shared.py').write_text(f'SEED = {seed}\n')
  (folder / 'lazily').mkdir()
  (folder / 'lazily' / '__init__.py').write_text('from lazily.deep import *\n')
  (folder / 'lazily' / 'deep.py').write_text('SEED = 1\n')
  return folder / 'a.py'


def test_modules_of_a_configs_folder_are_its_own(tmp_path, monkeypatch):
  """The same names in two folders, from wherever, and nothing stays."""
  files = [write(tmp_path / str(seed), seed) for seed in (10, 20)]
  monkeypatch.chdir(tmp_path / '20')
  path, modules = list(sys.path), set(sys.modules)
  for spec, seed in ((files[0], 11), ('a.py', 21), (files[0], 11)):
    assert config_lib.load(str(spec)).train.seed == seed
  assert sys.path == path
  assert not {m for m in set(sys.modules) - modules if '_shared' in m}
  assert not {m for m in set(sys.modules) - modules if 'lazily' in m}


def test_a_config_may_load_one_of_another_folder(tmp_path):
  inner = write(tmp_path / 'inner', 10)
  outer = write(tmp_path / 'outer', 20)
  outer.write_text(
    SHARED.replace('  return', f'  config.load({str(inner)!r})\n  return')
    + 'import _shared as again\nassert again.SEED == 20\n'
  )
  assert config_lib.load(str(outer)).train.seed == 21


def test_a_module_of_a_configs_name_stays_as_it_was(tmp_path, monkeypatch):
  """Also when the config fails."""
  loaded = object()
  monkeypatch.setitem(sys.modules, '_shared', loaded)
  path = list(sys.path)
  assert config_lib.load(str(write(tmp_path / 'x', 10))).train.seed == 11
  assert sys.modules['_shared'] is loaded
  text = refusal(str(write(tmp_path / 'y', 10, extra='1 / 0\n')))
  assert 'ZeroDivisionError' in text
  assert sys.modules['_shared'] is loaded and sys.path == path


def test_names_of_runs():
  name = config_files.name_of
  assert name('configs/osgan_cifar.py:loss=lsgan,scheme=two_stage') == (
    'osgan_cifar_loss=lsgan_scheme=two_stage'
  )
  assert name('configs/quickstart.py:test') == 'quickstart_test'
  assert name('/a/b/quickstart.py') == name('quickstart.py:') == 'quickstart'
  assert name('x.py:b=2,a') == name('x.py:a,b=2') == 'x_a_b=2'
  assert name('my own.py:lr=1e-4,data=a/../b') == 'my-own_data=a-..-b_lr=1e-4'


@given(st.text(), st.lists(st.text(), max_size=5), st.randoms())
def test_a_runs_name_is_one_folder_anywhere(file, options, shuffle):
  name = config_files.name_of(f'{file}.py:{",".join(options)}')
  assert re.fullmatch(r'[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*', name)
  assert len(name) <= 200
  words = [w for option in options for w in option.split(',')]
  shuffle.shuffle(words)
  if ':' not in file:
    assert name == config_files.name_of(f'{file}.py:{",".join(words)}')


@given(st.lists(st.sampled_from('abcdefgh'), unique=True, min_size=1))
def test_other_options_are_another_folder(names):
  full = ','.join(f'{name}=1' for name in names)
  fewer = ','.join(f'{name}=1' for name in names[1:])
  assert config_files.name_of(f'x:{full}') != config_files.name_of(f'x:{fewer}')


# ProGAN's Table 4: which change each row makes to the one before.
MNIST1K = {
  'gan': dict(loss='non_saturating', d_steps=1, norms=('batch', 'batch')),
  'wgan_gp': dict(loss='wasserstein', d_steps=5),
  'norm': dict(norms=('pixel', 'none'), equalised=True),
  'stddev': dict(group_size=0),
  'progression': dict(start=4),
}


@pytest.mark.parametrize('d, width', [('k4', 2), ('k2', 4)])
def test_rows_of_mnist1k_add_one_change_each(d, width):
  expected = dict(equalised=False, group_size=1, start=0)
  for row, change in MNIST1K.items():
    expected |= change
    for end in ('', ',test'):
      spec = f'{CONFIGS}/progan_mnist1k.py:row={row},d={d}{end}'
      c = config_lib.load(spec)
      validate(c)
      g, critic = c.generator, c.discriminator
      assert expected == dict(
        loss=c.loss.name,
        d_steps=c.scheme.d_steps,
        norms=(g.norm, critic.norm),
        equalised=g.equalised and critic.equalised,
        group_size=critic.group_size,
        start=c.growth.start,
      )
      assert critic.width == width and g.name == critic.name == 'mnist1k'
      kind = 'digits' if end else 'tfds:mnist'
      assert c.data.source == f'stacked:{kind}'
      assert bool(c.penalties.wgan_gp.weight) == (row != 'gan')


# FastGAN's Tables 2 to 4, read off the paper: side, numbers of pictures, and
# the Frechet distances with all of it.
FASTGAN = {
  'dog': (256, {389: '50.66'}),
  'cat': (256, {160: '35.11'}),
  'obama': (256, {100: '41.05'}),
  'panda': (256, {100: '10.03'}),
  'grumpy_cat': (256, {100: '26.65'}),
  'art': (1024, {1000: '45.08', 2000: '44.57', 5000: '43.27', 10000: '42.53'}),
  'ffhq': (
    1024,
    {
      1000: '24.45',
      2000: '19.01',
      5000: '17.93',
      10000: '16.45',
      70000: '12.38',
    },
  ),
  'nature': (1024, {2000: '52.47', 5000: '45.07', 10000: '43.65'}),
  'flower': (1024, {1000: '25.66'}),
  'pokemon': (1024, {800: '57.19'}),
  'anime_face': (1024, {120: '59.38'}),
  'skull': (1024, {100: '130.05'}),
  'shell': (1024, {60: '155.47'}),
}


def fastgan(*words):
  return f'{CONFIGS}/fastgan_paper.py:{",".join(words)}'


@pytest.mark.parametrize('data', FASTGAN)
def test_fastgans_data_sets(data):
  side, rows = FASTGAN[data]
  doc = ast.get_docstring(ast.parse((CONFIGS / 'fastgan_paper.py').read_text()))
  facts, numbers = (
    ' '.join(
      re.findall(rf'^  {data} .*(?:\n {{12,}}.*)*', half, re.M)[0].split()
    )
    for half in doc.split('Expected numbers:')
  )
  assert facts.endswith(f' {side} {", ".join(map(str, rows))}')
  assert numbers.startswith(f'{data} {", ".join(rows.values())} (')
  for count in rows:
    c = config_lib.load(fastgan(f'data={data}', f'pictures={count}'))
    validate(c)
    assert c.data.source == f'folder:pictures/{data}'
    assert c.data.about.endswith(f', {count:,} pictures')
    assert c.data.resolution == side and not c.data.held_out
    assert (c.data.split == 'train') == (len(rows) == 1)
    assert c.metrics.samples == (50_000 if count > 1000 else 5000)
    # As many images in 24 hours as Table 1 has, or as released.
    images = c.train.steps * c.train.batch
    assert images == 8 * (140_000 if count > 1000 else 50_000)
    assert c.train.batch == (32 if count == 70_000 else 8)
    assert not c.train.choose


def test_fastgans_rows_are_those_of_a_folder():
  """But for what a folder leaves to be chosen or holds out, and its average.

  That is the same but for its beginning.
  """
  for row in ('full', 'baseline', 'skip', 'decode'):
    for preset in ('official', 'paper'):
      words = f'row={row},preset={preset}'
      ours = config_lib.load(f'{CONFIGS}/fastgan_folder.py:{words}')
      theirs = config_lib.load(fastgan(words))
      for section in ours:
        if section not in ('data', 'train', 'metrics', 'ema'):
          assert ours[section] == theirs[section], section
      late = START.later(8 * 14_000)
      decays = (float(ema.decay(c.ema, late, 8)) for c in (ours, theirs))
      assert next(decays) == pytest.approx(next(decays), abs=1e-6)


def test_a_data_set_that_is_absent_says_what_belongs_there(
  tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as error:
    open_source(config_lib.load(fastgan('data=dog')).data)
  assert str(error.value) == (
    "config.data.source is 'folder:pictures/dog', but there is no folder or zip"
    ' archive pictures/dog: put Animal-Face Dog (Si & Zhu 2011), 389 pictures,'
    ' there, or give folder:PATH with the path of one.'
  )
  text = refusal(fastgan('data=art', 'pictures=3000'))
  assert 'data=art: 1000, 2000, 5000, 10000.' in text and '\n' not in text
  assert "did you mean 'obama'" in refusal(fastgan('data=obma'))


# spec/glead.md 5.1, 5.4 and 5.5.
@pytest.mark.parametrize(
  'name, mirror, images',
  [('ffhq', True, 25_000_000), ('lsun', False, 50_000_000)],
)
def test_gleads_baselines(name, mirror, images):
  c = config_lib.load(f'{CONFIGS}/stylegan2_{name}.py')
  validate(c)
  assert c.data.resolution == 256 and c.augment.mirror == mirror
  assert not c.augment.diff and c.train.images == images
  for network in (c.generator, c.discriminator):
    assert network.fmap_base // 256 == 64 and network.fmap_max == 512
  assert c.discriminator.group_size == 8 and c.latent.size == 512
  assert (c.generator.mixing, c.loss.name) == (0.9, 'non_saturating')
  terms = {
    'r1': dict(weight=1.0, every=16, phase='after'),
    'path_length': dict(
      weight=2.0, every=4, phase='after', decay=0.01, shrink=2
    ),
  }
  for term, wanted in terms.items():
    assert c.penalties[term].to_dict() == wanted
  for rule in (c.optimizer.generator, c.optimizer.discriminator):
    assert (rule.name, rule.lr, rule.b1, rule.b2) == ('adam', 0.0025, 0.0, 0.99)
    assert rule.eps == 1e-8 and not rule.ramp_up
  assert c.ema.half_life == 20_000 and not c.ema.ramp_up
  assert (c.train.batch, c.scheme.d_steps) == (64, 1)


@pytest.mark.parametrize('side', [32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize('preset', ['auto', 'paper256', 'full'])
def test_stylegan2_of_every_size_can_be_built(side, preset):
  """Minibatches fall into groups, and terms find what they read."""
  c = config_lib.load(
    f'{CONFIGS}/stylegan2_folder.py:resolution={side},preset={preset},width=2'
  )
  validate(c)
  validate_shape(c, (side, side, 3))
  assert c.train.batch % c.discriminator.group_size == 0
  if preset == 'auto':
    gamma = 0.0002 * side**2 / c.train.batch  # Karras et al. 2020b, appendix C
    assert c.penalties.r1.weight == pytest.approx(gamma)
