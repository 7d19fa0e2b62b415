"""From a config to the functions of its run."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import compiler, distill, ema, mesh, objective, optimizer, state
from gan_jax.data.augment import random_crop
from gan_jax.data.levels import PlannedLevel, open_level
from gan_jax.data.pipeline import Feed, fits
from gan_jax.distill import game as distill_game
from gan_jax.nn.levels import faded, reduce_to
from gan_jax.schemes import SCHEMES, dealing, ensemble, growth
from gan_jax.schemes.growth import Growth
from gan_jax.state import Stage
from gan_jax.validate import validate_batch, validate_shape


class Experiment(NamedTuple):
  """What a config means, as functions. Nothing in here holds arrays.

  Attributes:
    objective: the game the pair plays.
    growth: what is trained when: stages and the stretches of training.
    init: root key -> the first TrainState.
    renew: a TrainState -> the same with fresh optimisers.
    make_step: stage -> step(state, constants, batch, span, on=None), which
      gives (state, metrics), is pure and not yet compiled; `on` is the mesh for
      an ensemble to spread its pairs over.
    constants: frozen networks that a step needs: by name a function from the
      root key to variables of the right shapes.
    shapes: gives the TrainState's shapes and types; traced once.
    shard_optimizer: see `mesh.of_state`.
  """

  objective: objective.Objective | distill_game.Distillation
  growth: Growth
  init: Callable
  renew: Callable
  make_step: Callable
  constants: Mapping[str, Callable]
  shapes: Callable
  shard_optimizer: bool

  def places(self, on) -> state.TrainState:
    """Where each array of a run's state lies on a mesh."""
    return mesh.of_state(on, self.shapes(), self.shard_optimizer)


def build_game(config, shape, classes: int):
  """What the players minimise: a GAN's objective, or a classifier's.

  Args: as for `build`.
  """
  if config.loss.name in distill.LOSSES:
    return distill_game.build(config, shape, classes)
  given = classes if config.data.conditional else 0
  return objective.build(config, shape, given)


def build(config, shape, classes: int, past=(), step: int = 0) -> Experiment:
  """Puts the config's choices together.

  Args:
    config: a validated config.
    shape: of one sample of the data, (H, W, C) or (2,).
    classes: number of classes in the data.
    past: stretches of training that the run has behind it, with other batches
      maybe; see `growth.after`.
    step: at which it goes on.

  Raises:
    UserError: if the networks cannot make samples of this shape.
  """
  validate_shape(config, shape)
  game = build_game(config, shape, classes)
  grown = growth.after(
    past, phases_of(config, shape), step, config.growth.renew
  )
  for stage in grown.stages:
    validate_batch(game.discriminator, stage.batch, config.train.accumulate)
  game.check_terms(shape, [stage.resolution for stage in grown.stages])
  return assemble(config, game, shape, grown)


def phases_of(config, shape) -> tuple[growth.Phase, ...]:
  """The schedule of a config, on samples of a shape."""
  stage = functools.partial(stage_of, config)
  if config.growth.start:
    return growth.phases(config.growth, shape[0], stage)
  return (growth.Phase(stage()),)


def stage_of(config, side: int = 0, batch: int = 0, lr: float = 0.0) -> Stage:
  """What the steps of a level are made for.

  Args:
    config: of the run.
    side: the level's; 0: the run does not grow.
    batch: N; 0: the config's.
    lr: of both players; 0.0: their own.
  """
  batch = batch or config.train.batch
  draws = SCHEMES[config.scheme.name].draws(config.scheme)
  images = draws * batch
  if config.ensemble.pairs:
    draws = dealing.draws(config.ensemble, draws)
  return Stage(side, batch, draws, images, lr)


def assemble(config, game, shape, grown: Growth) -> Experiment:
  """The functions of a game that is trained in stages.

  Args:
    config: a validated config.
    game: see `build_game`.
    shape: of one sample of the data.
    grown: see `Experiment`.
  """
  rules = optimizer.build(config, game.terms)
  z, sample = jnp.zeros((1, config.latent.size)), jnp.zeros((1, *shape))
  made = _Made(config, game, rules, SCHEMES[config.scheme.name], z, sample)
  constants = constants_of(game, sample)
  return Experiment(
    game,
    grown,
    made.init,
    made.renew,
    made.make_step,
    constants,
    functools.cache(lambda: jax.eval_shape(made.init, jax.random.key(0))),
    config.mesh.shard_optimizer,
  )


class _Made(NamedTuple):
  """What an experiment's functions are made of.

  Attributes:
    config: of the run.
    game: see `build_game`.
    rules: of both players' updates.
    scheme: a module of `schemes`.
    z: latent vectors [1, Z].
    sample: a sample of the data [1, ...]; only its shape counts.
  """

  config: Any
  game: Any
  rules: optimizer.Optimizers
  scheme: Any
  z: jax.Array
  sample: jax.Array

  def _ensemble(self, game):
    return ensemble.build(
      self.config, game, self.rules, self.scheme, self.z, self.sample
    )

  def init(self, key):
    """See `Experiment`."""
    pair = self.game.first_pair(self.z, self.sample, self.rules, key)
    averaged = pair.g and self.config.ema.name != 'none'
    average = ema.start(pair.g) if averaged else None
    group = self._ensemble(self.game)
    if not group:
      return state.TrainState(jnp.int32(0), key, pair, average)
    pairs = group.first_pairs(self.z, self.sample, key)
    kept = group.messengers.first(pairs.d)
    return state.TrainState(jnp.int32(0), key, pair, average, pairs, kept)

  def renew(self, train_state):
    """See `Experiment`."""
    fresh = lambda player, rule: (
      player and player.replace(opt=rule.init(player.params))
    )
    both = lambda pair: state.Pair(
      fresh(pair.g, self.rules.g), fresh(pair.d, self.rules.d)
    )
    pairs, kept = train_state.local_pairs, train_state.messengers
    alone = functools.partial(fresh, rule=self.rules.d)
    return train_state.replace(
      pair=both(train_state.pair),
      local_pairs=pairs and jax.vmap(both)(pairs),
      messengers=kept and jax.vmap(alone)(kept),
    )

  def make_step(self, stage: Stage):
    """See `Experiment`."""
    game = self.game.at_resolution(stage.resolution)
    made = self
    if stage.lr:
      rules = optimizer.build(self.config, self.game.terms, stage.lr)
      made = self._replace(rules=rules)
    group = made._ensemble(game)
    pair_step = self.scheme.make_step(
      game, made.rules, self.config.scheme, self.config.train.accumulate
    )

    def step(train_state, constants, batch, span, on=None):
      pair, pairs = train_state.pair, train_state.local_pairs
      kept = train_state.messengers
      key = state.step_key(train_state)
      at = state.time_of(train_state.step, span, stage)
      batch = prepare(self.config.augment, stage, batch, at, key)
      if group:
        pair, pairs, kept, metrics = group.step(
          pair, pairs, kept, batch, at, key, constants, on
        )
      else:
        pair, metrics = pair_step(pair, batch, at, key, constants)
      new = state.TrainState(
        step=train_state.step + 1,
        key=train_state.key,
        pair=pair,
        ema=self._average(train_state.ema, pair.g, at, stage),
        local_pairs=pairs,
        messengers=kept,
      )
      return new, metrics

    return step

  def _average(self, average, g, at, stage: Stage):
    """The average of G after a step, or None if there is none."""
    if average is None:
      return None
    weight = ema.decay(self.config.ema, at, stage.images)
    copied = getattr(self.game.generator, 'averages', ())
    return ema.update(average, g, weight, copied)


def prepare(section, stage: Stage, batch, at, key):
  """The real samples as the networks of a stage get them, before the scheme.

  Args:
    section: `config.augment`.
    stage: of the step.
    batch: as the data have it.
    at: the time of the step.
    key: of the step.
  """
  image = batch.image
  if image.ndim != 5:  # points and text
    return batch
  if section.crop:
    image = random_crop(image, state.stream(key, 'crop'), section.crop)
  if stage.resolution:
    image = faded(reduce_to(image, stage.resolution), at.alpha)
  return batch.replace(image=image)


def constants_of(game, sample) -> dict[str, Callable]:
  """The frozen networks of a game; see `Experiment`."""
  found = {
    name: network.first
    for name, network in objective.frozen_networks(game.terms).items()
  }
  if getattr(game, 'teacher', None):
    found[distill_game.TEACHER] = lambda key: game.first_teacher(sample, key)
  return found


def constants_like(experiment: Experiment):
  """Shapes and types of the frozen networks' variables, by name."""
  key = jax.random.key(0)
  return {
    name: jax.eval_shape(first, key)
    for name, first in experiment.constants.items()
  }


def make_feed(
  config,
  stage: Stage,
  source,
  on,
  offset: int = 0,
  before: Feed | None = None,
  planned: bool = False,
) -> Feed:
  """The batches of a stage, at its resolution: see `data.pipeline.Feed`.

  A set that lies on the devices is reduced inside the step; one that streams is
  read from the cache of its levels, made here if it is not there. A `planned`
  feed stores nothing, and puts nothing onto the devices.

  Raises:
    UserError: if that cannot be made, see `data.levels.open_level`.
  """
  side = stage.resolution
  if not 0 < side < source.shape[0]:
    side = 0
  elif not fits(source, config.data.device_budget_mb):
    source, side = (PlannedLevel if planned else open_level)(source, side), 0
  return Feed(
    source,
    draws=stage.draws,
    batch=stage.batch,
    seed=config.train.seed,
    mirror=config.augment.mirror,
    mesh=on,
    device_budget_mb=config.data.device_budget_mb,
    workers=config.data.workers,
    offset=offset,
    side=side,
    before=before,
    apart=dealing.apart(config.ensemble),
    planned=planned,
  )


def compile_step(experiment: Experiment, stage: Stage, decode, on):
  """A stage's jitted step: (state, constants, table, raw, span) -> ...

  It gives (state, metrics). The state is donated and stays where
  `Experiment.places` has it; `table` and `raw` are the data pipeline's, which
  `decode` makes a batch of inside the step.

  Args:
    experiment: see `build`.
    stage: one of its stages.
    decode: (table, raw) -> Batch.
    on: the mesh.
  """
  step = experiment.make_step(stage)

  def train_step(train_state, constants, table, raw, span):
    with mesh.tracing_on(on):
      return step(train_state, constants, decode(table, raw), span, on)

  everywhere, places = mesh.replicated(on), experiment.places(on)
  return jax.jit(
    train_step,
    donate_argnums=0,
    in_shardings=(
      places,
      everywhere,
      everywhere,
      None,  # as the feed has it
      everywhere,
    ),
    out_shardings=(places, everywhere),
    compiler_options=compiler.for_steps(on),
  )


def quickly(function, on, out=None):
  """A function compiled to run once.

  Args:
    function: of arrays.
    on: the mesh it runs on.
    out: shardings of what it gives; None: whole on every device.
  """
  return jax.jit(
    function,
    out_shardings=out or mesh.replicated(on),
    compiler_options=compiler.for_once(on),
  )


def initial_state(experiment: Experiment, seed: int, on):
  """The first TrainState of a run, on its mesh."""
  init = quickly(experiment.init, on, experiment.places(on))
  return init(jax.random.key(seed))
