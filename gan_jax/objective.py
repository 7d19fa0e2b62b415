"""What the two players of a pair minimise, as pure functions.

Networks, adversarial loss, terms, augmentation and latent distribution come
together here; how gradients are turned into updates is a scheme's business.
passes.py has the passes of the two networks.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses, mesh, networks, passes, tasks
from gan_jax import terms as terms_lib
from gan_jax.data import ada, diff_augment
from gan_jax.errors import UserError
from gan_jax.losses import AdversarialLoss
from gan_jax.networks.judgement import tells_classes
from gan_jax.networks.made import can_be_entered, has_levels
from gan_jax.nn import latent
from gan_jax.passes import CriticPass, GeneratorPass, Judged, Round
from gan_jax.state import START, Pair, Player, stream
from gan_jax.terms import TERMS, Term
from gan_jax.view import View

LOSS = 'loss'  # the collection of D's stats that holds what the loss carries


def carried(stats):
  """What the loss carries from step to step, out of D's stats."""
  return stats.get(LOSS, {})


class Objective(NamedTuple):
  """The game: who plays and what for.

  Attributes:
    generator: a Linen module, (z, labels, train) -> samples.
    discriminator: a Linen module, (samples, labels, train) -> Judgement.
    loss: the adversarial loss.
    terms: of both players, by name.
    latents: (key, count) -> latent vectors [count, Z].
    augment: what D sees in place of samples, a `data.augment.Augmentation`, or
      None.
  """

  generator: nn.Module
  discriminator: nn.Module
  loss: AdversarialLoss
  terms: Mapping[str, Term]
  latents: Callable[[jax.Array, int], jax.Array]
  augment: Any = None

  generate = passes.generate
  fakes = passes.fakes
  judge = passes.judge
  judge_both = passes.judge_both

  def of(self, player: str, phase: str = 'with') -> dict[str, Term]:
    """The terms of a player, 'g' or 'd', in one phase, by name."""
    return terms_lib.of(self.terms, player, phase)

  def at_resolution(self, resolution: int):
    """The game on pictures of another side; 0: as it is."""
    clone = lambda network: (
      network.clone(resolution=resolution) if has_levels(network) else network
    )
    if not resolution:
      return self
    return self._replace(
      generator=clone(self.generator), discriminator=clone(self.discriminator)
    )

  def first_pair(self, z, sample, optimizers, key) -> Pair:
    """A pair before its first update.

    Args:
      z: latent vectors [1, Z].
      sample: a sample of the data [1, ...]; only its shape counts.
      optimizers: of G and D.
      key: a typed key.
    """
    keys = stream(key, 'generator'), stream(key, 'critic')
    g = initial_player(self.generator, z, keys[0])
    d = initial_player(self.discriminator, sample, keys[1])
    for name, part in ((LOSS, self.loss), (passes.AUGMENT, self.augment)):
      start = part.start() if part else {}
      d = d.replace(stats=d.stats | {name: start}) if start else d
    if any(term.init or term.every > 1 for term in self.terms.values()):
      g, d = self._with_terms(g, d, z, sample, keys)
    return Pair(
      g=g.replace(opt=optimizers.g.init(g.params)),
      d=d.replace(opt=optimizers.d.init(d.params)),
    )

  def _with_terms(self, g: Player, d: Player, z, sample, keys):
    """The players with what their terms add at first."""
    labels, constants = jnp.zeros(1, jnp.int32), _untrained(self.terms)
    rounds = [Round(sample, labels, START, key, constants) for key in keys]
    made, _ = self.generate(g.params, g.stats, z, rounds[0])
    judged, _ = self.judge_both(d.params, d.stats, made, rounds[1])
    views = (
      self.g_view(g.params, g.stats, d, made, judged, rounds[0]),
      self.d_view(d.params, d.stats, g, made, judged, rounds[1]),
    )
    players = []
    for name, player, view in zip('gd', (g, d), views, strict=True):
      own = self.of(name) | self.of(name, 'after')
      params, stats = terms_lib.first(own, view)
      add = lambda tree, new: tree | {TERMS: new} if new else tree
      players.append(
        player.replace(
          params=add(player.params, params), stats=add(player.stats, stats)
        )
      )
    return players

  def check_terms(self, shape, sides: Iterable[int]) -> None:
    """Refuses terms that cannot work on what D offers at a stage.

    Args:
      shape: of one sample of the data.
      sides: of the stages; 0: as they are.

    Raises:
      UserError: see `Term.check`.
    """
    asking = [term for term in self.terms.values() if term.check]
    for side in sides if asking else ():
      here = (side, side, *shape[2:]) if side else tuple(shape)
      maps, made = _features_of(self.at_resolution(side), shape, here)
      for term in asking:
        term.check(term.path, here, maps, made)

  def d_view(self, params, stats, g: Player, made, judged, now) -> View:
    """What terms of D see; `judged` is None after the main update."""
    made = jax.lax.stop_gradient(made)
    play = CriticPass(self, params, stats, now)
    other = GeneratorPass(self, *frozen(g), now)
    return self._view(play, other, made, judged, now)

  def g_view(self, params, stats, d: Player, made, judged, now) -> View:
    """What terms of G see; `judged` is None after the main update."""
    play = GeneratorPass(self, params, stats, now)
    other = CriticPass(self, *frozen(d), now)
    return self._view(play, other, made, judged, now)

  def _view(self, play, opponent, made, judged, now) -> View:
    judged = judged or Judged(None, None, None, None)
    return View(
      **now._asdict(),
      **judged._asdict(),
      made=made,
      play=play,
      opponent=opponent,
      latents=self.latents,
      carried={},
    )

  def d_loss(self, params, stats, opponent: Player, made, now: Round):
    """What D minimises.

    Args:
      params: of D.
      stats: D's other collections.
      opponent: G, which stays as it is.
      made: what it made. The gradient with respect to it is that of the
        adversarial loss, and of the terms that read D's passes over it.
      now: the round.

    Returns:
      The loss, and (D's new stats, metrics); 'd_real' and 'd_fake' are means
      over all scores, patches included.
    """
    judged, new = self.judge_both(params, stats, made, now)
    return self.d_total(params, stats, new, opponent, made, judged, now)

  def d_total(self, params, stats, new_stats, opponent, made, judged, now):
    """`d_loss` as a function of the two passes that it looks at.

    Args:
      params: of D, for the passes that terms make.
      stats: D's other collections before the passes.
      new_stats: and after them.
      opponent: G.
      made: what it made.
      judged: the passes.
      now: the round.

    Returns:
      As `d_loss`.
    """
    r, s = judged.on_real.logits, judged.on_fake.logits
    key = stream(now.key, LOSS)
    loss = self.loss.d_loss(r, s, carried(stats), key)
    view = self.d_view(params, new_stats, opponent, made, judged, now)
    extra, new_stats, metrics = terms_lib.add_up(
      self.of('d'), params, new_stats, view
    )
    metrics = {
      'd_loss': loss + extra,
      'd_real': jnp.mean(r),
      'd_fake': jnp.mean(s),
      'g_loss': self.loss.g_loss(r, s, carried(stats), key),
    } | metrics
    new_stats = self._advance(new_stats, r, s)
    if passes.AUGMENT in new_stats:
      metrics |= self.augment.metrics(new_stats[passes.AUGMENT])
    return loss + extra, (new_stats, metrics)

  def _advance(self, stats, r, s) -> dict:
    """D's stats once loss, network and augmentation have seen these scores."""
    r, s = jax.lax.stop_gradient((r, s))
    if LOSS in stats:
      stats = stats | {LOSS: self.loss.advance(r, s, stats[LOSS])}
    if hasattr(self.discriminator, 'advance'):
      stats = self.discriminator.advance(stats, r, s)
    if passes.AUGMENT in stats:
      new = self.augment.advance(r, stats[passes.AUGMENT])
      stats = stats | {passes.AUGMENT: new}
    return stats

  def g_loss(self, params, stats, opponent: Player, made, now: Round):
    """What G minimises.

    Args:
      params: of G, for the terms that have it pass; what the adversarial loss
        sees of G is `made`.
      stats: G's other collections, after the pass that made it.
      opponent: D, which stays as it is.
      made: what G made.
      now: the round; its real samples are for the losses that compare with
        them, for the others the compiler drops their pass.

    Returns:
      The loss, and (G's new stats, metrics).
    """
    judged, _ = self.judge_both(*frozen(opponent), made, now, chained=False)
    return self.g_total(params, stats, opponent, made, judged, now)

  def g_total(self, params, stats, opponent, made, judged, now):
    """`g_loss` as a function of the two passes of D that it looks at."""
    r, s = judged.on_real.logits, judged.on_fake.logits
    key = stream(now.key, LOSS)
    loss = self.loss.g_loss(r, s, carried(opponent.stats), key)
    view = self.g_view(params, stats, opponent, made, judged, now)
    extra, stats, metrics = terms_lib.add_up(self.of('g'), params, stats, view)
    return loss + extra, (stats, {'g_loss': loss + extra} | metrics)


def frozen(player: Player):
  """A player's parameters and statistics, through which no gradient flows."""
  return jax.lax.stop_gradient((player.params, player.stats))


def initial_player(network: nn.Module, sample, key) -> Player:
  """A network's first parameters and statistics, without an optimiser.

  Args:
    network: a Linen module.
    sample: what it takes beside labels, with a batch axis.
    key: a typed key.
  """
  labels = jnp.zeros(len(sample), jnp.int32)
  keys = {'params': key, 'noise': stream(key, 'noise')}
  variables = network.init(keys, sample, labels, train=True)
  stats, params = flax.core.pop(variables, 'params')
  return Player(params, stats, ())


def frozen_networks(terms: Mapping[str, Term]) -> dict[str, terms_lib.Frozen]:
  """The networks that terms use and nobody trains, by name."""
  return {
    name: network
    for term in terms.values()
    for name, network in term.frozen.items()
  }


def _untrained(terms: Mapping[str, Term]) -> dict:
  """Zeros in the place of frozen networks, for the shapes of what they give."""
  key = jax.random.key(0)
  zeros = lambda x: jnp.zeros(x.shape, x.dtype)
  return {
    name: jax.tree.map(zeros, jax.eval_shape(network.first, key))
    for name, network in frozen_networks(terms).items()
  }


def _features_of(game: Objective, shape, here) -> tuple[dict, dict]:
  """Shapes of D's features and of G's by name, of a sample at a stage."""

  def passed(key):
    now = Round(jnp.zeros((1, *here)), jnp.zeros(1, jnp.int32), START, key)
    d = initial_player(game.discriminator, jnp.zeros((1, *shape)), key)
    plain = game._replace(augment=None)
    judged = plain.judge(d.params, d.stats, now.real, now, 'real')[0]
    z = game.latents(key, 1)
    g = initial_player(game.generator, z, key)
    made = game.generate(g.params, g.stats, z, now)[0]
    return judged.features, made.features

  found = jax.eval_shape(passed, jax.random.key(0))
  return jax.tree.map(lambda x: x.shape, found)


def build(config, shape, classes: int) -> Objective:
  """The objective that a validated config describes.

  Args:
    config: the whole run's config.
    shape: of one sample.
    classes: number of classes given to the networks, 0 for none.

  Raises:
    UserError: for terms that do not go together.
  """
  network = functools.partial(networks.build, shape=shape, classes=classes)
  return Objective(
    generator=network(networks.GENERATORS, config.generator),
    discriminator=network(networks.DISCRIMINATORS, config.discriminator),
    loss=losses.build_loss(config.loss),
    terms=build_terms(config),
    latents=latents_of(config.latent),
    augment=ada.build(config.augment) or diff_augment.build(config.augment),
  )


def build_terms(config) -> dict[str, Term]:
  """The terms that a config turns on, of both players, by name.

  Raises:
    UserError: for terms that do not go together.
  """
  found = terms_lib.build(losses.PENALTIES, config, 'penalties')
  found |= terms_lib.build(tasks.TASKS, config, 'tasks')
  _check_classes(config, found)
  _check_entered(config, found)
  _check_aligned(config, found)
  return found


def _check_entered(config, terms: dict[str, Term]) -> None:
  """Refuses terms that take G by halves where it has none."""
  entering = [term.path for term in terms.values() if term.enters]
  name = config.generator.name
  if not entering or can_be_entered(networks.GENERATORS[name]):
    return
  able = [n for n, g in networks.GENERATORS.items() if can_be_entered(g)]
  raise UserError(
    f'config.{entering[0]} needs a generator that makes styles first and'
    f' pictures of them, and {name!r} does not: set config.generator.name ='
    f' {" or ".join(map(repr, able))}, or config.{entering[0]}.weight = 0.0.'
  )


def _check_aligned(config, terms: dict[str, Term]) -> None:
  """Refuses to compare maps of a moved picture with those of the picture."""
  for key in ('diff', 'ada'):
    moving = [name for name in config.augment[key] if name != 'color']
    for term in terms.values():
      if moving and {'features_fake', 'made'} <= term.reads:
        raise UserError(
          f"config.{term.path} compares D's maps of fakes with G's, pixel by"
          f' pixel, and config.augment.{key} has'
          f' {", ".join(map(repr, moving))}, which moves what D sees: set'
          f" config.augment.{key} to ('color',) or (), or"
          f' config.{term.path}.weight = 0.0.'
        )


def _check_classes(config, terms: dict[str, Term]) -> None:
  """Refuses terms of class logits where D has none."""
  reading = [
    term.path
    for term in terms.values()
    if term.reads & {'classes_real', 'classes_fake'}
  ]
  if not reading:
    return
  path, name = reading[0], config.discriminator.name
  able = [n for n, d in networks.DISCRIMINATORS.items() if tells_classes(d)]
  if name not in able:
    raise UserError(
      f'config.{path} needs a discriminator that says which class a sample is'
      f' of, and {name!r} does not: set config.discriminator.name ='
      f' {" or ".join(map(repr, able))}, or config.{path}.weight = 0.0.'
    )
  if not config.data.conditional:
    raise UserError(
      f'config.{path} needs classes, and the networks are given none: set'
      f' config.data.conditional = True, or config.{path}.weight = 0.0.'
    )


def latents_of(section) -> Callable:
  """(key, count) -> latent vectors, of `config.latent`."""
  draw = functools.partial(
    latent.draw, size=section.size, distribution=section.distribution
  )
  return lambda key, count: mesh.spread(draw(key, count))
