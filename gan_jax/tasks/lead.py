"""GLeaD: G sets D a task, to tell what rebuilds a picture through G.

Bai et al. 2023. A decoder behind D, and heads on it, tell of real pictures and
of fakes a map f at some side and one w; G, frozen as it is at that moment, goes
on from f, all its layers above modulated by w, and what it makes should look
like the picture (equations 3 to 7). Only D and the heads learn from it. f has
two parts: the basis, in place of the sum of pictures up to there, and the
residual, in place of G's map. The heads are linear 1x1 convolutions, that of w
followed by the mean over pixels; there is one for each thing that G looks at
where it is entered (`networks.made.can_be_entered`): StyleGAN2 at all three;
its residual form has no sum of pictures, and ProGAN, which has no w either,
goes on from its map alone.

Where the released code differs from the paper, settings have both; the defaults
are the paper's, `PRESETS` the released. Two things of the released code are
not here: in the lazy update of R1 it learns from real pictures once more, times
16; and its target is never augmented, while here it is what D saw.
"""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.networks.made import Start, picture
from gan_jax.nn import equalised as equal
from gan_jax.nn.levels import reduce_to
from gan_jax.settings import Setting, field, of
from gan_jax.state import stream
from gan_jax.tasks import align, perceptual, pyramid
from gan_jax.terms import Kind, Term

Array = jax.Array

# The paper's network, Table 5; those of the released scripts, of which FFHQ's
# is the one whose parameters the paper counts (Table 7).
PRESETS = {
  'paper': dict(resolution=32, decoder=0),
  'official_lsun': dict(resolution=32, decoder=64),
  'official_ffhq': dict(resolution=64, decoder=64),
}
ALONE = 1  # as a resolution: w alone, through all of G


class Entry(NamedTuple):
  """What D tells of a picture: where and how G goes on.

  Attributes:
    features: the residual part of f, [N, R, R, C]; None of w alone.
    rgb: its basis, [N, R, R, channels]; None if G does not look at it.
    styles: w, [N, size], for all layers; None if G does not look at it.
  """

  features: Array | None
  rgb: Array | None
  styles: Array | None


@dataclasses.dataclass(frozen=True)
class Lead:
  """The term as a function of its settings."""

  resolution: int = field(
    Setting(
      32,
      'side R at which G is entered, below that of pictures; 1: no map, w alone'
      ' and all of G (Table 3)',
      choices=(ALONE, pyramid.FIRST, *pyramid.SIDES),
    )
  )
  decoder: int = field(
    Setting(
      0,
      'side to which the decoder goes, R or more, then to R by means; 0: R, as'
      ' in the paper; released for LSUN: 64 with R = 32',
      choices=(0, *pyramid.SIDES),
    )
  )
  real: float = field(
    Setting(10.0, 'factor of real pictures (lambda 1); 0.0: none', low=0.0)
  )
  fake: float = field(
    Setting(
      3.0,
      "factor of fakes (lambda 2), with fake_target = 'features' 10 in the"
      ' paper; 0.0: none',
      low=0.0,
    )
  )
  fake_target: str = field(
    Setting(
      'picture',
      "of fakes: 'features': that f points the same way as G's own map, in"
      ' place of a reconstruction (with GGDR, "Ours*")',
      choices=('picture', 'features'),
    )
  )
  loss: str = field(
    Setting(
      perceptual.PIXELS,
      'between picture and reconstruction; lpips_alex, as released, lpips_vgg,'
      ' nearest to the paper, and vgg16, its features without learned heads,'
      ' need weights; pixels, a mean squared error over scales, stands in',
      choices=perceptual.NAMES,
    )
  )
  weights: str = field(
    Setting(
      '',
      "files of the weights, a comma between; '': those of the cache folder;"
      " 'random': untrained, for tests",
      when={'loss': tuple(perceptual.NETWORKS)},
    )
  )

  @property
  def _side(self) -> int:
    """Where the decoder ends; w alone is told from the map at 4 px."""
    alone = self.resolution == ALONE
    return self.decoder or (pyramid.FIRST if alone else self.resolution)

  @property
  def _compares_maps(self) -> bool:
    return bool(self.fake) and self.fake_target == 'features'

  def check(self, path: str, shape, features, made) -> None:
    """See `terms.Term.check`."""
    if not self.real and not self.fake:
      raise UserError(
        f'config.{path} rebuilds nothing: set config.{path}.real = 10.0 or'
        f' config.{path}.fake = 3.0, or config.{path}.weight = 0.0.'
      )
    if self.decoder and self.decoder < self.resolution:
      raise UserError(
        f'config.{path}.decoder = {self.decoder} ends below'
        f' config.{path}.resolution = {self.resolution}: set it to 0, or to'
        f' {self.resolution} or more.'
      )
    if self._compares_maps and self.resolution == ALONE:
      raise UserError(
        f"config.{path}.fake_target = 'features' compares maps, and"
        f' config.{path}.resolution = {ALONE} tells none: set it to 32, or'
        f" config.{path}.fake_target = 'picture'."
      )
    name = f'{path}.resolution'
    if self.resolution != ALONE:
      pyramid.check_entry(name, self.resolution, shape[0] // 2, made)
    setting = f'{path}.decoder' if self.decoder else name
    pyramid.check(setting, self._side, shape, features)
    how, instead = f'{path}.loss', repr(perceptual.PIXELS)
    perceptual.check(self.loss, *shape[1:], how, self.loss, instead)

  def init(self, view, key):
    """See `terms.Term.init`: `up_SIDE` of the decoder, and the heads."""
    maps, sizes = view.on_real.features, self._sizes(view)
    decoder = pyramid.Pyramid(pyramid.as_wide_as(maps, self._side))
    x, own = decoder.init_with_output(stream(key, 'decoder'), maps)
    heads = Heads(sizes).init(stream(key, 'heads'), x)['params']
    return own.get('params', {}) | heads, {}

  def _sizes(self, view) -> dict[str, int]:
    """The channels of each head, by name."""
    looks_at = view.opponent.game.generator.enters_with
    told = lambda: view.opponent.styles(view.latents(1))
    styles = {'styles': jax.eval_shape(told).shape[-1]}
    if self.resolution == ALONE:
      return styles
    sizes = {'features': view.made.features[str(self.resolution)].shape[-1]}
    if 'rgb' in looks_at:
      sizes['rgb'] = picture(view.seen_real).shape[-1]
    return sizes | styles if 'styles' in looks_at else sizes

  def encode(self, own, features) -> Entry:
    """What D tells of pictures.

    Args:
      own: the term's parameters.
      features: D's maps by name.
    """
    x = pyramid.of(own).apply({'params': own}, features)
    if self.resolution != ALONE:
      # Heads are linear and look at one pixel: means before them are, at fewer
      # pixels, what means behind them would be.
      x = reduce_to(x, self.resolution)
    sizes = {name: own[name]['bias'].size for name in HEADS if name in own}
    return Entry(**Heads(sizes).apply({'params': own}, x))

  def rebuild(self, entry: Entry, synthesise):
    """The pictures [N, S, S, C] that G makes of what D tells.

    Args:
      entry: see `encode`.
      synthesise: (styles, start) -> `networks.Made`, the second half of a pass
        of G, such as that of `passes.GeneratorPass`.
    """
    start = None
    if entry.features is not None:
      start = Start(self.resolution, entry.features, entry.rgb)
    return picture(synthesise(entry.styles, start).samples)

  def value(self, own, view):
    """See `terms.Term.value`: both parts, times their factors."""
    total, metrics = jnp.float32(0.0), {}
    sides = {
      'real': (self.real, view.on_real, view.seen_real),
      'fake': (self.fake, view.on_fake, view.seen_fake),
    }
    for which, (factor, judged, seen) in sides.items():
      if not factor:
        continue
      entry = self.encode(own, judged.features)
      if which == 'fake' and self._compares_maps:
        maps = view.made.features[str(self.resolution)]
        off, how = align.cosine_distance(entry.features, maps), 'cosine'
      else:
        # Its own noise for each of the two.
        key, g = stream(view.key, which), view.opponent
        g = g._replace(now=g.now._replace(key=key))
        target = jax.lax.stop_gradient(picture(seen))
        off = perceptual.distance(
          self.loss,
          view.constants,
          target,
          self.rebuild(entry, g.synthesise),
        )
        how = self.loss
      metrics[f'lead_{which}_{how}'] = off = jnp.mean(off)
      total += factor * off
    return total, {}, metrics

  @property
  def reads(self) -> frozenset:
    """See `terms.Term.reads`."""
    found = {'opponent'}
    found |= {'features_real'} if self.real else set()
    found |= {'features_fake'} if self.fake else set()
    return frozenset(found | ({'made'} if self._compares_maps else set()))


HEADS = Entry._fields


class Heads(nn.Module):
  """A map to what G is entered with.

  Attributes:
    sizes: channels of each head, by its name in `HEADS`.
  """

  sizes: dict[str, int]

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array | None]:
    """[N, R, R, C] -> the fields of an `Entry`."""
    told = dict.fromkeys(HEADS)
    for name, width in self.sizes.items():
      told[name] = equal.Conv(width, 1, gain=1.0, name=name)(x)
    if told['styles'] is not None:
      told['styles'] = jnp.mean(told['styles'], (1, 2))
    return told


def of_config(config) -> Lead | None:
  """The task that a run has, if it has it."""
  section = config.tasks.lead
  if not section.weight:
    return None
  return Lead(**{name: section[name] for name in of(Lead)})


def term(**settings) -> Term:
  """The term of D."""
  task = Lead(**settings)
  frozen = perceptual.frozen(
    task.loss,
    task.weights,
    'tasks.lead.weights',
    f'--config.tasks.lead.loss={perceptual.PIXELS}',
  )
  return Term(
    'd',
    task.value,
    task.reads,
    task.init,
    check=task.check,
    frozen=frozen,
    enters=True,
  )


LEAD = Kind(
  term,
  'how far pictures are from what G, frozen, makes of what D tells of them'
  ' (GLeaD)',
  of(Lead),
)
