"""D's tasks in a run: what is refused, LPIPS as a constant, reconstructions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import experiment, observe
from gan_jax.convert import weights
from gan_jax.data import open_source
from gan_jax.data.pipeline import Batch
from gan_jax.errors import UserError
from gan_jax.help import explain
from gan_jax.mesh import one_device
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.lpips import Lpips
from gan_jax.observe.reconstructions import Reconstructions
from gan_jax.restore import check_weights, frozen, keep
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.state import Span
from gan_jax.tasks import perceptual as distances
from gan_jax.tasks.autoencode import LPIPS
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small
from tests.train_test import digits

DCGAN = dict(name='dcgan', width=4)
PROGAN = dict(name='progan', fmap_base=16, fmap_max=8)


def config(network=None, shape=(32, 32, 1), **sections):
  """Of a network on digits with the decoders of its maps at 8 and 16 px."""
  c = config_lib.defaults().unlock()
  c.data.update(source='digits', resolution=shape[0], channels=shape[-1])
  c.generator, c.discriminator = (dict(network or DCGAN) for _ in range(2))
  c.loss.name, c.latent.size = 'non_saturating', 5
  c.tasks.autoencode.update(weight=1.0, whole=('8',), part=('16',))
  for name, values in sections.items():
    if name == 'tasks':
      for task, more in values.items():
        c.tasks[task].update(more)
    else:
      c[name].update(values)
  return config_lib.finish(c)


OFF = dict(weight=0.0)


@pytest.mark.parametrize(
  'made, shape, words',
  [
    (
      lambda: config(tasks=dict(autoencode=dict(whole=('8', 'small_8')))),
      (32, 32, 1),
      ["tasks.autoencode.whole names 'small_8'", '32 px', "'16', '8', '4'"],
    ),
    (
      lambda: config(tasks=dict(autoencode=dict(part=('64',)))),
      (32, 32, 1),
      ["tasks.autoencode.part names '64'", 'weight = 0.0'],
    ),
    (
      lambda: config(
        tasks=dict(autoencode=OFF, rotation=dict(weight=1.0, features=('9',)))
      ),
      (32, 32, 1),
      ["tasks.rotation.features names '9'", "'16', '8', '4'"],
    ),
    (
      lambda: config(
        PROGAN,
        growth=dict(start=4, stable_images=8, fade_images=8),
        tasks=dict(autoencode=OFF, contrastive=dict(weight=1.0)),
      ),
      (32, 32, 1),
      ["tasks.contrastive.features names '8'", '4 px', "the maps '4'"],
    ),
    (
      lambda: config(tasks=dict(autoencode=dict(whole=(), part=()))),
      (32, 32, 1),
      ['nothing to decode', 'autoencode.whole'],
    ),
    (
      lambda: config(shape=(28, 28, 1), tasks=dict(
        autoencode=dict(whole=('7',), part=(), loss='lpips')
      )),
      (28, 28, 1),
      ["autoencode.loss = 'lpips'", '32 px', "'l1' or 'mse'"],
    ),
    (
      lambda: small.config(tasks=dict(aspect_ratio=dict(
        weight=1.0, features=('1',), every=1, phase='with'
      ))),
      (2,),
      ['tasks.aspect_ratio.features', 'works on pictures', 'weight = 0.0'],
    ),
    (
      lambda: config(
        dict(name='mlp', width=8, depth=3, slope=0.01),
        tasks=dict(autoencode=OFF, rotation=dict(weight=1.0)),
      ),
      (32, 32, 1),
      ["names '8'", 'has no maps'],
    ),
  ],
)  # fmt: skip
def test_what_d_does_not_offer_is_refused_in_a_sentence(made, shape, words):
  c = made()
  validate(c)
  with pytest.raises(UserError) as refused:
    experiment.build(c, shape, 0)
  text = str(refused.value)
  assert '\n' not in text and all(word in text for word in words), text


def test_pictures_that_are_no_squares_are_not_turned():
  term = experiment.objective.build_terms(
    config(tasks=dict(autoencode=OFF, rotation=dict(weight=1.0)))
  )['rotation']
  with pytest.raises(UserError, match='by quarters, and these have the shape'):
    term.check(term.path, (32, 24, 1), {'8': (1, 8, 6, 4)}, {})
  term.check(term.path, (32, 32, 1), {'8': (1, 8, 8, 4)}, {})


@pytest.fixture(name='no_weights')
def _no_weights(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'none'))
  weights._load.cache_clear()


def perceptual(**more):
  settings = dict(loss='lpips', every=2) | more
  return config(tasks=dict(autoencode=settings))


def test_without_weights_a_run_does_not_begin(no_weights, tmp_path):
  c, folder = perceptual(), tmp_path / 'run'
  with pytest.raises(UserError) as refused:
    train(c, folder)
  text = str(refused.value)
  assert '--config.tasks.autoencode.weights' in text and 'https://' in text
  assert '--config.tasks.autoencode.loss=l1' in text and '\n' not in text
  assert not (folder / 'config.json').exists()
  with pytest.raises(UserError, match='no.pth: there is no such file'):
    train(perceptual(weights=str(tmp_path / 'no.pth')), folder)


def test_lpips_is_a_constant_of_the_run(no_weights, tmp_path, monkeypatch):
  """Every other step only, so that its value is carried as well."""
  monkeypatch.setitem(distances.NETWORKS, LPIPS, Lpips(AlexNet()))  # smaller
  c = perceptual(weights='random')
  source = open_source(c.data)
  made = experiment.build(c, source.shape, 0)
  constants = experiment.constants_like(made)
  assert set(constants) == {LPIPS}
  with RunDir(tmp_path / 'run') as run:
    run.begin()
    saved = Checkpoints(run.checkpoints)
    found = frozen(run, c, made, source, saved)
    assert found[LPIPS].origin == 'random weights'
    keep(run, found)
    # From now on the folder's own are taken, whatever the config names.
    later = experiment.build(perceptual(weights='gone.pth'), source.shape, 0)
    check_weights(run, later)
    again = frozen(run, c, later, source, saved)
    assert again[LPIPS].origin == ''
    assert small.identical(again[LPIPS].variables, found[LPIPS].variables)
    saved.close()
  state = jax.eval_shape(made.init, jax.random.key(0))
  batch = Batch(
    jax.ShapeDtypeStruct((1, 4, 32, 32, 1), jnp.float32),
    jax.ShapeDtypeStruct((1, 4), jnp.int32),
  )
  step = made.make_step(made.growth.stages[0])
  new, metrics = jax.eval_shape(step, state, constants, batch, Span())
  assert jax.tree.structure(new) == jax.tree.structure(state)
  assert 'autoencode' in metrics and LPIPS not in new.pair.d.stats


@pytest.mark.slow
def test_a_run_draws_what_its_decoders_make(tmp_path):
  c = digits().unlock()
  c.tasks.autoencode.update(weight=1.0, whole=('4',), part=('16',))
  c.mesh.data = 1
  train(c.lock(), tmp_path)
  lines = [line for line in RunDir(tmp_path).lines() if 'd_loss' in line]
  assert all(line['autoencode'] > 0 for line in lines)
  file = tmp_path / 'images' / 'reconstructions_000000004.png'
  page = np.asarray(Image.open(file))
  assert page.std() > 0
  # Rows: real pictures, whole ones drawn, a part and what it became.
  rows, columns = 4, 8
  assert page.shape[0] / page.shape[1] == pytest.approx(
    rows / columns, rel=0.02
  )


@pytest.mark.slow
def test_reconstructions_of_a_growing_run(tmp_path):
  """At the stage of their step, with the same decoders."""
  c = config(
    PROGAN,
    growth=dict(start=16, stable_images=8, fade_images=8),
    train=dict(batch=4, images=200, image_every=100),
  )
  source = open_source(c.data)
  made = experiment.build(c, source.shape, 0)
  state = experiment.initial_state(made, 0, one_device())
  assert Reconstructions in observe.OBSERVERS.values()
  assert Reconstructions.wanted(c, made, source)
  with RunDir(tmp_path / 'run') as run:
    run.begin()
    look = Reconstructions(c, run, made, source, one_device())
    ends = sorted(made.growth.ends())
    pages = []
    for step in (0, made.growth.total(c.train)):
      assert not look.done(step)
      assert look(step, 0, state) == {}
      assert look.done(step)
      file = run.path / 'images' / f'reconstructions_{step:09d}.png'
      pages.append(np.asarray(Image.open(file)))
    assert ends and all(look.due(step) for step in ends)
  assert pages[0].shape == pages[1].shape
  assert not np.array_equal(*pages)


def test_their_settings_are_explained():
  for task in ('autoencode', 'contrastive', 'aspect_ratio', 'rotation'):
    text = explain(f'tasks.{task}')
    assert 'weight' in text and 'map' in text, task
