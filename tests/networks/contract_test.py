"""What every network of the registries promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import (
  CLASSIFIERS,
  DISCRIMINATORS,
  GENERATORS,
  dcgan,
  mlp,
)
from gan_jax.networks.judgement import per_sample
from gan_jax.networks.made import picture
from tests import small

QUICK = {'xla_backend_optimization_level': 0}

# One small instance of each network and form.
DCGAN = [
  dict(shape=(s, s, c), width=4, **extra)
  for s, c, extra in [
    (28, 1, {}),
    (32, 3, dict(norm='group', spectral=True, bias=False)),
    (64, 3, dict(norm='none', classes=3)),
  ]
]
MLP = [
  dict(shape=(2,), width=8),
  dict(shape=(28, 28, 1), width=8, classes=3, depth=3),
]
UPSAMPLE = [
  dict(shape=(32, 32, 3), width=4, norm='group'),
  dict(shape=(28, 28, 1), width=4, classes=3),
]
PROGAN = [
  dict(shape=(16, 16, 3), fmap_base=32, fmap_max=8),
  dict(shape=(8, 8, 1), fmap_base=32, fmap_max=8, classes=3),
]
STYLEGAN2 = [
  dict(shape=(32, 32, 3), fmap_base=128, fmap_max=8, depth=2),
  dict(shape=(32, 32, 1), fmap_base=128, fmap_max=8, depth=2, classes=3),
]
FASTGAN = [dict(shape=(64, 64, 1), width=2, norm='group', classes=3)]
MNIST1K = [
  dict(shape=(32, 32, 3), norm='batch'),
  dict(shape=(32, 32, 1), norm='none', equalised=True, classes=3),
]
TEXT = [dict(shape=(12, 7), width=8, depth=2)]
CASES = [
  (name, c)
  for name, cases in (
    ('dcgan', DCGAN),
    ('progan', PROGAN),
    ('fastgan', FASTGAN),
    ('stylegan2', STYLEGAN2),
    ('mnist1k', MNIST1K),
    ('mlp', MLP),
    ('charcnn', TEXT),
  )
  for c in cases
]
GENERATOR_CASES = CASES + [('upsample', c) for c in UPSAMPLE]
CLASSIFIER_CASES = [
  ('resnet', dict(shape=(12, 12, 1), classes=5, width=4, depth=10, norm=norm))
  for norm in ('batch', 'group')
]


def title(value):
  """A case's name in the report."""
  return (
    'x'.join(map(str, value['shape'])) if isinstance(value, dict) else value
  )


N, Z = 4, 6
LABELS = jnp.arange(N) % 3


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def test_every_network_is_tested_here():
  assert {n for n, _ in GENERATOR_CASES} == set(GENERATORS)
  assert {n for n, _ in CASES} == set(DISCRIMINATORS)
  assert {n for n, _ in CLASSIFIER_CASES} == set(CLASSIFIERS)


@pytest.mark.parametrize('name, settings', GENERATOR_CASES, ids=title)
def test_generator(name, settings):
  net = GENERATORS[name](**settings)
  z = jax.random.normal(jax.random.key(1), (N, Z))
  variables = small.init(net, z, LABELS)
  make = jax.jit(
    lambda labels: picture(net.apply(variables, z, labels, train=False)),
    compiler_options=QUICK,
  )
  samples = make(LABELS)
  assert samples.shape == (N, *settings['shape'])
  assert samples.dtype == jnp.float32
  if len(settings['shape']) == 3 and name not in ('progan', 'stylegan2'):
    # Their last layer is linear; ProGAN's `tanh` is for rows of its Table 1.
    assert np.abs(samples).max() <= 1
  assert len({s.tobytes() for s in np.asarray(samples)}) == N
  moved = make((LABELS + 1) % 3)
  assert np.array_equal(moved, samples) != bool(settings.get('classes'))


@pytest.mark.parametrize('name, settings', CASES, ids=title)
def test_discriminator(name, settings):
  net = DISCRIMINATORS[name](**settings)
  x = jax.random.normal(jax.random.key(1), (N, *settings['shape']))
  variables = small.init(net, x, LABELS)
  collections = ['batch_stats', 'spectral']
  judge = jax.jit(
    lambda x, labels: net.apply(
      variables, x, labels, train=True, mutable=collections
    )[0],
    compiler_options=QUICK,
  )
  logits, features, class_logits = judge(x, LABELS)
  assert per_sample(logits).shape == (N,) and features
  assert logits.shape == (N,) or name == 'fastgan'  # which judges patches
  assert all(len(f) == N for f in features.values())
  moved = judge(x, (LABELS + 1) % 3).logits
  # It is told the class, or it says which it takes a sample for.
  told, classes = not np.array_equal(moved, logits), settings.get('classes', 0)
  assert told + (class_logits is not None) == bool(classes)
  assert class_logits is None or class_logits.shape == (N, classes)


@pytest.mark.parametrize('name, settings', CLASSIFIER_CASES)
def test_classifier(name, settings):
  net = CLASSIFIERS[name](**settings)
  x = jax.random.normal(jax.random.key(1), (N, *settings['shape']))
  variables = small.init(net, x)
  judge = jax.jit(
    lambda x, labels: net.apply(
      variables, x, labels, train=True, mutable=['batch_stats']
    )[0]
  )
  logits, features, _ = judge(x, LABELS)
  assert logits.shape == (N, settings['classes']) and features
  assert all(len(f) == N for f in features.values())
  # It must not see what it is asked for.
  assert np.array_equal(judge(x, (LABELS + 1) % 3).logits, logits)
  beside_another = judge(x.at[0].add(1.0), LABELS).logits
  same = np.allclose(logits[1:], beside_another[1:], rtol=1e-4)
  assert same == net.per_sample


@pytest.mark.parametrize('norm', ['batch', 'group', 'none'])
def test_per_sample_says_whether_samples_mix(norm):
  net = dcgan.Discriminator((32, 32, 1), width=4, norm=norm)
  x = jax.random.normal(jax.random.key(1), (N, 32, 32, 1))
  variables = small.init(net, x)
  judge = jax.jit(
    lambda x: (
      net.apply(variables, x, train=True, mutable=['batch_stats'])[0].logits
    )
  )
  alone = judge(x)[1:]
  beside_another = judge(x.at[0].add(1.0))[1:]
  # Relative to the scores: a vectorised sum may differ in the last bit.
  same = np.allclose(alone, beside_another, rtol=1e-4)
  assert same == net.per_sample


def test_spectral_norm_bounds_every_kernel_by_one():
  net = dcgan.Discriminator((32, 32, 3), width=8, norm='none', spectral=True)
  x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
  variables = small.init(net, x)
  judge = jax.jit(
    lambda variables: net.apply(variables, x, train=True, mutable=['spectral'])[
      1
    ]
  )
  for _ in range(80):  # one power iteration a pass
    new = judge(variables)
    variables = variables | new
  vectors = new['spectral']
  assert set(vectors) == set(variables['params'])
  for name, layer in variables['params'].items():
    kernel = np.reshape(layer['kernel'], (-1, layer['kernel'].shape[-1]))
    sigma = vectors[name]['v'] @ kernel @ vectors[name]['u']
    largest = np.linalg.svd(kernel, compute_uv=False)[0]
    assert sigma == pytest.approx(largest, rel=2e-2), name


# spec/osgan.md section 3.1, spec/sgan.md section 2.2.
COUNTS = [
  (dcgan.Generator((64, 64, 3), width=128), 100, 12_660_355),
  (dcgan.Generator((64, 64, 1), width=128), 100, 12_656_257),
  (dcgan.Generator((64, 64, 3), width=128), 128, 13_119_107),
  (dcgan.Discriminator((64, 64, 3), width=128), None, 11_038_081),
  (dcgan.Discriminator((64, 64, 1), width=128, norm='group'), None, 11_033_985),
  (dcgan.Generator((64, 64, 3), bias=False), 100, 3_576_704),
  (dcgan.Discriminator((64, 64, 3), bias=False), None, 2_765_568),
  (dcgan.Generator((32, 32, 3), bias=False), 100, 1_068_928),
  (dcgan.Discriminator((32, 32, 3), bias=False), None, 663_296),
  (mlp.Generator((2,)), 100, 578_050),
  (mlp.Discriminator((2,)), None, 527_361),
]


@pytest.mark.parametrize('net, latent, expected', COUNTS)
def test_parameter_counts_of_the_papers(net, latent, expected):
  sample = jnp.zeros((1, latent) if latent else (1, *net.shape))
  variables = jax.eval_shape(
    lambda: net.init(jax.random.key(0), sample, train=True)
  )
  assert count(variables['params']) == expected
