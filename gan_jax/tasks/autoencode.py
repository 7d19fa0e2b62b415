"""FastGAN's self-supervision: decoders draw what D saw from D's maps.

Liu et al. 2021, section 3.2 and Table 6 (c): D is an encoder too, and its maps
of real pictures have to tell the picture. A map is decoded whole, or a part of
it, which has to give the same part of the picture; both players' losses over
scores stay what they are. Targets are what D saw, augmented, at the decoder's
side by nearest neighbours.

The released code differs from the paper, and is the default where it does: a
third decoder (on the map of the small picture), a quadrant in place of a
rectangle of 1/8 of height and width, and LPIPS summed over the batch in place
of a plain norm (here by settings: it needs weights, and a sum changes its
weight with the batch). One part is drawn for a whole batch, as released.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.settings import Setting, field, of
from gan_jax.state import stream
from gan_jax.tasks import decoder, perceptual
from gan_jax.tasks.decoder import SMALLEST, WHOLE, Decoder, Window
from gan_jax.tasks.heads import check_maps
from gan_jax.terms import Kind, Term

Array = jax.Array

LPIPS = 'lpips_vgg'  # the frozen network's name


class Shown(NamedTuple):
  """A decoder's answer.

  Attributes:
    target: what it should have been, [N, s, s, C] in [-1, 1].
    picture: what it is, likewise.
  """

  target: Array
  picture: Array


@dataclasses.dataclass(frozen=True)
class Autoencode:
  """The term as a function of its settings."""

  whole: tuple = field(
    Setting(
      ('8', 'small_8'),
      "D's maps that are decoded whole, by name; the default is FastGAN's",
    )
  )
  part: tuple = field(Setting(('16',), 'maps of which a part is decoded'))
  crop: str = field(
    Setting(
      'quadrant',
      'the part: a quarter, as released, or a rectangle of 1/8 of height and'
      ' width anywhere, as in the paper',
      choices=('quadrant', 'eighth'),
    )
  )
  loss: str = field(
    Setting(
      'l1',
      'between picture and reconstruction, a mean over pixels; lpips, as'
      ' released, needs the weights of VGG-16',
      choices=('l1', 'mse', 'lpips'),
    )
  )
  reduction: str = field(
    Setting(
      'mean',
      'over the pictures of a batch; sum, as released, counts larger batches'
      ' more',
      choices=('mean', 'sum'),
    )
  )
  weights: str = field(
    Setting(
      '',
      "files of LPIPS, a comma between; '': those of the cache folder;"
      " 'random': untrained, for tests",
      when={'loss': ('lpips',)},
    )
  )

  @property
  def decoders(self) -> dict[str, str]:
    """The map of each decoder: 'whole_8', 'part_16'."""
    return {f'{how}_{name}': name for how, name in self._ways()}

  def _ways(self):
    for how in ('whole', 'part'):
      for name in getattr(self, how):
        yield how, name

  def check(self, path: str, shape, features, made) -> None:
    """See `terms.Term.check`."""
    if not self.decoders:
      raise UserError(
        f'config.{path} has nothing to decode: name maps of D by'
        f' config.{path}.whole or config.{path}.part, or set'
        f' config.{path}.weight = 0.0.'
      )
    for how in ('whole', 'part'):
      check_maps(f'{path}.{how}', getattr(self, how), shape, features)
    del made
    if self.loss == 'lpips':
      side = SMALLEST * 2 ** decoder.doublings_for(min(shape[:2]))
      setting = f'{path}.loss', 'lpips', "'l1' or 'mse'"
      perceptual.check(LPIPS, side, shape[2], *setting)

  def init(self, view, key):
    """See `terms.Term.init`: parameters and statistics of each decoder."""
    seen, own, carried = view.seen_real, {}, {}
    network = Decoder(
      seen.shape[-1], decoder.doublings_for(min(seen.shape[1:3]))
    )
    for name, feature in self.decoders.items():
      found = dict(
        network.init(
          stream(key, name), view.on_real.features[feature], train=True
        )
      )
      own[name], carried[name] = found.pop('params'), found
    return own, carried

  def reconstruct(
    self, own, carried, features, seen, key, *, train: bool
  ) -> tuple[dict[str, Shown], dict]:
    """What the decoders make of D's maps of some pictures.

    Args:
      own: the term's parameters.
      carried: the decoders' statistics.
      features: D's maps by name.
      seen: the pictures as D saw them, [N, H, W, C].
      key: of the parts.
      train: with batch statistics, and new ones of the decoders.

    Returns:
      By decoder its pictures, and their statistics after the pass.
    """
    shown, new = {}, {}
    for name, feature in self.decoders.items():
      x, params, stats = features[feature], own[name], carried[name]
      part, window = name.startswith('part_'), WHOLE
      if part:
        window = self._window(x.shape[1:3], stream(key, name))
        x = window.cut(x)
      # How many there are was settled at full size: a run that grows has the
      # same decoders at every stage.
      network = Decoder(
        seen.shape[-1], sum(layer.startswith('norm') for layer in params)
      )
      picture = network.apply(
        {'params': params, **stats},
        x,
        train=train,
        mutable=list(stats) if train else False,
      )
      picture, new[name] = picture if train else (picture, stats)
      target = window.picture(jax.lax.stop_gradient(seen), picture.shape[1])
      shown[name] = Shown(target, picture)
    return shown, new

  def _window(self, grid, key) -> Window:
    if self.crop == 'quadrant':
      return decoder.quadrant(grid, jax.random.randint(key, (), 0, 4))
    return decoder.eighth(grid, key)

  def distances(self, shown: Shown, constants) -> Array:
    """How far reconstructions are from their targets, [N].

    Args:
      shown: targets and reconstructions.
      constants: frozen networks' variables by name; LPIPS needs its own.
    """
    if self.loss == 'lpips':
      return perceptual.distance(LPIPS, constants, *shown)
    off = shown.picture - shown.target
    off = jnp.abs(off) if self.loss == 'l1' else jnp.square(off)
    return jnp.mean(off, (1, 2, 3))

  def value(self, own, view):
    """See `terms.Term.value`: the sum over the decoders."""
    shown, carried = self.reconstruct(
      own,
      view.carried,
      view.on_real.features,
      view.seen_real,
      view.key,
      train=True,
    )
    reduce = jnp.mean if self.reduction == 'mean' else jnp.sum
    total = sum(
      reduce(self.distances(one, view.constants)) for one in shown.values()
    )
    return total, carried, {}


def of_config(config) -> Autoencode | None:
  """The task that a run has, if it has it."""
  section = config.tasks.autoencode
  if not section.weight:
    return None
  return Autoencode(**{name: section[name] for name in of(Autoencode)})


def term(**settings) -> Term:
  """The term of D."""
  task, frozen = Autoencode(**settings), {}
  if task.loss == 'lpips':
    frozen = perceptual.frozen(
      LPIPS,
      task.weights,
      'tasks.autoencode.weights',
      '--config.tasks.autoencode.loss=l1',
    )
  return Term(
    'd',
    task.value,
    frozenset(['features_real']),
    task.init,
    check=task.check,
    frozen=frozen,
  )


AUTOENCODE = Kind(
  term, "how far D's decoders are from the real pictures", of(Autoencode)
)
