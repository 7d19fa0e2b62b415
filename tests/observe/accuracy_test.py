"""Accuracy against counting in NumPy, and what is no test set."""

import types

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import defaults
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.networks import Judgement
from gan_jax.observe.accuracy import CHUNK, Accuracy

SHADES = 4


class Shade(nn.Module):
  """Puts a picture into the class whose grey, k / 3 of the range, is nearest.

  Its one parameter moves all pictures by so much.
  """

  @nn.compact
  def __call__(self, images, labels, *, train):
    assert not train
    grey = jnp.mean(images, (1, 2, 3)) + self.param(
      'shift', nn.initializers.zeros, ()
    )
    centres = jnp.linspace(-1.0, 1.0, SHADES)
    return Judgement(-((grey[:, None] - centres) ** 2), {})


def write(file, **counts):
  """An archive with random flat pictures and labels under each split."""
  arrays = {}
  for split, n in counts.items():
    rng = np.random.default_rng(n)
    grey = rng.integers(0, 256, n).astype(np.uint8)
    arrays[f'x_{split}'] = grey[:, None, None].repeat(4, 1).repeat(4, 2)
    arrays[f'y_{split}'] = rng.integers(0, SHADES, n)
  np.savez(file, **arrays)
  return arrays


def measure(**data):
  config = defaults()
  config.data.update(resolution=4, channels=1, **data)
  game = types.SimpleNamespace(discriminator=Shade())
  experiment = types.SimpleNamespace(objective=game)
  return Accuracy(config, experiment, open_source(config.data))


def state(shift):
  player = types.SimpleNamespace(variables={'params': {'shift': shift}})
  return types.SimpleNamespace(pair=types.SimpleNamespace(d=player))


@pytest.mark.parametrize('count', [CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_it_is_the_share_of_right_answers(count, tmp_path):
  arrays = write(tmp_path / 'a.npz', train=50, test=count)
  accuracy = measure(source=f'npz:{tmp_path}/a.npz', test_split='test')
  reference = f'npz:{tmp_path}/a.npz, test'
  assert accuracy.against == {'reference': reference, 'samples': count}
  grey = arrays['x_test'][:, 0, 0] / 127.5 - 1
  for shift in (0.0, 0.5):
    answer = np.rint((grey + shift + 1) * (SHADES - 1) / 2)
    want = np.mean(np.clip(answer, 0, SHADES - 1) == arrays['y_test'])
    found = accuracy(state(jnp.float32(shift)))
    assert found == {'accuracy': pytest.approx(want)}


def test_what_the_run_trains_on_is_no_test_set(tmp_path):
  write(tmp_path / 'a.npz', train=20, test=10)
  np.savez(tmp_path / 'b.npz', image=np.zeros((9, 4, 4), np.uint8))
  a = f'npz:{tmp_path}/a.npz'
  for data in (
    dict(source=a, test_split='train'),
    dict(source=a, test_split='train[90%:]'),
    dict(source=a, split='train[:60%]', test_split='train[50%:]'),
    dict(source=a, split='train[:-5]', test_split='train[-6:]'),
  ):
    with pytest.raises(UserError, match='is what the run trains on'):
      measure(**data)
  for data in (
    dict(source='digits', test_split='test'),  # it has one split alone
    dict(source=f'npz:{tmp_path}/b.npz', test_split='test'),
  ):
    with pytest.raises(UserError, match="has no split 'test', but 'train'"):
      measure(**data)
  measure(source=a, split='train[:50%]', test_split='train[50%:]')
  write(tmp_path / 'c.npz', train=30)
  measure(source=a, test_source=f'npz:{tmp_path}/c.npz', test_split='train')


def test_a_test_set_that_lacks_a_class_is_judged_by_the_names(tmp_path):
  """The test set, in a file of its own, has the even ones of four."""
  train = write(tmp_path / 'a.npz', train=50)
  even = train['y_train'] % 2 == 0
  image = np.flip(train['x_train'][even], 0)
  label = np.flip(train['y_train'][even], 0)
  np.savez(tmp_path / 'b.npz', image=image, label=label)
  accuracy = measure(
    source=f'npz:{tmp_path}/a.npz',
    test_source=f'npz:{tmp_path}/b.npz',
    test_split='train',
  )
  answer = np.rint(image[:, 0, 0] / 255 * (SHADES - 1))
  assert set(label) == {0, 2}
  want = np.mean(answer == label)
  assert accuracy(state(jnp.float32(0.0))) == {'accuracy': pytest.approx(want)}
  np.savez(tmp_path / 'c.npz', image=image, label=label + 7)
  with pytest.raises(UserError, match="'7' among them"):
    measure(
      source=f'npz:{tmp_path}/a.npz',
      test_source=f'npz:{tmp_path}/c.npz',
      test_split='train',
    )


def test_a_test_set_of_another_kind_is_refused(tmp_path):
  write(tmp_path / 'a.npz', train=20, test=10)
  a = f'npz:{tmp_path}/a.npz'
  with pytest.raises(UserError, match='to a set of the same kind'):
    measure(source=a, test_source='toy:ring8', test_split='train')
