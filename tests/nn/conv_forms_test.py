"""Every form of every map against XLA's own; tables that choose among them."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from gan_jax.nn import conv as conv_lib
from gan_jax.nn import conv_forms, conv_plain, conv_tables
from gan_jax.nn.conv_plain import Geometry
from tests.nn.conv_test import close, normal

NAMES = [
  (kind, name)
  for kind, of in conv_forms.FORMS.items()
  for name in of
  if name != conv_forms.XLA
]
# Windows of whole strides and not, of one position, cropped, and odd sizes.
GEOMETRIES = [
  Geometry((7, 6), (3, 4), 2, ((1, 0), (2, 1)), None),
  Geometry((8, 8), (4, 4), 2, ((1, 1), (1, 1)), None),
  Geometry((5, 6), (3, 3), 1, ((1, 1), (1, 1)), None),
  Geometry((9, 10), (3, 3), 1, ((-1, 0), (2, -1)), None),
  Geometry((3, 4), (3, 3), 2, ((4, 4), (4, 4)), None),
  Geometry((4, 5), (1, 1), 1, ((0, 0), (0, 0)), None),
  Geometry((4, 4), (4, 4), 1, ((0, 0), (0, 0)), None),
]


@pytest.fixture(autouse=True)
def leaves_none():
  yield
  conv_tables.forget()
  conv_tables.use(None)


def operands(kind, geo, ci, co, members=1):
  """Of a map, [members, ...]."""
  shapes = conv_plain.shapes_of(geo, 2, ci, co)
  return [
    normal(i, members, *shapes[name])
    for i, name in enumerate(conv_plain.OPERANDS[kind])
  ]


@pytest.mark.parametrize('order', ['HWIO', 'HWOI'])
@pytest.mark.parametrize('kind, name', NAMES)
def test_each_form_equals_xlas_own(kind, name, order):
  met = 0
  for geo in GEOMETRIES:
    geo = geo._replace(kernel=order)
    for ci, co in ((3, 5), (9, 5)):
      a, b = operands(kind, geo, ci, co)
      if name in conv_forms.candidates(kind, a[0], b[0], geo, 'cpu'):
        make = functools.partial(conv_forms.FORMS[kind][name].make, geo=geo)
        want = conv_plain.every(a, b, kind=kind, geo=geo)[0]
        close(jax.jit(make)(a[0], b[0]), want)
        met += 1
  assert met


def test_xlas_own_with_pads_of_a_window():
  geo = Geometry((4, 4), (1, 2), 1, ((0, 0), (2, 0)), None)
  y, k = (x[0] for x in operands('x', geo, 1, 4))
  want = np.zeros((2, 4, 6, 1), np.float32)
  for tap in range(2):
    want[:, :, tap : tap + 5, 0] += np.einsum('nhwo,o->nhw', y, k[0, tap, 0])
  close(conv_plain.one('x', y, k, geo), want[:, :, 2:])


@hypothesis.settings(max_examples=12)
@hypothesis.given(
  size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
  window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
  stride=st.integers(1, 3),
  pads=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
  channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
  kind=st.sampled_from('yxk'),
  members=st.integers(1, 2),
  data=st.data(),
)
def test_any_form_that_fits_gives_the_map(
  size, window, stride, pads, channels, kind, members, data
):
  geo = Geometry(size, window, stride, pads, None)
  a, b = operands(kind, geo, *channels, members)
  fitting = conv_forms.candidates(kind, a[0], b[0], geo, 'cpu')
  name = data.draw(st.sampled_from(fitting))
  row = conv_forms.layer_of(kind, a[0], b[0], geo), name
  table = conv_tables.Table('m', jax.__version__, (row,))
  geo = geo._replace(tables=conv_tables.register({'cpu': table}))
  assert conv_forms.chosen(kind, a[0], b[0], geo, 'cpu') == name
  got = conv_forms.form(a, b, kind=kind, geo=geo, platform='cpu')
  close(got, conv_plain.every(a, b, kind=kind, geo=geo))


@pytest.mark.parametrize('kind', ['y', 'x', 'k'])
def test_rules_name_forms_that_fit(kind):
  for geo in GEOMETRIES:
    for ci, co in ((3, 5), (9, 5), (64, 16), (300, 8), (8, 300)):
      shape = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
      given = [*map(shape, operands(kind, geo, ci, co)), geo]
      for platform in ('cpu', 'gpu', 'tpu'):
        name = conv_forms.by_rule(kind, *given, platform)
        assert name in conv_forms.candidates(kind, *given, platform)
        assert platform == 'cpu' or name == conv_forms.XLA


# Tables.

LAYER = conv_tables.Layer('k', (4, 4), 2, 'HWIO', 16, 256, 64, 128)


def table(*rows):
  return conv_tables.Table('cpu-make', jax.__version__, rows)


def test_the_layer_most_like_another_decides():
  near = LAYER._replace(batch=32, outputs=64)  # two factors of two
  far = LAYER._replace(batch=64, area=512)  # three
  found = table((far, 'xla'), (near, 'depth'))
  assert conv_tables.like(found, LAYER) == 'depth'
  assert conv_tables.like(table((far, 'xla')), LAYER) == 'xla'
  further = LAYER._replace(batch=64, area=1024)
  assert conv_tables.like(table((further, 'xla')), LAYER) is None


@pytest.mark.parametrize(
  'other',
  [dict(kind='x'), dict(window=(3, 3)), dict(stride=1), dict(kernel='HWOI')],
)
def test_layers_of_another_kind_decide_nothing(other):
  assert (
    conv_tables.like(table((LAYER._replace(**other), 'xla')), LAYER) is None
  )


def test_a_form_that_is_unknown_or_does_not_fit_is_not_taken():
  geo = Geometry((8, 8), (3, 3), 2, ((1, 1), (1, 1)), None)
  a, b = operands('k', geo, 3, 5)
  layer = conv_forms.layer_of('k', a[0], b[0], geo)
  for name in ('depth', 'of a later version'):
    tables = conv_tables.register({'cpu': table((layer, name))})
    given = 'k', a[0], b[0], geo._replace(tables=tables), 'cpu'
    assert conv_forms.chosen(*given) == 'unfolding'


def test_what_is_used_decides_what_is_lowered():
  x, k = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
  text = lambda: jax.jit(lambda x, k: conv_lib.conv(x, k)).lower(x, k).as_text()
  conv_tables.use({})
  assert 'lhs_dilate = [2, 1]' not in text()
  layer = conv_tables.Layer('y', (3, 3), 1, 'HWIO', 2, 64, 3, 4)
  conv_tables.use({'cpu': table((layer, 'eigen'))})
  assert 'lhs_dilate = [2, 1]' in text()


def test_a_gpu_takes_what_its_own_table_says():
  """As lowered for one that is not here."""
  x, k = jnp.ones((2, 4, 4, 8)), jnp.ones((4, 4, 8, 8))
  made = lambda: jax.jit(lambda x, k: conv_lib.conv_transpose(x, k))
  on = lambda where: made().trace(x, k).lower(lowering_platforms=(where,))
  layer = conv_tables.Layer('x', (4, 4), 2, 'HWOI', 2, 16, 8, 8)
  for of, dilated in (('cpu', True), ('gpu', False)):
    conv_tables.use({of: table((layer, 'phases'))})
    assert ('lhs_dilate = [2, 2]' in on('cuda').as_text()) == dilated
  assert 'lhs_dilate = [2, 2]' in on('tpu').as_text()


sizes = st.integers(1, 2**20)
layers = st.builds(
  conv_tables.Layer,
  st.sampled_from('yxk'),
  st.tuples(sizes, sizes),
  sizes,
  st.sampled_from(['HWIO', 'HWOI']),
  *[sizes] * 4,
)
tables = st.builds(
  conv_tables.Table,
  st.text(),
  st.text(),
  st.lists(st.tuples(layers, st.text())).map(tuple),
)


@hypothesis.given(tables)
def test_json_gives_a_table_back(made):
  assert conv_tables.from_json(conv_tables.to_json(made)) == made


junk = st.recursive(
  st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=3),
  lambda inner: (
    st.lists(inner, max_size=9)
    | st.dictionaries(st.sampled_from(['rows', 'machine', 'jax']), inner)
  ),
)


@hypothesis.given(junk)
def test_what_is_no_table_is_refused(values):
  try:
    made = conv_tables.from_json(values)
  except ValueError:
    return
  assert conv_tables.to_json(made) == values  # it was one


@pytest.mark.parametrize('damage', ['', '{', '[]', '{"rows": [[1]]}'])
def test_a_damaged_table_is_left_out(damage, tmp_path, caplog):
  file = tmp_path / 'cpu.json'
  file.write_text(damage)
  with caplog.at_level('WARNING', 'gan_jax'):
    assert conv_tables.read(file) is None
  assert f'{file} is no table' in caplog.text


def test_a_table_of_another_jax_is_left_out(tmp_path):
  file = tmp_path / 'cpu.json'
  made = table((LAYER, 'depth'))
  for version, there in ((jax.__version__, True), ('0.1.7', False)):
    file.write_text(conv_tables.text_of(made._replace(jax=version)))
    assert bool(conv_tables.read(file)) == there


def test_tables_that_come_along_name_forms_that_there_are():
  files = list(conv_tables.PACKAGED.glob('*.json'))
  assert files
  for file in files:
    made = conv_tables.from_json(conv_tables.loaded(file))
    assert conv_tables.file_of(made.machine, made.jax) == file.name
    assert made.rows
    for layer, name in made.rows:
      assert name in conv_forms.FORMS[layer.kind]
      assert name != conv_forms.XLA or not file.stem.startswith('cpu')
    assert len({layer for layer, _ in made.rows}) == len(made.rows)


@pytest.mark.parametrize(
  'machine, taken',
  [
    ('cpu-intel-avx512', 'cpu-amd-avx512'),
    ('cpu-intel-avx2', 'cpu-intel-avx2'),
    ('cpu-amd-avx2', 'cpu-intel-avx2'),
    ('cpu-amd', 'cpu-amd-avx512'),
    ('cpu', 'cpu-amd-avx512'),
    ('gpu-nvidia-x', None),
  ],
)
def test_a_cpu_without_a_table_takes_the_nearest(
  machine, taken, monkeypatch, tmp_path
):
  for name in ('cpu-amd-avx512', 'cpu-intel-avx2'):
    made = table((LAYER, 'depth'))._replace(machine=name)
    text = conv_tables.text_of(made)
    (tmp_path / conv_tables.file_of(name)).write_text(text)
  monkeypatch.setattr(conv_tables, 'PACKAGED', tmp_path)
  monkeypatch.setattr(conv_tables, 'machine_of', lambda platform: machine)
  monkeypatch.setenv('GAN_JAX_CONVOLUTIONS', str(tmp_path / 'none'))
  conv_tables.forget()
  got = conv_tables.here(machine.partition('-')[0])
  assert (got and got.machine) == taken


def test_machines_have_names_of_files():
  name = conv_tables.machine_of('cpu')
  assert conv_tables.file_of(name, '0.10.1') == f'{name}-jax0.10.json'
  assert name.startswith('cpu') and name == name.lower()
  assert np.all([c.isalnum() or c == '-' for c in name])
