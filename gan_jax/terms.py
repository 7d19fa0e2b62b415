"""Terms: what a player minimises beside the adversarial loss.

Gradient penalties, path length, decoders that D trains along, reconstructions
through the frozen opponent, alignment of features: one kind of object, for
either player. A term sees the passes of a step through a `View`; it may have
parameters of its own, which its player's optimiser trains, and values that it
carries from step to step.

Own parameters lie in `Player.params['terms'][name]`, carried values in
`Player.stats['terms'][name]`, so that stacking, messengers, sharding and
checkpoints treat them as the network's. Weight clipping, weight sharing and
running averages leave them alone.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.settings import INT32, Setting, Table, only_when
from gan_jax.state import stream
from gan_jax.view import View

TERMS = 'terms'  # the entry of params and the collection of stats

# What a term may read of a main pass. One with an update of its own makes its
# own passes; beside these a term may read 'opponent'. 'classes' are D's class
# logits.
OF_THE_PASS = frozenset(
  'scores_real scores_fake features_real features_fake classes_real'
  ' classes_fake made'.split()
)


def _settings(text: str) -> Table:
  """The settings that every term has, beside its own."""
  return {
    'weight': Setting(0.0, f'factor of {text}; 0.0: off', low=0.0),
    'every': Setting(
      1, 'at steps that this divides, times this', low=1, high=INT32
    ),
    'phase': Setting(
      'with',
      'in the update of the main loss, or in one of its own after it',
      choices=('with', 'after'),
    ),
  }


class Frozen(NamedTuple):
  """A network that a term uses and nobody trains; see `run/constants.py`.

  Attributes:
    first: key -> untrained variables, for their shapes.
    weights: files of it that the user names, as `convert.weights.load` takes
      them; `RANDOM` for the untrained ones.
    setting: which one names them, such as 'tasks.autoencode.weights'.
    without: flags with which a run does not need it.
  """

  first: Callable
  weights: str
  setting: str
  without: str


RANDOM = 'random'  # in place of files of weights, for tests


class Term(NamedTuple):
  """A term of one player's loss.

  Attributes:
    player: 'g' or 'd'.
    value: (own, view) -> the unweighted value, what is carried on, metrics.
    reads: what it looks at, 'opponent' or of `OF_THE_PASS`; schemes refuse what
      they cannot give.
    init: (view, key) -> own parameters, what is carried at first; None for a
      term without either. `view` is that of a batch of one sample.
    weight: factor.
    every: the term counts at steps that this divides, `every` times as much.
    phase: 'with' the main loss, or 'after' the player's last update of a step,
      in an update of its own, as StyleGAN2 has it.
    path: its section of a config, such as 'penalties.r1', for messages.
    check: (path, shape of D's samples, shapes of D's features by name, of G's)
      -> None, which raises a UserError for what it cannot work on; None if it
      takes all. Asked for each stage of a run, before anything compiles.
    frozen: networks that it finds among the view's constants, by name.
    enters: whether it takes G by halves, `styles` and `synthesise`; with a G
      that cannot be entered it is refused.
  """

  player: str
  value: Callable
  reads: frozenset = frozenset()
  init: Callable | None = None
  weight: float = 1.0
  every: int = 1
  phase: str = 'with'
  path: str = ''
  check: Callable | None = None
  frozen: Mapping[str, Frozen] = {}
  enters: bool = False

  @property
  def alone(self) -> bool:
    """Whether it sees nothing of the opponent, nor of a pass with it."""
    return not self.reads


class Kind(NamedTuple):
  """A kind of term that a config can name.

  Attributes:
    make: (**own settings) -> Term; or one of each player, which have weight,
      every and phase in common.
    text: what it is, as briefly as a table wants it.
    settings: its own, by name; weight, every and phase come on top.
  """

  make: Callable[..., Term | list[Term]]
  text: str
  settings: Table = {}


def settings(registry: Mapping[str, Kind]) -> Table:
  """The table of the section that chooses among kinds of terms."""
  return {
    name: only_when(_settings(kind.text) | kind.settings, weight=True)
    for name, kind in registry.items()
  }


def build(registry: Mapping[str, Kind], config, room: str) -> dict[str, Term]:
  """The terms that a section of a config turns on.

  Args:
    registry: kinds of terms by name.
    config: the whole run's.
    room: its section 'penalties' or 'tasks', in which a term has a section with
      its settings; a weight of 0.0 turns it off.

  Returns:
    By the name of their kind; of a kind with one for each player, of player and
    kind: 'd_ac_gan' and 'g_ac_gan'.

  Raises:
    UserError: if a term cannot have an update of its own.
  """
  found = {}
  for name, kind in registry.items():
    settings, path = dict(config[room].get(name, {})), f'{room}.{name}'
    weight = settings.pop('weight', 0.0)
    if not weight:
      continue
    every, phase = settings.pop('every', 1), settings.pop('phase', 'with')
    made = kind.make(**settings)
    parts = {name: made}
    if not isinstance(made, Term):
      parts = {f'{term.player}_{name}': term for term in made}
    for part, term in parts.items():
      term = term._replace(weight=weight, every=every, phase=phase, path=path)
      if phase == 'after' and term.reads & OF_THE_PASS:
        raise UserError(
          f"config.{path}.phase = 'after' cannot be: {name} reads"
          f' {", ".join(sorted(term.reads & OF_THE_PASS))}, which only the'
          f" update of the main loss has. Set config.{path}.phase = 'with'."
        )
      found[part] = term
  return found


def of(terms: Mapping[str, Term], player: str, phase: str) -> dict[str, Term]:
  """The terms of one player in one phase."""
  return {
    name: term
    for name, term in terms.items()
    if term.player == player and term.phase == phase
  }


def lazy(terms: Mapping[str, Term], player: str) -> int:
  """How seldom a player's 'after' terms come; 1 if it has none.

  Raises:
    UserError: if they have different rhythms: the optimiser is corrected for
      one.
  """
  late = of(terms, player, 'after').values()
  rhythms = {term.every for term in late}
  if len(rhythms) > 1:
    have = (f'config.{term.path}.every = {term.every}' for term in late)
    raise UserError(
      f"{' and '.join(have)}, but terms of one player with phase = 'after'"
      ' must have one rhythm: give them the same.'
    )
  return rhythms.pop() if rhythms else 1


def first(terms: Mapping[str, Term], view: View) -> tuple[dict, dict]:
  """The first own parameters and carried values of a player's terms.

  Args:
    terms: of one player.
    view: of a batch of one sample; its key is that of the initialisation.

  Returns:
    Entries for `params[TERMS]` and `stats[TERMS]`, by term; without those
    terms that have none.
  """
  own, kept = {}, {}
  for name, term in terms.items():
    seen = _named(view, name)
    params, carried = term.init(seen, seen.key) if term.init else ({}, {})
    if jax.tree.leaves(params):
      own[name] = params
    if jax.tree.leaves(carried):
      kept[name] = {'carried': carried}
    if term.every > 1:
      started = seen._replace(carried=carried)  # holds functions: closed over
      run = lambda own, term=term, name=name, seen=started: _logged(
        term, name, own, seen
      )
      last = jax.eval_shape(run, params)[1]
      zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), last)
      kept.setdefault(name, {})['last'] = zeros
  return own, kept


def add_up(terms: Mapping[str, Term], params, stats, view: View):
  """The weighted sum of terms, in the update of the main loss.

  Args:
    terms: of one player, in phase 'with'.
    params: of the player.
    stats: of the player.
    view: with the key of the update.

  Returns:
    A scalar; the player's stats with what the terms carry on; each term's
    unweighted value by name, with its other metrics. A term that is not due
    adds nothing, and its metrics are the last ones.
  """
  total, metrics, kept = jnp.float32(0.0), {}, dict(stats.get(TERMS, {}))
  for name, term in terms.items():
    own = params.get(TERMS, {}).get(name, {})
    value, kept_on, logged = _evaluate(term, name, own, kept.get(name), view)
    total += term.weight * term.every * value
    metrics |= logged
    if kept_on:
      kept[name] = kept_on
  return total, stats | {TERMS: kept} if kept else stats, metrics


def _evaluate(term: Term, name: str, own, kept, view: View):
  """A term's value if it is due, what is kept of it, its metrics."""
  kept = kept or {}
  seen = _named(view, name)._replace(carried=kept.get('carried', {}))

  def due(own, seen):
    (value, carried), logged = _logged(term, name, own, seen)
    new = {'carried': carried} if 'carried' in kept else {}
    if 'last' in kept:
      new['last'] = jax.lax.stop_gradient(logged)
    return value, jax.lax.stop_gradient(new), logged

  if term.every == 1:
    return due(own, seen)

  def not_due(own, seen):
    return jnp.float32(0.0), kept, kept['last']

  # Closed over, not passed: a View holds functions.
  return jax.lax.cond(
    view.at.step % term.every == 0,
    lambda: due(own, seen),
    lambda: not_due(own, seen),
  )


def _logged(term: Term, name: str, own, seen: View):
  """(value, carried), and the metrics, the value among them."""
  value, carried, metrics = term.value(own, seen)
  return (value, carried), {name: value, **metrics}


def _named(view: View, name: str) -> View:
  """A view with the streams of one term, in its passes too."""
  key = stream(view.key, name)
  again = lambda play: play._replace(now=play.now._replace(key=key))
  return view._replace(
    key=key,
    play=again(view.play),
    opponent=again(view.opponent),
    latents=functools.partial(view.latents, stream(key, 'z')),
  )


def after(
  terms: Mapping[str, Term], player, view_of, update, now, in_parts, meet
):
  """The updates that terms in phase 'after' have of their own.

  Each carries the network's and that term's own parameters only. Its gradient
  is taken inside the branch: outside, the branch would keep what it needs for
  it in every step.

  Args:
    terms: of one player, in phase 'after'.
    player: after the step's last update.
    view_of: (params, stats, round) -> View, whose `play` has those.
    update: (player, gradient, stats, own) -> player; `own` has the name of the
      term whose parameters move.
    now: the `passes.Round` of the step.
    in_parts: (part, params, carried, round) -> gradient, carried, metrics, of
      a function `part` of (carried, round, None); see schemes/accumulation.py.
    meet: what devices with other samples make together of a tree.

  Returns:
    The player, and the terms' metrics, of those not due the last ones.
  """
  metrics = {}
  for name, term in terms.items():
    loss = functools.partial(_late, name, term, view_of)

    def learn(player, loss=loss, name=name):
      stats = player.stats

      def part(kept, now, _):
        gradient, (kept, logged) = jax.grad(loss, has_aux=True)(
          player.params, kept, stats, now
        )
        return gradient, kept, logged

      kept = stats.get(TERMS, {}).get(name, {})
      gradient, new, logged = meet(in_parts(part, player.params, kept, now))
      if new:
        stats = stats | {TERMS: stats.get(TERMS, {}) | {name: new}}
      return update(player, gradient, stats, name), logged

    if term.every == 1:
      player, logged = learn(player)
    else:
      rest = lambda player, name=name: (
        player,
        player.stats[TERMS][name]['last'],
      )
      due = now.at.step % term.every == 0
      player, logged = jax.lax.cond(due, learn, rest, player)
    metrics |= logged
  return player, metrics


def _late(name: str, term: Term, view_of, params, kept, stats, now):
  """The loss of a term's own update, and (what it keeps, its metrics)."""
  own = params.get(TERMS, {}).get(name, {})
  seen = _named(view_of(params, stats, now), name)
  seen = seen._replace(carried=kept.get('carried', {}))
  (value, carried), logged = _logged(term, name, own, seen)
  new = {'carried': carried} if 'carried' in kept else {}
  if term.every > 1:
    new['last'] = logged
  return term.weight * term.every * value, (new, logged)


def network_only(tree):
  """A dictionary of params or stats without what terms added to it."""
  return {name: x for name, x in tree.items() if name != TERMS}


def keep_idle(new, old, active: frozenset[str]):
  """Undoes what an update did to own parameters of terms that had no part.

  Without a gradient Adam still moves by its momentum.

  Args:
    new: a tree with entries TERMS at any depth: parameters, or an optimiser's
      state for them.
    old: the same before the update.
    active: the terms that had a part.
  """

  def choose(path, new, old):
    keys = [getattr(k, 'key', getattr(k, 'name', None)) for k in path]
    if TERMS not in keys:
      return new
    return new if keys[keys.index(TERMS) + 1] in active else old

  return jax.tree_util.tree_map_with_path(choose, new, old)
