"""What --mode=tune measures and writes."""

import logging

import jax
import pytest

from gan_jax import tune
from gan_jax.errors import UserError
from gan_jax.nn import conv, conv_forms, conv_plain, conv_tables

SMALL = [
  tune.Layer('a', 'conv', 2, 8, 3, 4, 4, 2, 1),
  tune.Layer('b', 'conv_t', 2, 4, 4, 3, 4, 2, 1),
]


@pytest.mark.parametrize('layer', tune.LAYERS, ids=str)
def test_a_layer_is_what_the_networks_trace(layer):
  """The map of each layer that conv and conv_transpose bind is its own."""
  images = (layer.batch, layer.size, layer.size, layer.cin)
  x = jax.ShapeDtypeStruct(images, 'float32')
  k = jax.ShapeDtypeStruct(
    (layer.window,) * 2 + images[3:] + (layer.cout,), 'f4'
  )
  op = conv.conv if layer.op == 'conv' else conv.conv_transpose
  traced = jax.make_jaxpr(lambda x, k: op(x, k, layer.stride, layer.pad))(x, k)
  bound = [e for e in traced.eqns if e.primitive is conv.form_p]
  if layer.op == 'conv_t' and layer.size == 1:
    assert not bound  # a product
    return
  geo = tune.geometry_of(layer)
  assert bound[0].params['geo']._replace(tables='') == geo
  kind = 'y' if layer.op == 'conv' else 'x'
  assert bound[0].params['kind'] == kind
  a, b = (v.aval for v in bound[0].invars)
  given = tune.operands_of(layer)
  names = conv_plain.OPERANDS[kind]
  assert [given[n].shape for n in names] == [a.shape[1:], b.shape[1:]]


def test_it_writes_a_table_of_forms_that_fit(tmp_path, caplog):
  file = tmp_path / 'made' / 'cpu.json'
  with caplog.at_level(logging.INFO, 'gan_jax'):
    made = tune.tune(file, SMALL)
  assert conv_tables.read(file) == made
  assert [layer.kind for layer, _ in made.rows] == ['y', 'x', 'k'] * 2
  assert made.machine == conv_tables.machine_of('cpu')
  for layer, name in made.rows:
    assert name in conv_forms.FORMS[layer.kind]
  assert 'of 6 maps take another form than by rule' in caplog.text
  assert str(file) in caplog.text


def test_another_form_is_taken_only_for_a_gain():
  layer = conv_tables.Layer('y', (3, 3), 1, 'HWIO', 2, 64, 3, 4)
  at = lambda **seconds: tune.Timed(layer, 'ynnpack', seconds).best
  assert at(ynnpack=1.0, eigen=0.97, xla=2.0) == 'ynnpack'
  assert at(ynnpack=1.0, eigen=0.9, xla=0.8) == 'xla'


def test_medians_take_turns_and_leave_the_hopeless_alone(monkeypatch):
  counts = dict.fromkeys(('fast', 'slow', 'slowest'), 0)
  now = [0.0]

  def call(name, seconds):
    def made():
      counts[name] += 1
      now[0] += seconds
      return ()

    return made

  seconds = {'fast': 0.01, 'slow': 0.03, 'slowest': 0.1}
  calls = {name: call(name, seconds[name]) for name in counts}
  monkeypatch.setattr(tune.time, 'perf_counter', lambda: now[0])
  found = tune.medians(calls)
  monkeypatch.undo()
  assert counts == {'fast': 2 + tune.ROUNDS, 'slow': 2, 'slowest': 1}
  assert found == pytest.approx(seconds)


def test_a_tpu_has_nothing_to_choose(monkeypatch, tmp_path):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
  with pytest.raises(UserError, match='there is nothing to choose'):
    tune.tune(tmp_path / 'x.json', SMALL)
  assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='GAN_JAX_CONVOLUTIONS'):
    tune.tune(tmp_path / 'file' / 'x.json', [])
