"""What is made of pictures by what D sees in them, as a run goes on."""

import itertools

import jax
import numpy as np

from gan_jax.data.pipeline import samples_at
from gan_jax.networks.made import has_levels
from gan_jax.nn.levels import faded, reduce_to
from gan_jax.observe.occasional import Occasional, is_drawn
from gan_jax.sampler import Sampler
from gan_jax.state import TrainState
from gan_jax.tasks import autoencode, lead
from gan_jax.tasks.decoder import WHOLE
from gan_jax.terms import TERMS

COLUMNS = 8  # pictures


def rebuilt(game, task, alpha, g, d, samples, labels):
  """What G makes of what D tells of some samples (tasks.lead), in use.

  G is the one that D was trained with, not its average.

  Args:
    game: the Objective, at the stage's resolution.
    task: a `tasks.lead.Lead`.
    alpha: how far the newest level has faded in.
    g: G's variables.
    d: D's, the task's own among them.
    samples: pictures [N, s, s, C], as D sees them.
    labels: int32 [N].

  Returns:
    [N, s, s, C], about in [-1, 1].
  """
  ask = lambda network, variables, *inputs, **how: network.apply(
    variables,
    *inputs,
    train=False,
    **(dict(alpha=alpha) if has_levels(network) else {}),
    **how,
  )
  judgement = ask(game.discriminator, d, samples, labels)
  entry = task.encode(d['params'][TERMS]['lead'], judgement.features)
  rngs = {'noise': jax.random.key(0)}
  synthesise = lambda *inputs: ask(
    game.generator, g, *inputs, method='synthesise', rngs=rngs
  )
  return task.rebuild(entry, synthesise)


class Reconstructions(Occasional):
  """Draws pictures over what D's tasks make of them.

  Of tasks.autoencode, as `reconstructions`: the first row is of the first real
  pictures of a run's order; under it each decoder of whole maps has a row, each
  of parts two, the part itself and what became of it; which part is drawn is
  the same at all steps. Of tasks.lead, as `rebuilt`: the same pictures, what D
  and G make of them, samples of the first seeds, and what is made of those.
  Pictures are not augmented, and networks in inference mode. Due when the grids
  of samples are. Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """Runs with such a task."""
    return bool(autoencode.of_config(config) or lead.of_config(config))

  def __init__(self, config, run, experiment, source, mesh):
    growth = experiment.growth
    super().__init__(config.train.image_every, growth.total(config.train))
    self._run, self._sampler = run, Sampler(config, experiment)
    self._decode = autoencode.of_config(config)
    self._lead = lead.of_config(config)
    self._game, self._growth = experiment.objective, growth
    self._pictures = samples_at(source, config.train.seed, COLUMNS)
    ways = {'reconstructions': self._decoded, 'rebuilt': self._rebuilt}
    tasks = self._decode, self._lead
    # What is drawn, by its name.
    self._ways = dict(itertools.compress(ways.items(), tasks))
    self._decoders = jax.jit(self._of_decoders, static_argnums=0)
    self._rebuild = jax.jit(self._of_lead, static_argnums=0)

  def due(self, step: int) -> bool:
    """See `Observer`."""
    return super().due(step) or step in self._growth.ends()

  def done(self, step: int) -> bool:
    """See `Observer`."""
    return all(is_drawn(self._run, name, step) for name in self._ways)

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    side = self._growth.stage(step).resolution
    alpha = float(self._growth.time(step).alpha)
    pictures, labels = self._pictures
    if side:
      pictures = faded(reduce_to(pictures, side), alpha)
    for name, rows in self._ways.items():
      drawn = rows(step, (side, alpha), state, pictures, labels)
      drawn = np.concatenate([np.asarray(row) for row in drawn])
      self._run.images(name, drawn, COLUMNS, step)
    return {}

  def _rebuilt(self, step: int, level, state, pictures, labels):
    """The rows of tasks.lead, each [COLUMNS, s, s, C]."""
    sampler, seeds = self._sampler.at(step), range(COLUMNS)
    made = sampler(sampler.variables(state), seeds)
    both = (pictures, labels), (made, sampler.labels(seeds))
    players = state.pair.g.variables, state.pair.d.variables
    rows = [(x[0], self._rebuild(*level, *players, *x)) for x in both]
    return list(itertools.chain(*rows))

  def _of_lead(self, side: int, alpha, g, d, samples, labels):
    game = self._game.at_resolution(side)
    return rebuilt(game, self._lead, alpha, g, d, samples, labels)

  def _decoded(self, step: int, level, state, pictures, labels):
    """The rows of tasks.autoencode, each [COLUMNS, s, s, C]."""
    del step
    d = state.pair.d
    return self._decoders(*level, d.params, d.stats, pictures, labels)

  def _of_decoders(self, side: int, alpha, params, stats, pictures, labels):
    d = self._game.at_resolution(side).discriminator
    level = dict(alpha=alpha) if has_levels(d) else {}
    judgement = d.apply(
      {'params': params, **stats}, pictures, labels, train=False, **level
    )
    shown, _ = self._decode.reconstruct(
      params[TERMS]['autoencode'],
      stats[TERMS]['autoencode']['carried'],
      judgement.features,
      pictures,
      jax.random.key(0),
      train=False,
    )
    of_whole = {n: x for n, x in shown.items() if n.startswith('whole')}
    of_parts = [x for n, x in shown.items() if n not in of_whole]
    size = next(iter(shown.values())).picture.shape[1]
    return [
      WHOLE.picture(pictures, size),
      *(x.picture for x in of_whole.values()),
      *(row for x in of_parts for row in x),
    ]
