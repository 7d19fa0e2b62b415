"""What the schemes that update G and D from one pass of each share."""

import jax

from gan_jax.errors import UserError
from gan_jax.objective import Objective, carried, per_sample
from gan_jax.optimizer import Optimizers
from gan_jax.state import Pair, stream


def draws(settings) -> int:
  """Real minibatches that one step uses up."""
  del settings
  return 1


def check_steps(settings) -> None:
  """Refuses several updates of D a step, which only two stages have.

  Raises:
    UserError: if `settings.d_steps` is not 1.
  """
  if settings.d_steps != 1:
    raise UserError(
      f"config.scheme.name = '{settings.name}' updates G and D together: set"
      f' config.scheme.d_steps = 1 (it is {settings.d_steps}), or'
      " config.scheme.name = 'two_stage'."
    )


def make_step(objective: Objective, optimizers: Optimizers, gradients):
  """A step in which G and D learn from the same pass, and move together.

  Args:
    objective: the game.
    optimizers: the update rules of G and D.
    gradients: (objective, d, real, fake, labels, key) -> D's gradient, the
      gradient of G's loss at the fake samples, D's new stats, metrics.

  Returns:
    step(pair, batch, key) -> (pair, metrics), pure; batch is a
    `data.Batch` of one minibatch.
  """

  def step(pair: Pair, batch, key):
    g, d = pair.g, pair.d
    real, labels = batch.image[0], batch.label[0]
    z = objective.latents(stream(key, 'latent'), len(real))
    fake, pull_back, g_stats = objective.fakes(g, z, labels, key)
    d_gradient, fake_gradient, d_stats, metrics = gradients(
      objective, d, real, fake, labels, key
    )
    d = optimizers.d.update(d, d_gradient, d_stats)
    g = optimizers.g.update(g, *pull_back(fake_gradient), g_stats)
    return Pair(g, d), metrics

  return step


def cotangents(objective, d, stats, real, fake, r, s, labels, key):
  """The losses' gradients at the scores.

  Args:
    objective: the game.
    d: the discriminator before the step.
    stats: D's stats after the pass that gave the scores.
    real: [N, ...].
    fake: [N, ...].
    r: scores of the real samples, [N] or [N, P].
    s: scores of the fake samples, of the same shape.
    labels: int32 [N].
    key: for the penalties' draws.

  Returns:
    dL_D/dr, dL_D/ds, dL_G/ds; the penalties' gradient that does not pass
    through the scores, which is D's parameters'; metrics. The penalties are
    in D's loss, and concern D alone.
  """
  carry = carried(d.stats)

  def d_loss(params, r, s):
    penalty, metrics = objective.penalty(
      params, stats, real, fake, per_sample(r), labels, key
    )
    loss = objective.loss.d_loss(r, s, carry) + penalty
    return loss, objective.d_metrics(loss, r, s) | metrics

  (direct, d_to_r, d_to_s), metrics = jax.grad(d_loss, (0, 1, 2), has_aux=True)(
    d.params, r, s
  )
  g_loss, g_to_s = jax.value_and_grad(objective.loss.g_loss, 1)(r, s, carry)
  return d_to_r, d_to_s, g_to_s, direct, metrics | {'g_loss': g_loss}
