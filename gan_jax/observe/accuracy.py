"""The share of the test set that a run's classifier or student gets right."""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import distill
from gan_jax.data import open_source, part
from gan_jax.data.pipeline import decode
from gan_jax.errors import UserError
from gan_jax.observe.occasional import Occasional, is_logged
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

CHUNK = 250  # pictures judged at a time
NOBODY = -1  # the label of what fills up the last chunk: no class is that


class Accuracy:
  """Measures it, in inference mode, on pictures that training never sees.

  A `measures.Measure`.

  Args:
    config: of the run; `config.data` with `test_source` and `test_split` in
      place of its own.
    experiment: what it means.
    train: the source that the run trains on.

  Attributes:
    against: the test set, for people, and the number of its pictures.
    main: of the numbers.

  Raises:
    UserError: if the test set cannot be opened, is not of the run's classes
      and shape, or is what the run trains on.
  """

  main = {'accuracy': 1}

  @staticmethod
  def fits(config) -> bool:
    """See `Measure`."""
    return config.loss.name in distill.LOSSES

  def __init__(self, config, experiment, train):
    section = config.data.copy_and_resolve_references()
    with section.unlocked():
      section.source = section.test_source or section.source
      section.split = section.test_split
      section.held_out = 0.0  # nobody trains on it as it is
    _refuse_training_split(config.data, section)
    test = open_source(section)
    reference = f'{section.source}, {section.split}'
    strange = [name for name in test.classes if name not in train.classes]
    if test.shape != train.shape or strange or not test.classes:
      which = f', {strange[0]!r} among them,' if strange else ''
      raise UserError(
        f'The test set {reference} has {len(test.classes)} classes{which} and'
        f' pictures of shape {test.shape}; the run trains on'
        f' {len(train.classes)} and {train.shape}: set config.data.test_source'
        ' to a set of the same kind and classes.'
      )
    _refuse_shared_pictures(train, test, reference)
    images, labels = test.arrays()
    # By name: a set that lacks a class numbers those behind it anew.
    place = [train.classes.index(name) for name in test.classes]
    labels = np.array(place, np.int32)[labels]
    self._count = len(labels)
    self.against = {'reference': reference, 'samples': self._count}
    fill = -self._count % CHUNK
    self._images = np.concatenate([images, images[:1].repeat(fill, 0)])
    self._labels = np.concatenate([labels, np.full(fill, NOBODY, np.int32)])
    self._right = jax.jit(_counter(experiment.objective.discriminator))

  def __call__(self, state: TrainState) -> dict[str, float]:
    """The accuracy at this state, in [0, 1]."""
    variables = state.pair.d.variables
    right = [
      self._right(
        variables, self._images[i : i + CHUNK], self._labels[i : i + CHUNK]
      )
      for i in range(0, len(self._labels), CHUNK)
    ]
    return {'accuracy': sum(map(int, jax.device_get(right))) / self._count}


class AccuracyObserver(Occasional):
  """Measures the accuracy as often as other runs draw samples.

  Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """See `Observer`."""
    return Accuracy.fits(config)

  def __init__(self, config, run, experiment, source, mesh):
    total = experiment.growth.total(config.train)
    super().__init__(config.train.image_every, total)
    self._run = run
    self._measure = Accuracy(config, experiment, source)

  def done(self, step: int) -> bool:
    """See `Observer`."""
    return is_logged(self._run, self._measure.main, step)

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    numbers = self._measure(state)
    reference = self._measure.against['reference']
    share = numbers['accuracy']
    log.info('step %d  accuracy %.4f on %s', step, share, reference)
    return numbers


_SAME = (
  'The test set {} is what the run trains on: set config.data.test_split to'
  ' another split or config.data.test_source to another set, or hold a tenth'
  " out by config.data.split='train[:90%]' and"
  " config.data.test_split='train[90%:]'."
)


def _refuse_training_split(train, test) -> None:
  """Raises UserError if two sections of `config.data` must share pictures."""
  (a, cut_a), (b, cut_b) = part.parse(train.split), part.parse(test.split)
  if train.source == test.source and a == b and not (cut_a and cut_b):
    raise UserError(_SAME.format(f'{test.source}, {test.split}'))


def _refuse_shared_pictures(train, test, reference: str) -> None:
  """Raises UserError if two opened sources share a picture, as far as seen."""
  shared = isinstance(test, part.Part) and test.shares_with(train)
  if shared or np.array_equal(test[0][0], train[0][0]):
    raise UserError(_SAME.format(reference))


def _counter(network):
  """The function that counts the right answers among uint8 pictures."""

  def right(variables, images, labels):
    raw = {'image': images, 'label': labels}
    batch = decode({}, raw | {'mirror': jnp.zeros(len(labels), bool)})
    logits = network.apply(variables, batch.image, labels, train=False).logits
    return jnp.sum(jnp.argmax(logits, -1) == labels)

  return right
