"""The smallest networks and terms that use every part of the contracts.

A generator that can be entered and grows from 4 to 8 pixels, a discriminator
that grows with it, and a term of each kind: gradients at real samples, path
length with a carried mean, a decoder with parameters of its own, a
reconstruction through the frozen generator, scores against their running means,
features against the generator's.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.networks import Judgement, Made, Start
from gan_jax.nn.levels import double, fade, reduce_to
from gan_jax.objective import Objective
from gan_jax.terms import Term

SHAPE, Z, WIDE = (8, 8, 1), 5, 6


def down(x):
  """[N, H, W, C] -> [N, H/2, W/2, C], means of 2 x 2."""
  return reduce_to(x, x.shape[1] // 2)


class Generator(nn.Module):
  """z -> styles [N, WIDE] -> 4 px, 8 px."""

  averages = ('mean_style',)
  enters_with = ('rgb', 'styles')

  shape: tuple = SHAPE
  classes: int = 0
  resolution: int = 0

  def setup(self):
    self.mapping = nn.Dense(WIDE)
    self.first = nn.Dense(4 * 4 * WIDE)
    self.second = nn.Dense(WIDE)
    self.rgb_4, self.rgb_8 = nn.Dense(1), nn.Dense(1)
    self.mean = self.variable('mean_style', 'mean', jnp.zeros, (WIDE,))

  def styles(self, z, labels=None, *, train):
    w = jnp.tanh(self.mapping(z))
    if train and not self.is_initializing():
      self.mean.value += 0.1 * (jnp.mean(w, 0) - self.mean.value)
    return w

  def synthesise(self, styles, start=None, *, train, alpha=1.0):
    del train
    if start is None:
      x = jnp.tanh(self.first(styles)).reshape(-1, 4, 4, WIDE)
      rgb = self.rgb_4(x)
    else:
      x, rgb = start.features, start.rgb
    features = {'4': x}
    if self.resolution == 4 and not self.is_initializing():
      return Made(rgb, features)
    x = jnp.tanh(self.second(double(x)) * (1 + styles[:, None, None, :]))
    features['8'] = x
    below = double(rgb)
    whole = self.rgb_8(x) + 0.5 * below
    return Made(fade(below, whole, alpha), features)

  def __call__(self, z, labels=None, *, train, alpha=1.0):
    styles = self.styles(z, labels, train=train)
    return self.synthesise(styles, train=train, alpha=alpha).samples


class Discriminator(nn.Module):
  """8 px, 4 px -> a logit."""

  per_sample = True

  shape: tuple = SHAPE
  classes: int = 0
  resolution: int = 0

  @nn.compact
  def __call__(self, x, labels=None, *, train, alpha=1.0):
    del labels, train
    whole = x.shape[1] == 8
    big, features = (x if whole else double(x)), {}
    # All levels' layers exist from the start, whichever are passed through.
    h8 = nn.leaky_relu(nn.Dense(WIDE, name='from_8')(big), 0.2)
    h8 = nn.leaky_relu(nn.Dense(WIDE, name='block_8')(h8), 0.2)
    small = down(x) if whole else x
    h = nn.leaky_relu(nn.Dense(WIDE, name='from_4')(small), 0.2)
    if whole:
      features['8'] = h8
      h = fade(h, down(h8), alpha)
    features['4'] = h
    h = jnp.tanh(nn.Dense(WIDE, name='block_4')(h)).reshape(len(x), -1)
    return Judgement(nn.Dense(1, name='score')(h)[:, 0], features)


def _dense(key, features_in, features_out):
  scale = features_in**-0.5
  return {'w': scale * jax.random.normal(key, (features_in, features_out))}


def path_length() -> Term:
  """Of G: lengths of gradients in style space near their running mean."""

  def value(own, view):
    z = view.latents(2)
    styles = view.play.styles(z)
    noise = jax.random.normal(view.key, (2, *view.play(z).samples.shape[1:]))
    inner = lambda w: jnp.sum(noise * view.play.synthesise(w).samples)
    length = jnp.sqrt(jnp.sum(jax.grad(inner)(styles) ** 2, -1) + 1e-8)
    mean = view.carried['mean']
    mean = mean + 0.1 * (jnp.mean(length) - mean)
    penalty = jnp.mean((length - mean) ** 2)
    return penalty, {'mean': mean}, {'length': jnp.mean(length)}

  start = lambda view, key: ({}, {'mean': jnp.float32(0.0)})
  return Term('g', value, init=start)


def decode() -> Term:
  """Of D: its map at 4 px tells the picture that it saw, at 4 px."""

  def value(own, view):
    seen = view.seen_real
    small = down(seen) if seen.shape[1] == 8 else seen
    return (
      jnp.mean((view.on_real.features['4'] @ own['w'] - small) ** 2),
      {},
      {},
    )

  def init(view, key):
    return _dense(key, view.on_real.features['4'].shape[-1], 1), {}

  return Term('d', value, frozenset(['features_real']), init)


def lead() -> Term:
  """Of D: the picture rebuilt by the frozen G from D's features."""

  def value(own, view):
    h = view.on_real.features['4']
    styles = jnp.mean(h, (1, 2)) @ own['style']['w']
    start = Start(4, h @ own['features']['w'], h @ own['rgb']['w'])
    rebuilt = view.opponent.synthesise(styles, start).samples
    return jnp.mean((rebuilt - view.real) ** 2), {}, {}

  def init(view, key):
    keys = jax.random.split(key, 3)
    return {
      'style': _dense(keys[0], WIDE, WIDE),
      'features': _dense(keys[1], WIDE, WIDE),
      'rgb': _dense(keys[2], WIDE, 1),
    }, {}

  reads = frozenset(['features_real', 'opponent'])
  return Term('d', value, reads, init)


def lecam() -> Term:
  """Of D: scores against running means of the other side's (LeCam)."""

  def value(own, view):
    r, s, old = view.scores_real, view.scores_fake, view.carried
    new = {
      'real': 0.9 * old['real'] + 0.1 * jnp.mean(r),
      'fake': 0.9 * old['fake'] + 0.1 * jnp.mean(s),
    }
    far = jnp.mean((r - old['fake']) ** 2) + jnp.mean((s - old['real']) ** 2)
    return far, new, {}

  zero = {'real': jnp.float32(0.0), 'fake': jnp.float32(0.0)}
  reads = frozenset(['scores_real', 'scores_fake'])
  return Term('d', value, reads, lambda view, key: ({}, zero))


def align() -> Term:
  """Of D: its map of the fakes tells G's (GGDR)."""

  def value(own, view):
    guess = view.on_fake.features['4'] @ own['w']
    return jnp.mean((guess - view.made.features['4']) ** 2), {}, {}

  reads = frozenset(['features_fake', 'made'])
  return Term(
    'd', value, reads, lambda view, key: (_dense(key, WIDE, WIDE), {})
  )


def terms(align_too=True) -> dict[str, Term]:
  """All of them, r1 and path length with updates of their own."""
  late = dict(phase='after', every=4)
  found = {
    'r1': losses.PENALTIES['r1'].make()._replace(weight=0.5, **late),
    'path_length': path_length()._replace(weight=0.3, **late),
    'decode': decode()._replace(weight=0.7),
    'lead': lead()._replace(weight=0.4),
    'lecam': lecam()._replace(weight=0.2),
  }
  if align_too:
    found['align'] = align()._replace(weight=0.6)
  return found


def latents(key, count):
  """[count, Z]."""
  return jax.random.normal(key, (count, Z))


def game(found=None, loss='non_saturating', augment=None) -> Objective:
  """The game of the two networks with some terms."""
  return Objective(
    Generator(),
    Discriminator(),
    losses.LOSSES[loss],
    terms() if found is None else found,
    latents,
    augment,
  )
