"""What a term sees of a step; terms.py says what a term is."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from gan_jax.networks.judgement import Judgement, per_sample
from gan_jax.state import At


class View(NamedTuple):
  """What a term sees of a step.

  `player` below is the one whose loss the term is in. Gradient flows to what is
  the player's own: for D's terms `made` is a constant, for G's it is live.

  Attributes:
    real: real samples [N, ...] as the networks get them.
    made: what G made of the step's latent vectors, `networks.Made`.
    labels: int32 [N], of both.
    on_real: D's Judgement of the real samples.
    on_fake: D's Judgement of the fakes. Both are None for a term that is
      evaluated after the main update.
    seen_real: the real samples as D saw them, augmented; never to be given to
      D again.
    seen_fake: likewise the fakes.
    play: the player's own pass, with live parameters: `passes.CriticPass` or
      `passes.GeneratorPass`.
    opponent: the other player's, frozen: gradient passes through it to what it
      is given, none to its parameters.
    latents: count -> fresh latent vectors [count, Z] of this term.
    constants: frozen networks' variables by name.
    carried: what the term carries.
    at: the time of the step.
    key: of this term in this step.
  """

  real: Any
  made: Any
  labels: jax.Array
  on_real: Judgement | None
  on_fake: Judgement | None
  seen_real: Any
  seen_fake: Any
  play: Any
  opponent: Any
  latents: Callable[[int], jax.Array]
  constants: Mapping[str, Any]
  carried: Any
  at: At
  key: jax.Array

  @property
  def scores_real(self) -> jax.Array:
    """D's scores of the real samples, [N].

    Of a D with patches the mean over a sample's, so that a term of scores acts
    on that mean, not on each patch; all are in `on_real.logits`.
    """
    return per_sample(self.on_real.logits)

  @property
  def scores_fake(self) -> jax.Array:
    """D's scores of the fakes, [N]; see `scores_real`."""
    return per_sample(self.on_fake.logits)

  def score(self, samples) -> jax.Array:
    """Of a term of D: a pass of D over other samples, its scores [N]."""
    return per_sample(self.play(samples).logits)
