"""Scores a checkpoint: samples of the average against the run's own data."""

import logging

import jax
import numpy as np

from gan_jax import experiment as experiment_lib
from gan_jax import latent
from gan_jax.accuracy import Accuracy
from gan_jax.data import open_source
from gan_jax.data.pipeline import samples_at
from gan_jax.losses import CLASSIFIER_LOSSES
from gan_jax.mesh import one_device
from gan_jax.metrics import METRICS
from gan_jax.restore import restore
from gan_jax.sample import in_use, labels_of

log = logging.getLogger('gan_jax')

CHUNK = 50  # samples made or judged at a time


def evaluate(workdir, step: int | None = None) -> dict:
  """Scores one checkpoint and adds a line to evaluate.jsonl.

  Fakes are those of seeds 0, 1, ... from the averaged generator; reals are the
  first of the run's own order; both are judged by the live discriminator. Of a
  run with a classifier or a student the score is its accuracy on the test set.

  Args:
    workdir: of a run.
    step: of the checkpoint; None for the newest.

  Returns:
    The line: step, what it was measured against, and the numbers.

  Raises:
    UserError: for whatever the user can put right.
  """
  run, config, experiment, step, state = restore(workdir, one_device(), step)
  source = open_source(config.data)
  classifies = config.loss.name in CLASSIFIER_LOSSES
  measure = _accuracy if classifies else _quality
  line = {'step': step, **measure(config, experiment, state, source)}
  run.append('evaluate.jsonl', line)
  log.info('\n'.join(f'  {name:16} {value}' for name, value in line.items()))
  return line


def _accuracy(config, experiment, state, source) -> dict:
  """Of a classifier: what it was measured on, and how it did."""
  accuracy = Accuracy(config, experiment, source)
  return {
    'reference': accuracy.reference,
    'samples': accuracy.count,
    'accuracy': accuracy(state),
  }


def _quality(config, experiment, state, source) -> dict:
  """Of a generator: what it was measured against, and the numbers."""
  count = config.metrics.samples
  real, real_labels = samples_at(source, config.train.seed, count)
  fake, fake_labels = _fakes(config, experiment, state, count)
  scores = [
    _judge(experiment, state, samples, labels)
    for samples, labels in ((real, real_labels), (fake, fake_labels))
  ]
  line = {
    'reference': f'{config.data.source}, {config.data.split}',
    'samples': count,
    'resize': f'{config.data.filter} to {config.data.resolution}',
  }
  for name in config.metrics.names:
    line |= METRICS[name](real, fake, *scores)
  return line


def _chunks(count: int):
  """Slices of at most CHUNK that cover range(count)."""
  return [slice(i, i + CHUNK) for i in range(0, count, CHUNK)]


def _fakes(config, experiment, state, count: int):
  """Samples [count, ...] of seeds 0, 1, ... and their labels."""
  sampler = experiment_lib.make_sampler(experiment)
  classes = experiment.objective.generator.classes
  labels = labels_of(range(count), classes)
  z = latent.by_seed(
    range(count), config.latent.size, config.latent.distribution
  )
  samples = [sampler(in_use(state), z[s], labels[s]) for s in _chunks(count)]
  return np.concatenate(jax.device_get(samples)), labels


def _judge(experiment, state, samples, labels) -> np.ndarray:
  """D's scores [N], patches averaged, in use mode."""
  network = experiment.objective.discriminator

  @jax.jit
  def judge(samples, labels):
    judgement = network.apply(
      state.pair.d.variables, samples, labels, train=False
    )
    return judgement.logits.reshape(len(samples), -1).mean(axis=1)

  scores = [judge(samples[s], labels[s]) for s in _chunks(len(samples))]
  return np.concatenate(jax.device_get(scores))
