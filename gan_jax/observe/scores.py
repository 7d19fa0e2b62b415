"""Measures states of a run: its samples against its own data."""

import hashlib
import json
import logging
import math
import types

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax import experiment as experiment_lib
from gan_jax import mesh as mesh_lib
from gan_jax.data import order
from gan_jax.metrics import path_length, registry, sets, spaces
from gan_jax.nn import latent
from gan_jax.restore import BEST, restore
from gan_jax.run import draw
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.sample import in_use, labels_of
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

CHUNK = 64  # samples made or judged at a time, all devices together
PROBES = 64  # samples by which a data set is told from another


class Evaluator:
  """Scores the averaged generator of one run at any state.

  Fakes are those of seeds 0, 1, ...; draw k has the k-th `config.metrics
  .samples` of them. Reals are the first of a fixed random order of the data,
  the same in every run; their features are taken once, and kept on disk.
  Scores are the live discriminator's, in use mode. Every host does the same
  work, shared by its own devices.

  Args:
    config: of the run.
    experiment: what it means.
    source: its data.
    devices: to work on; None for all local ones.

  Attributes:
    against: what the numbers are measured against: reference, reals, samples,
      draws, resize, and resizer and weights of each feature space.

  Raises:
    UserError: if the weights of a space are missing or are not its own.
  """

  def __init__(self, config, experiment, source, devices=None):
    section = config.metrics
    self._config, self._source = config, source
    self._names = tuple(section.names)
    columns = registry.needs_of(self._names)
    self._walks = registry.PATHS in columns
    self._columns = [c for c in columns if c != registry.PATHS]
    mesh = mesh_lib.local(devices)
    self._apart = NamedSharding(mesh, P('data'))
    self._whole = mesh_lib.replicated(mesh)
    # Even, so that LPIPS's pairs of samples are the same on all devices.
    self._chunk = -(-CHUNK // (2 * mesh.size)) * 2 * mesh.size
    wanted, given = registry.spaces_of(self._names), dict(section)
    if 'classifier' in wanted and section.classifier:
      given['classifier'] = restore(section.classifier, mesh_lib.one_device())
    given = types.SimpleNamespace(**given)
    self._spaces = {
      name: spaces.open_space(name, given, devices) for name in wanted
    }
    self._reals = min(section.reals or section.samples, len(source))
    self._rows = order.indices(0, np.arange(self._reals), len(source))
    self._reference = None
    self._classes = experiment.objective.generator.classes
    self._sample = experiment_lib.make_sampler(experiment)
    self._judge = _make_judge(experiment.objective.discriminator)
    data = config.data
    self.against = {
      'reference': f'{data.source}, {data.split}',
      'reals': self._reals,
      'samples': section.samples,
      'draws': section.draws,
    }
    if len(source.shape) == 3:
      size = data.resolution or 'x'.join(map(str, source.shape[:2]))
      self.against['resize'] = f'{data.filter} to {size}'
    if self._spaces:
      facts = {name: space.facts for name, space in self._spaces.items()}
      self.against['spaces'] = facts

  def __call__(self, state: TrainState) -> dict[str, float]:
    """The numbers at this state, by name.

    Of several draws each number is the mean, and `<name>_std` the deviation of
    the draws about it (with draws - 1 in its denominator).
    """
    g, d = (
      jax.device_put(_local(variables), self._whole)
      for variables in (in_use(state), state.pair.d.variables)
    )
    real = self._real_set(d)
    section, data = self._config.metrics, self._config.data.source
    draws = []
    for k in range(section.draws):
      fake = sets.collect(self._fakes(g, d, k), self._columns, self._spaces)
      if self._walks:
        fake[registry.PATHS] = self._path_lengths(g, k)
      draws.append(registry.compute(self._names, real, fake, data))
    values = {name: [draw[name] for draw in draws] for name in draws[0]}
    found = {name: float(np.mean(v)) for name, v in values.items()}
    registry.warn_of_bias(found, self._reals, section.samples)
    if len(draws) > 1:
      for name in registry.gives(self._names):
        found[f'{name}_std'] = float(np.std(values[name], ddof=1))
    return found

  def _real_set(self, d) -> dict:
    """The reals' columns; only the scores are of a state."""
    fixed = [c for c in self._columns if c != registry.SCORES]
    if self._reference is None:
      self._reference = sets.reference(
        self._data_digest(),
        ((x, None) for x, _ in self._real_chunks()),
        fixed,
        self._spaces,
      )
    if registry.SCORES not in self._columns:
      return self._reference
    judged = (
      (x, self._scores(d, self._source.unpack(x), y))
      for x, y in self._real_chunks()
    )
    return self._reference | sets.collect(judged, [registry.SCORES], {})

  def _slices(self, count: int, step: int = 0):
    step = step or self._chunk
    return [slice(i, min(i + step, count)) for i in range(0, count, step)]

  def _real_chunks(self):
    for s in self._slices(self._reals):
      pairs = [self._source[int(i)] for i in self._rows[s]]
      samples, labels = zip(*pairs, strict=True)
      yield np.stack(samples), np.array(labels, np.int32)

  def _fakes(self, g, d, draw: int):
    """Chunks of a draw's samples and their scores."""
    section, count = self._config.latent, self._config.metrics.samples
    for s in self._slices(count):
      seeds = np.arange(s.start, s.stop) + draw * count
      z = latent.by_seed(seeds, section.size, section.distribution)
      labels = np.asarray(labels_of(seeds, self._classes))
      samples = self._shared(self._sample, g, np.asarray(z), labels)
      yield samples, self._scores(d, samples, labels)

  def _scores(self, d, samples, labels):
    """D's scores [N], or None if nobody asks for them."""
    if registry.SCORES not in self._columns:
      return None
    return self._shared(self._judge, d, samples, labels)

  def _path_lengths(self, g, draw: int):
    """Squared speeds, each on a path from a sample's latent vector on.

    Pictures are not rounded to uint8 here: steps are too small for it.
    """
    section, count = self._config.latent, self._config.metrics.samples
    space = self._spaces[registry.PATHS.partition(':')[2]]
    times = np.random.default_rng(draw).random(count, np.float32)
    path, found = path_length.BY_DISTRIBUTION[section.distribution], []
    for s in self._slices(count, self._chunk // 2):
      seeds = np.arange(s.start, s.stop) + draw * count
      labels = np.tile(np.asarray(labels_of(seeds, self._classes)), 2)

      def generate(z, labels=labels):
        return self._shared(self._sample, g, np.asarray(z), labels)

      def distance(a, b):
        pairs = 127.5 * (np.stack([a, b], 1) + 1)
        return space(pairs.reshape(-1, *a.shape[1:]))['distances']

      # Where the paths lead are the vectors of seeds that no sample has.
      a, b = (
        latent.by_seed(x, section.size, section.distribution)
        for x in (seeds, seeds + 2**31)
      )
      found.append(
        path_length.path_lengths(generate, distance, a, b, times[s], path)
      )
    return np.concatenate(found)

  def _shared(self, function, variables, *arrays) -> np.ndarray:
    """A jitted function of rows, of which the devices share a full chunk."""
    count = len(arrays[0])
    filled = []
    for array in arrays:
      fill = array[:1].repeat(self._chunk - count, 0)
      filled.append(np.concatenate([array, fill]))
    placed = jax.device_put(filled, self._apart)
    return np.asarray(function(variables, *placed))[:count]

  def _data_digest(self) -> str:
    """Tells this reference from others: form, number, some of its samples."""
    source, data = self._source, self._config.data
    total = hashlib.sha256()
    facts = [data.source, data.split, len(source), source.shape, self._reals]
    total.update(json.dumps(facts).encode())
    for i in np.linspace(0, self._reals - 1, PROBES).astype(int):
      sample, _ = source[int(self._rows[i])]
      total.update(np.ascontiguousarray(sample).tobytes())
    return total.hexdigest()


def _local(tree):
  """Arrays that lie whole on every device, as this host has them."""
  first = lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x
  return jax.tree.map(first, tree)


def _make_judge(network):
  """A jitted (variables, samples, labels) -> scores [N], patches averaged."""

  @jax.jit
  def judge(variables, samples, labels):
    judgement = network.apply(variables, samples, labels, train=False)
    return judgement.logits.reshape(len(samples), -1).mean(axis=1)

  return judge


def write(run, line: dict, main: dict[str, int]) -> None:
  """Adds a line to evaluate.jsonl, logs it, and draws evaluate.png.

  Args:
    run: the RunDir.
    line: with 'step', 'images', what it was measured against, and the numbers.
    main: the numbers worth a curve, as `registry.gives` has them.
  """
  run.append('evaluate.jsonl', line)
  log.info('\n'.join(_worded(line)))
  same = {}  # by step: a later line stands for an earlier one
  for other in run.lines('evaluate.jsonl'):
    if against(other) == against(line):
      names = [name for name in ('images', *main) if name in other]
      same[other['step']] = {name: other[name] for name in names}
  lines = [same[step] for step in sorted(same)]
  if len(lines) > 1:
    draw.save_curves(run.path / 'evaluate.png', lines)


def _worded(line: dict):
  """A line of evaluate.jsonl for people, a row a thing."""
  for name, value in line.items():
    if name == 'spaces':
      for space, facts in value.items():
        yield f'  {space:24} {facts["resizer"]}; {facts["weights"]}'
    else:
      number = isinstance(value, float)
      yield f'  {name:24} {value:.6g}' if number else f'  {name:24} {value}'


def against(line: dict) -> dict:
  """What a line was measured against: all of it but the numbers, floats."""
  return {
    name: value
    for name, value in line.items()
    if name not in ('step', 'images') and not isinstance(value, float)
  }


class InTraining:
  """Evaluates a run every so often, and keeps its best state.

  The kept step and its score are in best.json, the state in best/.

  Args:
    run: the RunDir.
    config: of the run.
    experiment: what it means.
    source: its data.
  """

  def __init__(self, run, config, experiment, source):
    self._run = run
    self._every, self._total = config.metrics.every, config.train.steps
    self._evaluator = Evaluator(config, experiment, source)
    self._main = registry.gives(config.metrics.names)
    self._best = config.metrics.best
    self._images_per_step = experiment.images_per_step
    if self._best:
      self._kept = Checkpoints(run.path / BEST, keep=1)

  def due(self, step: int) -> bool:
    """Whether to evaluate at this step."""
    return step % self._every == 0 or step == self._total

  def __call__(self, step: int, state: TrainState) -> None:
    """Evaluates; keeps the state if it is the best so far."""
    numbers = self._evaluator(state)
    beside = {'step': step, 'images': step * self._images_per_step}
    write(self._run, beside | self._evaluator.against | numbers, self._main)
    main = {k: v for k, v in numbers.items() if k in self._main}
    self._run.metrics(step, {'images': beside['images'], **main})
    self._run.curves()
    if self._best:
      self._offer(step, state, numbers[self._best])

  def rewind(self, step: int) -> None:
    """Forgets a best state of a later step: it will be taken again."""
    if self._best:
      self._kept.drop_after(step)

  def _offer(self, step: int, state: TrainState, value: float) -> None:
    file = self._run.path / 'best.json'
    before = json.loads(file.read_text()) if file.exists() else {}
    known = before.get('metric') == self._best
    known = known and before['step'] in self._kept.steps()
    sign = self._main[self._best]
    better = not known or sign * value > sign * before['value']
    if not (better and math.isfinite(value)):
      return
    log.info('step %d is the best so far: %s %.6g', step, self._best, value)
    self._kept.save(step, state)
    self._kept.wait()
    values = {'metric': self._best, 'step': step, 'value': value}
    self._run.save_json('best.json', values)

  def close(self) -> None:
    """Lets go of the folder."""
    if self._best:
      self._kept.close()
