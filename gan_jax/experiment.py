"""From a config to the functions of its run."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import distill, ema, mesh, objective, optimizer, state
from gan_jax.data.augment import random_crop
from gan_jax.data.pipeline import Feed
from gan_jax.distill import game as distill_game
from gan_jax.schemes import SCHEMES, ensemble
from gan_jax.validate import validate_shape


class Experiment(NamedTuple):
  """What a config means, as functions. Nothing in here holds arrays.

  Attributes:
    objective: the game the pair plays.
    draws: real minibatches [K] that a step uses up.
    images_per_step: real images that one pair learns from in a step. In an
      ensemble each pair has its own, and `draws` counts them all.
    init: root key -> the first TrainState.
    step: (state, batch, on=None) -> (state, metrics), pure and not yet
      compiled; `on` is the mesh for an ensemble to spread its pairs over.
  """

  objective: objective.Objective | distill_game.Distillation
  draws: int
  images_per_step: int
  init: Callable
  step: Callable


def build_game(config, shape, classes: int):
  """What the players minimise: a GAN's objective, or a classifier's.

  Args: as for `build`.
  """
  if config.loss.name in distill.LOSSES:
    return distill_game.build(config, shape, classes)
  given = classes if config.data.conditional else 0
  return objective.build(config, shape, given)


def build(config, shape, classes: int) -> Experiment:
  """Puts the config's choices together.

  Args:
    config: a validated config.
    shape: of one sample of the data, (H, W, C) or (2,).
    classes: number of classes in the data.

  Raises:
    UserError: if the networks cannot make samples of this shape.
  """
  validate_shape(config, shape)
  game = build_game(config, shape, classes)
  rules = optimizer.build(config)
  scheme = SCHEMES[config.scheme.name]
  pair_step = scheme.make_step(game, rules, config.scheme)
  draws = scheme.draws(config.scheme)
  images_per_step = draws * config.train.batch
  z, sample = jnp.zeros((1, config.latent.size)), jnp.zeros((1, *shape))
  group = ensemble.build(config, game, rules, scheme, z, sample)

  def init(key):
    pair = state.Pair(
      g=game.generator
      and objective.initial_player(
        game.generator, z, rules.g, state.stream(key, 'generator')
      ),
      d=game.first_d(sample, rules.d, state.stream(key, 'critic')),
    )
    averaged = pair.g and config.ema.name != 'none'
    average = ema.start(pair.g) if averaged else None
    pairs = group and group.first_pairs(z, sample, key)
    return state.TrainState(jnp.int32(0), key, pair, average, pairs)

  def step(train_state, batch, on=None):
    pair, pairs = train_state.pair, train_state.local_pairs
    key = state.step_key(train_state)
    if config.augment.crop and len(shape) == 3:
      crop_key = state.stream(key, 'crop')
      image = random_crop(batch.image, crop_key, config.augment.crop)
      batch = batch.replace(image=image)
    if group:
      pair, pairs, metrics = group.step(pair, pairs, batch, key, on)
    else:
      pair, metrics = pair_step(pair, batch, key)
    average = train_state.ema
    if average is not None:
      weight = ema.decay(config.ema, images_per_step, train_state.step)
      average = ema.update(average, pair.g, weight)
    return (
      train_state.replace(
        step=train_state.step + 1, pair=pair, ema=average, local_pairs=pairs
      ),
      metrics,
    )

  if group:
    draws = ensemble.draws(config.ensemble, draws)
  return Experiment(game, draws, images_per_step, init, step)


def make_feed(config, experiment: Experiment, source, on) -> Feed:
  """The batches of a run: see `data.pipeline.Feed`."""
  return Feed(
    source,
    draws=experiment.draws,
    batch=config.train.batch,
    seed=config.train.seed,
    mirror=config.augment.mirror,
    mesh=on,
    device_budget_mb=config.data.device_budget_mb,
    workers=config.data.workers,
  )


def compile_step(experiment: Experiment, decode, on):
  """The jitted training step: (state, table, raw) -> (state, metrics).

  The state is donated and stays where `mesh.of_state` has it; `table` and
  `raw` are the data pipeline's, which `decode` makes a batch of inside the
  step.

  Args:
    experiment: see `build`.
    decode: (table, raw) -> Batch.
    on: the mesh.
  """

  def train_step(train_state, table, raw):
    return experiment.step(train_state, decode(table, raw), on)

  everywhere, places = mesh.replicated(on), mesh.of_state(on)
  return jax.jit(
    train_step,
    donate_argnums=0,
    in_shardings=(places, everywhere, mesh.by_sample(on)),
    out_shardings=(places, everywhere),
  )


def initial_state(experiment: Experiment, seed: int, on):
  """The first TrainState of a run, on its mesh."""
  # It runs once, so a CPU need not optimise it: on two cores a DCGAN's random
  # draws take 1 s to compile in place of 13.
  quick = {'xla_backend_optimization_level': 0}
  on_cpu = on.devices.flat[0].platform == 'cpu'
  init = jax.jit(
    experiment.init,
    out_shardings=mesh.of_state(on),
    compiler_options=quick if on_cpu else None,
  )
  return init(jax.random.key(seed))
