"""Ensembles: N local pairs that train one global pair (SGAN).

Chavdarova and Fleuret 2018, Algorithm 1. One step:

  1. every local pair trains by itself, by any scheme;
  2. the local discriminators are cloned: the messengers;
  3. each messenger learns from the global generator G_0, as often as a local
     discriminator from its own;
  4. G_0 is updated once against all messengers;
  5. the global discriminator D_0 is updated once against all local generators.

Steps 2 and 3, and messengers that remember, are in messengers.py. Nothing flows
from the global pair to the local ones, which is why step 1 may come first for
all pairs at once: the pairs are one stacked pytree, trained a group at a time
(groups.py), and spread over the devices of the mesh axis `pair`.

Where the paper is silent (spec/sgan.md, section 2.2), `config.ensemble` says.
Statistics of G_0 and of D_0 move to the mean of what their N passes make of
them: the passes happen side by side, so none is the last. Terms of G_0 that see
nothing of an opponent are evaluated once, not N times; those of D_0 see the
real samples of a pair, and are evaluated with it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from gan_jax.data.pipeline import Batch
from gan_jax.objective import Objective
from gan_jax.optimizer import Optimizers
from gan_jax.passes import Round
from gan_jax.schemes import accumulation, sharing, updates
from gan_jax.schemes.dealing import Dealing, fold, round_of
from gan_jax.schemes.groups import Groups
from gan_jax.schemes.messengers import Messengers
from gan_jax.schemes.sharing import Shared
from gan_jax.state import At, Pair, Player, stream
from gan_jax.terms import TERMS, add_up

LOCAL = 'local'  # the axis of pairs that share layers, under vmap


def parts(settings) -> int:
  """How many parts of an ensemble devices can hold apart; 1 for no ensemble."""
  apart = settings.pairs and settings.g_updates == 'once'
  return settings.pairs if apart else 1


def build(config, objective, optimizers, scheme, z, sample):
  """The ensemble that a validated config describes, or None.

  Args:
    config: the whole run's.
    objective: the game.
    optimizers: the update rules of G and D.
    scheme: the module that trains the local pairs.
    z: a batch of latent vectors, of any size.
    sample: a batch of samples.
  """
  settings = config.ensemble
  if not settings.pairs:
    return None
  shared = sharing.choose(objective, z, sample, settings.weight_sharing)
  return Ensemble(
    objective,
    optimizers,
    scheme,
    config.scheme,
    settings,
    shared,
    config.train.accumulate,
  )


class Ensemble(NamedTuple):
  """Algorithm 1, a method a phase; `step` puts them together.

  `axis` is the mesh axis that a method's pairs are spread over, or None if it
  is given them all. Below, n is the number of pairs that a method is given.

  Attributes:
    objective: the game.
    optimizers: the update rules of G and D, local and global.
    scheme: trains the local pairs; a module of `schemes`.
    scheme_settings: `config.scheme`.
    settings: `config.ensemble`.
    shared: layers that local pairs share, or None.
    parts: of a minibatch, see accumulation.py.
  """

  objective: Objective
  optimizers: Optimizers
  scheme: Any
  scheme_settings: Any
  settings: Any
  shared: Shared | None = None
  parts: int = 1

  @property
  def d_steps(self) -> int:
    """I_D, updates of a discriminator a step."""
    return self.scheme.d_steps(self.scheme_settings)

  @property
  def dealing(self) -> Dealing:
    """Who is given which minibatches and keys."""
    return Dealing(self.settings, self.d_steps)

  @property
  def messengers(self) -> Messengers:
    """Steps 2 and 3."""
    return Messengers(
      self.objective,
      self.optimizers.d,
      self.settings,
      self.groups,
      self.d_steps,
      self.parts,
    )

  @property
  def groups(self) -> Groups:
    """How many pairs are worked on at a time."""
    return Groups(self.dealing.axes, self.settings.at_once)

  def first_pairs(self, z, sample, key) -> Pair:
    """The local pairs before the first step, stacked [N, ...].

    Args:
      z: a batch of latent vectors, of any size.
      sample: a batch of samples.
      key: the run's root key.
    """
    first = functools.partial(
      self.objective.first_pair, z, sample, self.optimizers
    )
    ids = jnp.arange(self.settings.pairs)
    pairs = jax.vmap(first)(fold(stream(key, 'locals'), ids))
    if not self.shared:
      return pairs
    tied = lambda player, names: player.replace(
      params=sharing.tie(player.params, names)
    )
    return Pair(tied(pairs.g, self.shared.g), tied(pairs.d, self.shared.d))

  def train_locals(self, pairs: Pair, batch: Batch, keys, now, axis=None):
    """Step 1: every pair by itself. Returns the pairs and metrics [n]."""
    rules = self.optimizers
    if self.shared:
      names = [name for name in (LOCAL, axis) if name]
      summed = self.settings.reduce == 'sum'
      rules = sharing.tied(rules, self.shared, names, summed)
    step = self.scheme.make_step(
      self.objective, rules, self.scheme_settings, self.parts
    )
    one = lambda pair, batch, key: step(pair, batch, now.at, key, now.constants)
    if not self.shared:
      return self.groups.map(one)(pairs, batch, keys)
    # Their shared layers meet in every update.
    return jax.vmap(one, self.dealing.axes, axis_name=LOCAL)(pairs, batch, keys)

  def g_gradient(self, g: Player, critics: Player, batch, keys, now, axis=None):
    """Step 4: G_0's gradient against all critics, its stats, metrics."""
    game = self.objective
    alone = {n: term for n, term in game.of('g').items() if term.alone}
    rest = {n: term for n, term in game.terms.items() if n not in alone}
    game = game._replace(terms=rest)

    def one(params, stats, critic, batch, key, z):
      now_n = round_of(batch, ..., now, key)
      made, stats = game.generate(params, stats, z, now_n)
      return game.g_loss(params, stats, critic, made, now_n)

    def by_itself(params, stats, key):
      critic = jax.tree.map(lambda x: x[0], critics)  # not looked at
      some = now.labels[: len(now.labels) // self.parts]
      own = now._replace(labels=some, key=key)
      view = game.g_view(params, stats, critic, None, None, own)
      return add_up(alone, params, stats, view)

    return self._gradient(
      one, g, critics, batch, keys, now, axis, by_itself if alone else None
    )

  def d_gradient(
    self, d: Player, generators: Player, batch, keys, now, axis=None
  ):
    """Step 5: D_0's gradient against all local generators, stats, metrics."""
    game = self.objective

    def one(params, stats, g, batch, key, z):
      now_n = round_of(batch, ..., now, key)
      made, _ = game.generate(g.params, g.stats, z, now_n)
      return game.d_loss(params, stats, g, made, now_n)

    return self._gradient(one, d, generators, batch, keys, now, axis)

  def _gradient(
    self, one, player, opponents, batch, keys, now, axis, by_itself=None
  ):
    """The gradient of reduced losses `one(params, stats, *with an opponent)`.

    `by_itself(params, stats, key)` is added to each loss.
    """
    summed = self.settings.reduce == 'sum'
    _, real, noise = self.dealing.axes
    draw = lambda key: self.objective.latents(key, len(now.labels))
    z = draw(keys) if noise is None else jax.vmap(draw)(keys)
    count = len(jax.tree.leaves(opponents)[0])

    def part(stats, samples, keys):
      (batch, z), (keys, key) = samples, keys
      with_one = lambda params, opponent, batch, drawn: one(
        params, stats, opponent, batch, *drawn
      )
      gradient, aux = self.groups.gradient(with_one)(
        player.params, opponents, batch, (keys, z)
      )
      own, more = {}, {}
      if by_itself:

        def alone(params):
          loss, *rest = by_itself(params, stats, key)
          return loss, rest

        slope = jax.grad(alone, has_aux=True)
        extra, (own, more) = slope(player.params)
        gradient = jax.tree.map(lambda x, y: x + count * y, gradient, extra)
      if not summed:
        gradient = jax.tree.map(lambda x: x / count, gradient)
      new, metrics = mean(aux, axis)
      if TERMS in own:
        new = new | {TERMS: new[TERMS] | own[TERMS]}
      return gradient, new, metrics | more

    gradient, stats, metrics = accumulation.accumulate(
      self.parts,
      part,
      player.params,
      player.stats,
      (batch, z),
      (keys, now.key),
      tuple(0 if shared is None else 1 for shared in (real, noise)),
    )
    if axis:
      gradient = (lax.psum if summed else lax.pmean)(gradient, axis)
    return gradient, stats, metrics

  def _after(self, role: str, player: Player, opponents, batch, now, axis):
    """See `updates.after`: against the first opponent, on all minibatches."""
    batch = self.dealing.together(batch)
    return updates.after(
      self.objective,
      role,
      getattr(self.optimizers, role),
      player,
      jax.tree.map(lambda x: x[0], opponents),
      now._replace(real=batch.image, labels=batch.label),
      axis and (lambda tree: lax.pmean(tree, axis)),
      self.parts,
    )

  def train_g(
    self, g: Player, critics: Player, kept, batch, keys, now, axis=None
  ):
    """Steps 2 to 4: messengers and G_0.

    Args:
      g: G_0.
      critics: the local discriminators.
      kept: messengers that remember, or None, see `Messengers.first`.
      batch: minibatches [n, I_D, ...], or [I_D, ...] if shared.
      keys: of the two phases, messengers and G_0.
      now: the step's time, constants and key.
      axis: see `Ensemble`.

    Returns:
      G_0, the messengers that remember, or None, and metrics.
    """
    if self.settings.messengers:
      critics = self.messengers.clones(critics, kept)
      critics = self.messengers.learn(g, critics, batch, keys[0], now)
      kept = None if kept is None else critics
    last = self.dealing.last(batch)
    gradient, stats, metrics = self.g_gradient(
      g, critics, last, keys[1], now, axis
    )
    g = self.optimizers.g.update(g, gradient, stats, now.at)
    g, more = self._after('g', g, critics, last, now, axis)
    return g, kept, metrics | more

  def train_g_each(self, g: Player, critics: Player, kept, batch, keys, now):
    """Steps 2 to 4 after each local pair's update (appendix A.2).

    G_0 meets the messenger of that pair alone, so N updates cost as much as
    one against all. Since local pairs know nothing of G_0, it is no matter
    that all of them have been updated by now.

    Args and returns as of `train_g`.
    """
    lift = lambda tree, axis: (
      jax.tree.map(lambda x: x[:, None], tree) if axis == 0 else None
    )
    _, real, noise = self.dealing.axes
    own = lift(critics, 0), lift(kept, 0), lift(batch, real), lift(keys, noise)

    def one(g, own):
      critic, own_kept, own_batch, own_keys = own
      g, own_kept, metrics = self.train_g(
        g,
        critic,
        own_kept,
        batch if real is None else own_batch,
        keys if noise is None else own_keys,
        now,
      )
      return g, (jax.tree.map(lambda x: x[0], own_kept), metrics)

    g, (kept, metrics) = lax.scan(one, g, own)
    return g, kept, mean(metrics)

  def step(
    self,
    pair: Pair,
    pairs: Pair,
    kept: Player | None,
    batch: Batch,
    at: At,
    key,
    constants,
    mesh=None,
  ):
    """Algorithm 1, one iteration.

    Args:
      pair: the global pair (G_0, D_0).
      pairs: the local pairs, stacked [N, ...].
      kept: messengers that remember, or None, see `Messengers.first`.
      batch: of `draws` minibatches.
      at: the time of the step.
      key: of the step.
      constants: frozen networks' variables by name.
      mesh: devices to spread the pairs over, along 'pair', which divides N;
        None for one.

    Returns:
      The global pair, the local pairs, messengers that remember, and metrics:
      the global pair's under the names that a pair's have, the local pairs'
      means as 'local_...'.
    """
    batch = self.dealing.by_pair(batch)
    ids = jnp.arange(self.settings.pairs)
    if mesh is None or mesh.shape['pair'] == 1:
      return self._step(pair, pairs, kept, batch, ids, at, key, constants)
    # What lies where is said, not left to the compiler: it would gather the
    # convolutions of all pairs. The axis 'data' stays the compiler's. Types
    # that vary over devices are not checked: they forbid the named axis LOCAL.
    spread = jax.shard_map(
      functools.partial(self._step, axis='pair'),
      mesh=mesh,
      in_specs=(
        P(),
        P('pair'),
        P('pair'),
        P('pair') if self.dealing.apart else P(),
        P('pair'),
        P(),
        P(),
        P(),
      ),
      out_specs=(P(), P('pair'), P('pair'), P()),
      axis_names={'pair'},
      check_vma=False,
    )
    return spread(pair, pairs, kept, batch, ids, at, key, constants)

  def _step(self, pair, pairs, kept, batch, ids, at, key, constants, axis=None):
    """An iteration of the pairs that one device has."""
    labels = batch.label.reshape(-1)[: batch.label.shape[-1]]
    now = Round(None, labels, at, stream(key, 'terms'), constants)
    for_locals, for_messengers, for_d = self.dealing.phases(batch)
    keys = lambda name: self.dealing.keys(key, name, ids)
    pairs, on_locals = self.train_locals(
      pairs, for_locals, keys('local'), now, axis
    )
    g_keys = keys('messenger'), keys('global g')
    each = self.settings.g_updates == 'each'
    train_g = (
      self.train_g_each if each else functools.partial(self.train_g, axis=axis)
    )
    g, kept, on_g = train_g(pair.g, pairs.d, kept, for_messengers, g_keys, now)
    gradient, stats, on_d = self.d_gradient(
      pair.d, pairs.g, for_d, keys('global d'), now, axis
    )
    d = self.optimizers.d.update(pair.d, gradient, stats, at)
    d, more = self._after('d', d, pairs.g, for_d, now, axis)
    on_locals = {
      f'local_{name}': value for name, value in mean(on_locals, axis).items()
    }
    return Pair(g, d), pairs, kept, on_d | more | on_g | on_locals


def mean(tree, axis=None):
  """The mean over the pairs: of the leading axis, and of the devices."""
  tree = jax.tree.map(lambda x: jnp.mean(x, 0).astype(x.dtype), tree)
  return lax.pmean(tree, axis) if axis else tree
