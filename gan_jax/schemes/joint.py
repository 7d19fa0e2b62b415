"""What the schemes that update G and D from one pass of each share."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.networks import Judgement
from gan_jax.objective import Objective
from gan_jax.optimizer import Optimizers
from gan_jax.passes import Round
from gan_jax.schemes import accumulation, updates
from gan_jax.state import Pair, stream


def d_steps(settings) -> int:
  """Updates of D a step."""
  del settings
  return 1


def draws(settings) -> int:
  """Real minibatches that one step uses up."""
  del settings
  return 1


def check_steps(settings, why: str = 'updates G and D together') -> None:
  """Refuses several updates of D a step, which only two stages have.

  Args:
    settings: `config.scheme`.
    why: the reason, after the scheme's name.

  Raises:
    UserError: if `settings.d_steps` is not 1.
  """
  if settings.d_steps != 1:
    raise UserError(
      f"config.scheme.name = '{settings.name}' {why}: set"
      f' config.scheme.d_steps = 1 (it is {settings.d_steps}), or'
      " config.scheme.name = 'two_stage'."
    )


def make_step(
  objective: Objective, optimizers: Optimizers, gradients, parts: int = 1
):
  """A step in which G and D learn from the same pass, and move together.

  Args:
    objective: the game.
    optimizers: the update rules of G and D.
    gradients: (objective, pair, g_stats, made, now) -> D's gradient and new
      stats; G's gradient at what it made, its direct one (None without terms)
      and new stats; metrics.
    parts: of a minibatch, see accumulation.py.

  Returns:
    step(pair, batch, at, key, constants) -> (pair, metrics), pure; batch is a
    `data.Batch` of one minibatch.
  """

  def step(pair: Pair, batch, at, key, constants):
    g, d = pair.g, pair.d
    now = Round(batch.image[0], batch.label[0], at, key, constants)
    z = objective.latents(stream(key, 'latent'), batch.image.shape[1])

    def part(stats, now, z):
      g, d = pair.g.replace(stats=stats[0]), pair.d.replace(stats=stats[1])
      made, pull_back, g_stats = objective.fakes(g, z, now)
      (d_gradient, d_stats), (at_made, direct, g_stats), metrics = gradients(
        objective, Pair(g, d), g_stats, made, now
      )
      g_gradient = add(pull_back(at_made)[0], direct)
      return (g_gradient, d_gradient), (g_stats, d_stats), metrics

    (g_gradient, d_gradient), (g_stats, d_stats), metrics = (
      accumulation.of_round(
        parts, part, (g.params, d.params), (g.stats, d.stats), now, z
      )
    )
    d = optimizers.d.update(d, d_gradient, d_stats, at)
    g = optimizers.g.update(g, g_gradient, g_stats, at)
    # Each against the opponent that it met in this step.
    late = functools.partial(updates.after, objective, parts=parts)
    d, on_d = late('d', optimizers.d, d, pair.g, now)
    g, on_g = late('g', optimizers.g, g, pair.d, now)
    return Pair(g, d), metrics | on_d | on_g

  return step


def add(gradient, direct):
  """Two gradients of the same parameters; the second may be None."""
  if direct is None:
    return gradient
  return jax.tree.map(jnp.add, gradient, direct)


class Cotangents(NamedTuple):
  """Both losses of a step, differentiated with respect to D's two passes.

  Attributes:
    pull_back: cotangents of the Judgements of the real samples and of the fakes
      -> gradients of D's parameters and at what G made.
    of_d: D's loss's, of both Judgements.
    of_g: G's loss's, of the Judgement of the fakes.
    direct: gradients that do not go through the passes, of terms that make
      their own: of D's parameters, of G's, at what it made; None of G's without
      terms.
    stats: D's new stats, G's.
    metrics: of both losses.
  """

  pull_back: Callable
  of_d: tuple[Judgement, Judgement]
  of_g: Judgement
  direct: tuple[Any, Any, Any]
  stats: tuple[Any, Any]
  metrics: Mapping[str, jax.Array]

  def gradients(self, d_gradient, made_gradient, more=None):
    """What `make_step` wants of a step.

    Args:
      d_gradient: of D's parameters, through the passes.
      made_gradient: at what G made, through the passes.
      more: metrics.
    """
    of_d, of_g, at_made = self.direct
    d_stats, g_stats = self.stats
    return (
      (add(d_gradient, of_d), d_stats),
      (add(made_gradient, at_made), of_g, g_stats),
      self.metrics | (more or {}),
    )

  def pulled_twice(self):
    """Each player's gradient by a pull-back of its own.

    G's goes through D's pass over the fakes alone, to what G made: about half
    the operations of D's own.

    Returns:
      The gradients of D's parameters, and at what G made.
    """
    d_gradient, _ = self.pull_back(self.of_d)
    nothing = jax.tree.map(jnp.zeros_like, self.of_d[0])
    _, made_gradient = self.pull_back((nothing, self.of_g))
    return d_gradient, made_gradient


def cotangents(objective, pair: Pair, g_stats, made, now: Round) -> Cotangents:
  """One pass of D over both batches, and what both players learn from it.

  Args:
    objective: the game.
    pair: before the step.
    g_stats: G's stats after its pass.
    made: what it made.
    now: the round.
  """
  d = pair.d

  def passes(params, made):
    judged, stats = objective.judge_both(params, d.stats, made, now)
    seen = judged._replace(on_real=None, on_fake=None)
    return (judged.on_real, judged.on_fake), (seen, stats)

  both, pull_back, (seen, stats) = jax.vjp(passes, d.params, made, has_aux=True)
  judged = seen._replace(on_real=both[0], on_fake=both[1])
  d_direct, of_d, (d_stats, metrics) = d_cotangents(
    objective, pair, stats, made, judged, now
  )
  of_g, g_direct, (g_stats, more) = g_cotangents(
    objective, pair, g_stats, made, judged, now
  )
  return Cotangents(
    pull_back,
    of_d,
    of_g,
    (d_direct, *g_direct),
    (d_stats, g_stats),
    metrics | more,
  )


def d_cotangents(objective, pair: Pair, new_stats, made, judged, now: Round):
  """D's loss, differentiated with respect to what it looks at.

  Args:
    objective: the game.
    pair: before the step.
    new_stats: D's stats after the passes.
    made: what G made.
    judged: D's passes.
    now: the round.

  Returns:
    The direct gradient of D's parameters, which does not go through the two
    passes (terms that make passes of their own); the cotangents of the two
    Judgements; D's new stats and metrics.
  """
  g, d = pair.g, pair.d

  def loss(params, on_real, on_fake):
    seen = judged._replace(on_real=on_real, on_fake=on_fake)
    return objective.d_total(params, d.stats, new_stats, g, made, seen, now)

  (direct, *cotangents), aux = jax.grad(loss, (0, 1, 2), has_aux=True)(
    d.params, judged.on_real, judged.on_fake
  )
  return direct, tuple(cotangents), aux


def g_cotangents(objective, pair: Pair, g_stats, made, judged, now: Round):
  """G's loss, differentiated with respect to what it looks at.

  Args:
    objective: the game.
    pair: before the step.
    g_stats: G's stats after its pass.
    made: what it made.
    judged: D's passes.
    now: the round.

  Returns:
    The cotangent of the Judgement of the fakes; the gradients of G's parameters
    and at what it made that do not go through it (None without terms); G's new
    stats and metrics.
  """

  def loss(on_fake, params, made):
    seen = judged._replace(on_fake=on_fake)
    return objective.g_total(params, g_stats, pair.d, made, seen, now)

  inputs = judged.on_fake, pair.g.params, made
  if not objective.of('g'):
    cotangent, aux = jax.grad(loss, has_aux=True)(*inputs)
    return cotangent, (None, None), aux
  (cotangent, *direct), aux = jax.grad(loss, (0, 1, 2), has_aux=True)(*inputs)
  return cotangent, tuple(direct), aux
