"""Points of the space that nobody has tried: drawn at random, they train.

networks x norm x loss x penalties x augmentation x scheme x ensemble x rules x
average, on pictures, points and text. What validation accepts takes a step with
finite numbers; what it refuses it refuses for what it says: with the settings
that the sentence names at their defaults, that sentence does not come again.
"""

import functools
import random
import re

import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment, losses, settings
from gan_jax.data import open_source
from gan_jax.data.ada_pipe import GROUPS
from gan_jax.data.diff_augment import CHANGES
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.networks import DISCRIMINATORS, GENERATORS
from gan_jax.nn import latent
from gan_jax.schemes import SCHEMES
from gan_jax.validate import validate

# By source: how large, and the networks that people would try on it.
KINDS = {
  'digits': (
    dict(resolution=28, channels=1),
    ('dcgan', 'mlp', 'upsample'),
    ('dcgan', 'mlp'),
  ),
  'toy:ring8': ({}, ('mlp',), ('mlp',)),
  'text:builtin': (dict(resolution=12), ('charcnn',), ('charcnn',)),
}


def small_network(draw, name, registry):
  """A section of a network: its smallest form, the rest at random."""
  fields = registry[name].__dataclass_fields__
  chosen = dict(name=name, width=4)
  if 'depth' in fields:
    chosen['depth'] = 2 if name == 'charcnn' else 3
  if 'norm' in fields:
    chosen['norm'] = draw.choice(('batch', 'group', 'instance', 'none'))
  if 'spectral' in fields:
    chosen['spectral'] = draw.random() < 0.3
  return chosen


def drawn(seed: int):
  """The unlocked config of a point in the space, and its choices in words."""
  draw = random.Random(seed)
  config = config_lib.defaults().unlock()
  source = draw.choice(['digits', 'digits', 'toy:ring8', 'text:builtin'])
  data, generators, discriminators = KINDS[source]
  config.data.source = source
  config.data.update(data)
  config.data.conditional = source == 'digits' and draw.random() < 0.3
  config.generator = small_network(draw, draw.choice(generators), GENERATORS)
  config.discriminator = small_network(
    draw, draw.choice(discriminators), DISCRIMINATORS
  )
  config.latent.update(
    size=4, distribution=draw.choice(sorted(latent.DISTRIBUTIONS))
  )
  config.loss.name = draw.choice(sorted(losses.LOSSES))
  for name in sorted(set(losses.PENALTIES) - {'path_length'}):
    if draw.random() < 0.2:
      config.penalties[name].weight = draw.choice((0.1, 1.0, 10.0))
      config.penalties[name].every = draw.choice((1, 1, 2, 4))
      config.penalties[name].phase = draw.choice(('with', 'after'))
  if draw.random() < 0.1:
    config.penalties.clip.limit = 0.01
  config.scheme.update(
    name=draw.choice(sorted(SCHEMES)),
    d_steps=draw.choice((1, 1, 1, 2)),
    fakes=draw.choice(('fresh', 'fresh', 'shared')),
  )
  config.ensemble.update(
    pairs=draw.choice((0, 0, 1, 2)),
    messengers=draw.random() < 0.7,
    g_updates=draw.choice(('once', 'each')),
    reduce=draw.choice(('mean', 'sum')),
    weight_sharing=draw.choice((0.0, 0.0, 0.5)),
    real=draw.choice(('fresh', 'shared')),
  )
  for player in (config.optimizer.generator, config.optimizer.discriminator):
    player.name = draw.choice(('adam', 'sgd', 'rmsprop'))
    player.lr = 1e-3
    player.decay_at = draw.choice(((), (8,)))
  config.ema.name = draw.choice(('none', 'half_life', 'decay'))
  draw = random.Random(f'augment {seed}')  # later: the rest stays as it was
  if draw.random() < 0.4:
    config.augment.diff = tuple(
      draw.sample(sorted(CHANGES), draw.randint(1, 3))
    )
  config.loss.margin_jitter = draw.choice((0.0, 0.2))
  draw = random.Random(f'path length {seed}')
  if draw.random() < 0.1:
    config.penalties.path_length.update(
      weight=draw.choice((0.1, 2.0)),
      every=draw.choice((1, 2, 4)),
      phase=draw.choice(('with', 'after')),
    )
  draw = random.Random(f'ada {seed}')  # and later still
  if draw.random() < 0.3:
    config.augment.ada = tuple(draw.sample(sorted(GROUPS), draw.randint(1, 3)))
    config.augment.ada_p = draw.choice((0.0, 0.5))
    config.augment.ada_images = draw.choice((0.0, 100.0))
  config.train.update(batch=8, steps=4)
  config.metrics.names = ('scores',)  # what all kinds of samples have
  return config.lock()


def growing(seed: int):
  """The same with networks that grow, on pictures of 4 and of 8 px."""
  draw, config = random.Random(f'growth {seed}'), drawn(seed).unlock()
  config.data.update(source='digits', resolution=8, channels=1)
  widths = dict(name='progan', fmap_base=32, fmap_max=8)
  norms = [draw.choice(x) for x in (('pixel', 'batch'), ('none', 'layer'))]
  config.generator = dict(widths, norm=norms[0])
  config.discriminator = dict(
    widths, norm=norms[1], group_size=draw.choice((0, 1, 1, 4))
  )
  config.ensemble.weight_sharing = 0.0
  config.growth.update(
    start=4,
    stable_images=8,
    fade_images=1000,
    renew=draw.random() < 0.7,
    batch=draw.choice(((), ('4:16',), ('8:4',))),
    lr=draw.choice(((), ('8:0.01',))),
  )
  return config.lock()


def judged(config) -> str:
  """What validation says against a config; '' if nothing."""
  try:
    validate(config)
    source = open_source(config.data)
    experiment.build(config, source.shape, len(source.classes))
  except UserError as error:
    return str(error)
  return ''


def step_of(config):
  """(state, metrics) after one step, as the program takes it.

  Of a run that grows it is the second one of a fade.
  """
  mesh, source = one_device(), open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  k = 1 if config.growth.start else 0
  span, stage = made.growth.spans[k], made.growth.stages[k]
  feed = experiment.make_feed(config, stage, source, mesh)
  state = experiment.initial_state(made, 0, mesh)
  state = state.replace(step=jax.numpy.int32(span.first_step + k))
  step = experiment.compile_step(made, stage, feed.decode, mesh)
  batch = next(feed.batches(0))
  return step(state, {}, feed.table, batch, jax.tree.map(np.int32, span))


@functools.cache
def seed_of(k: int, refused: bool, draw=drawn) -> int:
  """The k-th seed whose config is refused, or accepted."""
  seed = seed_of(k - 1, refused, draw) + 1 if k else 0
  while bool(judged(draw(seed))) != refused:
    seed += 1
  return seed


def not_finite(state, metrics) -> list[str]:
  """The arrays of a state and its metrics that hold a number that is none."""
  return [
    jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path((state, metrics))
    if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
    and not np.isfinite(leaf).all()
  ]


@pytest.mark.parametrize('k', range(3))
def test_what_is_accepted_takes_a_step(k):
  state, metrics = step_of(drawn(seed_of(k, refused=False)))
  assert int(state.step) == 1 and metrics
  assert not_finite(state, metrics) == []


@pytest.mark.parametrize(
  'k',
  [pytest.param(k, marks=[pytest.mark.slow] * (k > 0)) for k in range(12)],
)
def test_what_grows_takes_a_step_in_a_fade(k):
  """Growth goes around any scheme, loss, term, ensemble and rule."""
  config = growing(seed_of(k, False, growing))
  state, metrics = step_of(config)
  assert int(state.step) > 2 and metrics
  assert not_finite(state, metrics) == []
  if config.generator.norm == 'pixel':  # 4 px learn on, 8 px begin to
    # Biases begin at zero, so that the smallest update shows.
    biases = {k: v['bias'] for k, v in state.pair.g.params.items()}
    assert all(np.any(biases[name]) for name in ('conv_4_0', 'to_rgb_8'))


@pytest.mark.parametrize('k', range(20))
def test_what_does_not_grow_is_refused_for_what_it_says(k):
  config = growing(seed_of(k, True, growing))
  sentence = judged(config)
  assert sentence and judged(reset(config, sentence)) != sentence


@pytest.mark.slow
@pytest.mark.parametrize('k', range(3, 40))
def test_forty_that_are_accepted_take_a_step(k):
  state, metrics = step_of(drawn(seed_of(k, refused=False)))
  assert int(state.step) == 1 and metrics
  assert not_finite(state, metrics) == []


def reset(config, sentence: str):
  """The config with all settings that a sentence names at their defaults."""
  changed = config.copy_and_resolve_references().unlock()
  defaults = config_lib.table(config)
  for path in re.findall(r'config\.([a-z_0-9.]*[a-z_0-9])', sentence):
    *parents, leaf = path.split('.')
    section, entry = changed, defaults
    for key in parents:
      section, entry = section[key], entry[key]
    if isinstance(entry.get(leaf), settings.Setting):
      section[leaf] = entry[leaf].default
    elif leaf in entry and 'weight' in entry[leaf]:  # a penalty as a whole
      section[leaf].weight = 0.0
  return changed.lock()


@pytest.mark.parametrize('k', range(50))
def test_what_is_refused_is_refused_for_what_it_says(k):
  config = drawn(seed_of(k, refused=True))
  sentence = judged(config)
  assert 'config.' in sentence and sentence.endswith(('.', '?')), sentence
  assert judged(reset(config, sentence)) != sentence, sentence
