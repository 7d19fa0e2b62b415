"""Training passes of the two networks, as every game makes them.

`game` below is whatever has `generator`, `discriminator` and `augment`: an
`objective.Objective`, or a `distill.game.Distillation`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from gan_jax.networks import Judgement, Made
from gan_jax.networks.made import can_be_entered, has_levels
from gan_jax.state import At, Player, stream

# The collection of D's stats that holds what its augmentation carries.
AUGMENT = 'augment'


class Round(NamedTuple):
  """What both players of an update are given.

  Attributes:
    real: real samples [N, ...].
    labels: int32 [N], of the real samples and of the fakes.
    at: the time of the update.
    key: of the update.
    constants: frozen networks' variables by name.
  """

  real: Any
  labels: jax.Array
  at: At
  key: jax.Array
  constants: Mapping[str, Any] = {}


class Judged(NamedTuple):
  """D's two passes of an update.

  Attributes:
    on_real: D's Judgement of the real samples.
    on_fake: D's Judgement of the fakes.
    seen_real: the real samples as D saw them, augmented; never to be given to
      D again.
    seen_fake: likewise the fakes.
  """

  on_real: Judgement
  on_fake: Judgement
  seen_real: Any
  seen_fake: Any


def _apply(network, params, stats, inputs, at: At, key, **more):
  """What a network gives in training mode, and its new stats."""
  if has_levels(network):
    more['alpha'] = at.alpha
  return network.apply(
    {'params': params, **stats},
    *inputs,
    mutable=list(stats),
    rngs={name: stream(key, name) for name in ('noise', 'dropout')},
    **more,
  )


def generate(game, params, stats, z, now: Round) -> tuple[Made, dict]:
  """A training pass of G.

  Args:
    game: see above.
    params: of G.
    stats: G's other collections.
    z: [N, Z].
    now: the round; its labels are ignored by a generator without classes.

  Returns:
    What G made of them, and G's new stats.
  """

  def in_two_halves(g, z, labels, **more):
    styles = g.styles(z, labels, train=True)
    return g.synthesise(styles, train=True, **more)

  entered = can_be_entered(game.generator)
  how = {'method': in_two_halves} if entered else {'train': True}
  inputs = z, now.labels[: len(z)]
  made, stats = _apply(
    game.generator, params, stats, inputs, now.at, now.key, **how
  )
  return (made if entered else Made(made, {})), stats


def fakes(game, g: Player, z, now: Round):
  """A training pass of G, ready to be pulled back through.

  Args:
    game: see above.
    g: G.
    z: [N, Z].
    now: the round.

  Returns:
    What G made; the pull-back that takes its gradient to a tuple of the
    gradient of G's parameters; G's new stats.
  """
  return jax.vjp(
    lambda params: generate(game, params, g.stats, z, now),
    g.params,
    has_aux=True,
  )


def judge(game, params, stats, samples, now: Round, name: str):
  """A training pass of D, which sees its samples augmented.

  Args:
    game: see above.
    params: of D.
    stats: D's other collections.
    samples: [N, ...], or a tree of such.
    now: the round.
    name: of the pass, for what is drawn in it.

  Returns:
    The Judgement; what D saw; D's new stats.
  """
  key = stream(now.key, name)
  if game.augment:
    drawn = stream(key, AUGMENT)
    samples = game.augment(samples, stats.get(AUGMENT, {}), drawn)
  judgement, stats = _apply(
    game.discriminator,
    params,
    stats,
    (samples, now.labels),
    now.at,
    key,
    train=True,
  )
  return judgement, samples, stats


def judge_both(game, params, stats, made: Made, now: Round, chained=True):
  """D's passes over real and over fake samples.

  They pass in two batches of their own, as in the released code of all five
  methods but one: batch norm sees them apart, and on a mesh nothing is
  re-sharded.

  Args:
    game: see above.
    params: of D.
    stats: D's other collections.
    made: the fakes.
    now: the round.
    chained: whether the second pass starts from the statistics that the first
      has left, as D's own update has it.

  Returns:
    The passes, and D's new stats.
  """
  on_real, seen_real, new = judge(game, params, stats, now.real, now, 'real')
  if not chained:
    new = stats
  on_fake, seen_fake, new = judge(game, params, new, made.samples, now, 'fake')
  return Judged(on_real, on_fake, seen_real, seen_fake), new


class CriticPass(NamedTuple):
  """D's pass as a term may call it; see `view.View`."""

  game: Any
  params: Any
  stats: Any
  now: Round

  def __call__(self, samples, name: str = 'term') -> Judgement:
    """D's Judgement of samples [N, ...]; its statistics stay as they are."""
    return judge(self.game, self.params, self.stats, samples, self.now, name)[0]


class GeneratorPass(NamedTuple):
  """G's pass as a term may call it; see `view.View`."""

  game: Any
  params: Any
  stats: Any
  now: Round

  def __call__(self, z) -> Made:
    """What G makes of latent vectors [N, Z]."""
    return generate(self.game, self.params, self.stats, z, self.now)[0]

  def styles(self, z):
    """What the first half of a G that can be entered makes of them."""
    method = lambda g, z, labels, **_: g.styles(z, labels, train=True)
    return self._half(method, z, self.now.labels[: len(z)])

  def synthesise(self, styles, start=None) -> Made:
    """What its second half makes of styles, entered at a `networks.Start`."""
    method = lambda g, *inputs, **more: g.synthesise(
      *inputs, train=True, **more
    )
    return self._half(method, styles, start)

  def _half(self, method, *inputs):
    now = self.now
    network = self.game.generator
    return _apply(
      network, self.params, self.stats, inputs, now.at, now.key, method=method
    )[0]
