"""Measures states of a run: its samples against its own data."""

import copy
import functools
import logging
import math
import types

import jax
import numpy as np

from gan_jax import distill, hosts
from gan_jax.data import order
from gan_jax.data.source import digest
from gan_jax.mesh import one_device
from gan_jax.metrics import path_length, registry, sets, spaces
from gan_jax.networks.judgement import per_sample
from gan_jax.networks.made import has_levels, picture
from gan_jax.nn.levels import faded, reduce_to
from gan_jax.restore import restore
from gan_jax.sampler import Chunks, Sampler, at_once
from gan_jax.state import TrainState

CHUNK = 64  # samples made or judged at a time, all devices together

log = logging.getLogger('gan_jax')


class Evaluator:
  """Scores the averaged generator of one run at any state.

  Fakes are those of seeds 0, 1, ...; draw k has the k-th `config.metrics
  .samples` of them. Reals are the first of a fixed random order of the data,
  the same in every run; their features are taken once, and kept on disk.
  Generators that take a class are asked for those of the data: the fake of seed
  k has the class of the k-th real, and after the last the first again. Scores
  are the live discriminator's, in use mode. Each host does its share of the
  work, on its own devices. A `measures.Measure`.

  Of a run that grows, samples of an early stage are measured as ProGAN's
  released networks give them: enlarged to the data's size by nearest
  neighbours, and against the data as they are. Only the discriminator sees both
  as it does in training, at the stage's resolution and fade.

  Args:
    config: of the run.
    experiment: what it means.
    source: its data.
    devices: to work on; None for all local ones.

  Attributes:
    against: what the numbers are measured against: reference, reals, samples,
      draws, resize, and resizer and weights of each feature space.
    main: as `registry.gives` has it.

  Raises:
    UserError: if the weights of a space are missing or are not its own, or
      there are fewer samples than a metric needs.
  """

  @staticmethod
  def fits(config) -> bool:
    """See `Measure`."""
    return config.loss.name not in distill.LOSSES

  def __init__(self, config, experiment, source, devices=None):
    section = config.metrics
    self._config, self._source = config, source
    self._names = tuple(section.names)
    columns = registry.needs_of(self._names)
    self._walks = registry.PATHS in columns
    self._columns = [c for c in columns if c != registry.PATHS]
    # LPIPS's pairs of samples are the same on all numbers of devices.
    self._chunks = Chunks(at_once(source.shape, CHUNK), devices)
    wanted, given = registry.spaces_of(self._names), dict(section)
    if set(spaces.JUDGED) & set(wanted) and section.classifier:
      given['classifier'] = restore(
        section.classifier, one_device(), what='--config.metrics.classifier'
      )
    given = types.SimpleNamespace(**given)
    self._spaces = {
      name: spaces.open_space(name, given, devices) for name in wanted
    }
    self._reals = min(section.reals or section.samples, len(source))
    registry.check_counts(
      self._names,
      self._reals,
      section.samples,
      'take more (config.metrics.samples, config.metrics.reals)',
    )
    self._rows = order.indices(0, np.arange(self._reals), len(source))
    self._reference = None
    self._sampler = Sampler(config, experiment)
    self._classes = np.zeros(1, np.int32)  # of the reals, where they are asked
    if self._sampler.classes:
      classes = [source.label(int(i)) for i in self._rows]
      self._classes = np.array(classes, np.int32)
    self._judge = Judge(experiment)
    self.main = registry.gives(self._names)
    data = config.data
    self.against = {
      'reference': f'{data.source}, {data.split}',
      'reals': self._reals,
      'samples': section.samples,
      'draws': section.draws,
    }
    if self._sampler.classes:
      self.against['labels'] = 'of the fakes as of the reals'
    if len(source.shape) == 3:
      size = data.resolution or 'x'.join(map(str, source.shape[:2]))
      self.against['resize'] = f'{data.filter} to {size}'
    if self._spaces:
      facts = {name: space.facts for name, space in self._spaces.items()}
      self.against['spaces'] = facts

  def __call__(self, state: TrainState) -> dict[str, float]:
    """The numbers at this state, by name.

    Of several draws each number is the mean, and `<name>_std` the deviation of
    the draws about it (with draws - 1 in its denominator). A number that is not
    finite is nan, all of them are for samples that are not.
    """
    try:
      return self._numbers(state)
    except sets.NotFiniteError:
      log.warning(
        'The samples of step %d are not finite: the run has diverged there, and'
        ' has no scores.',
        int(state.step),
      )
      return dict.fromkeys(self.main, math.nan)

  def _numbers(self, state: TrainState) -> dict[str, float]:
    step = int(state.step)
    self._sampler, self._judge = self._sampler.at(step), self._judge.at(step)
    side, whole = self._sampler.resolution, self._source.shape[0]
    if 0 < side < whole:
      log.info('Samples of %d px are measured as of %d px.', side, whole)
    g, d = (
      self._chunks.place(variables)
      for variables in (self._sampler.variables(state), state.pair.d.variables)
    )
    real = self._real_set(d)
    section, data = self._config.metrics, self._config.data.source
    draws = []
    for k in range(section.draws):
      fake = sets.collect(
        self._chunks.of(self._seeds(k)),
        self._columns,
        self._spaces,
        functools.partial(self._fakes, g, d),
      )
      if self._walks:
        fake[registry.PATHS] = self._path_lengths(g, k)
      draws.append(registry.compute(self._names, real, fake, data))
    values = {name: [draw[name] for draw in draws] for name in draws[0]}
    found = {name: float(np.mean(v)) for name, v in values.items()}
    registry.warn_of_bias(found, self._reals, section.samples)
    if len(draws) > 1:
      for name in self.main:
        found[f'{name}_std'] = float(np.std(values[name], ddof=1))
    return found

  def _real_set(self, d) -> dict:
    """The reals' columns; only the scores are of a state."""
    fixed = [c for c in self._columns if c != registry.SCORES]
    if self._reference is None:
      is_kept = any(':' in column for column in fixed)
      self._reference = sets.reference(
        self._data_digest() if is_kept else '',
        self._chunks.of(self._rows),
        fixed,
        self._spaces,
        lambda rows: (self._reals_of(rows)[0], None),
      )
    if registry.SCORES not in self._columns:
      return self._reference

    def judged(rows):
      x, y = self._reals_of(rows)
      return x, self._scores(self._judge.reals, d, self._source.unpack(x), y)

    chunks = self._chunks.of(self._rows)
    scores = sets.collect(chunks, [registry.SCORES], {}, judged)
    return self._reference | scores

  def _reals_of(self, rows):
    """Samples of the data, and their labels."""
    samples, labels = zip(*(self._source[int(i)] for i in rows), strict=True)
    return np.stack(samples), np.array(labels, np.int32)

  def _seeds(self, draw: int) -> np.ndarray:
    """The seeds of a draw's samples."""
    count = self._config.metrics.samples
    return np.arange(count) + draw * count

  def _labels(self, seeds) -> np.ndarray:
    """The class of each seed's fake, int32 [N]."""
    return self._classes[seeds % len(self._classes)]

  def _fakes(self, g, d, seeds):
    """Samples of seeds, and their scores."""
    z, labels = self._sampler.latents(seeds), self._labels(seeds)
    samples = self._chunks(self._sampler.made, g, z, labels)
    scores = self._scores(self._judge.fakes, d, samples, labels)
    return self._sampler.enlarged(picture(samples)), scores

  def _scores(self, judge, d, samples, labels):
    """D's scores [N], or None if nobody asks for them."""
    if registry.SCORES not in self._columns:
      return None
    return self._chunks(judge, d, samples, labels)

  def _path_lengths(self, g, draw: int):
    """Squared speeds, each on a path from a sample's latent vector on.

    Pictures are not rounded to uint8 here: steps are too small for it.
    """
    space = self._spaces[registry.PATHS.partition(':')[2]]
    path = path_length.BY_DISTRIBUTION[self._config.latent.distribution]
    sampler, chunks, seeds = self._sampler, self._chunks, self._seeds(draw)
    times = np.random.default_rng(draw).random(len(seeds), np.float32)
    half = chunks.size // 2

    def lengths(part):
      starts, t = part
      labels = np.tile(self._labels(starts), 2)

      def generate(z, labels=labels):
        return sampler.enlarged(chunks(sampler.apply, g, z, labels))

      def distance(a, b):
        pairs = 127.5 * (np.stack([a, b], 1) + 1)
        return space(pairs.reshape(-1, *a.shape[1:]))['distances']

      # Where the paths lead are the vectors of seeds that no sample has.
      a, b = (sampler.latents(x) for x in (starts, starts + 2**31))
      return path_length.path_lengths(generate, distance, a, b, t, path)

    parts = zip(chunks.of(seeds, half), chunks.of(times, half), strict=True)
    return np.concatenate(list(hosts.shared(lengths, parts)))

  def _data_digest(self) -> str:
    """Tells these reals from all others, an edited picture's included."""
    source, data = self._source, self._config.data
    facts = [data.source, data.split, len(source), source.shape, self._reals]

    def read(k):
      return source.content(int(self._rows[k]))

    return digest(read, self._reals, source.name, facts)


class Judge:
  """A run's discriminator, asked for scores as training asks it.

  Its methods are jitted functions (variables, samples, labels) -> scores [N],
  those of patches averaged.

  Args:
    experiment: of the run; it has a discriminator.
  """

  def __init__(self, experiment):
    self._game, self._growth = experiment.objective, experiment.growth
    self._resolution, self._alpha = 0, 1.0  # of one that grows
    # One object: one compilation for each resolution.
    self._compiled = jax.jit(self._scores, static_argnums=(0, 1))

  def at(self, step: int) -> 'Judge':
    """The judge of the state after `step` steps, at its level and fade."""
    now = copy.copy(self)
    now._resolution = self._growth.stage(step).resolution
    now._alpha = float(self._growth.time(step).alpha)
    return now

  def reals(self, variables, samples, labels):
    """Scores of samples of the data, at their full size."""
    return self._compiled(
      self._resolution, True, self._alpha, variables, samples, labels
    )

  def fakes(self, variables, samples, labels):
    """Scores of what the generator of the same step has made."""
    return self._compiled(
      self._resolution, False, self._alpha, variables, samples, labels
    )

  def _scores(self, side: int, are_real: bool, alpha, variables, x, labels):
    network = self._game.at_resolution(side).discriminator
    level = {'alpha': alpha} if has_levels(network) else {}
    if side and are_real:
      x = faded(reduce_to(x, side), alpha)
    # Three digits, the default of GPUs and TPUs, make ties of ranks.
    with jax.default_matmul_precision('highest'):
      judgement = network.apply(variables, x, labels, train=False, **level)
    return per_sample(judgement.logits)
