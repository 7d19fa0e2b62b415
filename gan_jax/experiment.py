"""From a config to the functions of its run."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import ema, mesh, objective, optimizer, state
from gan_jax.data.pipeline import Feed
from gan_jax.schemes import SCHEMES
from gan_jax.validate import validate_shape


class Experiment(NamedTuple):
  """What a config means, as functions. Nothing in here holds arrays.

  Attributes:
    objective: the game the pair plays.
    draws: real minibatches [K] that a step uses up.
    images_per_step: K x N.
    init: root key -> the first TrainState.
    step: (state, batch) -> (state, metrics), pure and not yet compiled.
  """

  objective: objective.Objective
  draws: int
  images_per_step: int
  init: Callable
  step: Callable


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
  game = objective.build(
    config, shape, classes if config.data.conditional else 0
  )
  rules = optimizer.build(config)
  scheme = SCHEMES[config.scheme.name]
  pair_step = scheme.make_step(game, rules, config.scheme)
  images_per_step = scheme.draws(config.scheme) * config.train.batch

  def init(key):
    z = jnp.zeros((1, config.latent.size))
    sample = jnp.zeros((1, *shape))
    pair = state.Pair(
      g=objective.initial_player(
        game.generator, z, rules.g, state.stream(key, 'generator')
      ),
      d=game.first_d(sample, rules.d, state.stream(key, 'critic')),
    )
    average = None if config.ema.name == 'none' else ema.start(pair.g)
    return state.TrainState(jnp.int32(0), key, pair, average)

  def step(train_state, batch):
    pair, metrics = pair_step(
      train_state.pair, batch, state.step_key(train_state)
    )
    average = train_state.ema
    if average is not None:
      weight = ema.decay(config.ema, images_per_step, train_state.step)
      average = ema.update(average, pair.g, weight)
    return (
      train_state.replace(step=train_state.step + 1, pair=pair, ema=average),
      metrics,
    )

  return Experiment(
    game, scheme.draws(config.scheme), images_per_step, init, step
  )


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

  The state is donated and stays replicated; `table` and `raw` are the data
  pipeline's, which `decode` makes a batch of inside the step.

  Args:
    experiment: see `build`.
    decode: (table, raw) -> Batch.
    on: the mesh.
  """

  def train_step(train_state, table, raw):
    return experiment.step(train_state, decode(table, raw))

  everywhere = mesh.replicated(on)
  return jax.jit(
    train_step,
    donate_argnums=0,
    in_shardings=(everywhere, everywhere, mesh.by_sample(on)),
    out_shardings=everywhere,
  )


def initial_state(experiment: Experiment, seed: int, on):
  """The first TrainState of a run, on its mesh."""
  # It runs once, so a CPU need not optimise it: on two cores a DCGAN's random
  # draws take 1 s to compile in place of 13.
  quick = {'xla_backend_optimization_level': 0}
  on_cpu = on.devices.flat[0].platform == 'cpu'
  init = jax.jit(
    experiment.init,
    out_shardings=mesh.replicated(on),
    compiler_options=quick if on_cpu else None,
  )
  return init(jax.random.key(seed))


def make_sampler(experiment: Experiment):
  """A jitted (variables, z, labels) -> samples of the generator in use."""
  generator = experiment.objective.generator

  @jax.jit
  def sample(variables, z, labels):
    # Noise inside a generator is fixed: a seed gives one picture.
    rngs = {'noise': jax.random.key(0)}
    return generator.apply(variables, z, labels, train=False, rngs=rngs)

  return sample
