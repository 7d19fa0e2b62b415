"""The search for the latent vectors, or the w, that G makes pictures from.

See invert.py, the tool.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.data.source import Progress
from gan_jax.errors import UserError
from gan_jax.explore.latents import Inverted, digest, load
from gan_jax.explore.targets import Targets
from gan_jax.sampler import Chunks, at_once
from gan_jax.tasks.perceptual import squared

log = logging.getLogger('gan_jax')

_EVERY = 10  # iterations between two looks at how far it is

# Of StyleGAN2's projector, appendix D; parts of all iterations.
_RISE, _FALL, _NOISY = 0.05, 0.25, 0.75
_NOISE = 0.05  # of the deviation of w
_DRAWN = 2048  # w that the deviation is estimated by


def rate(done, lr: float):
  """The projector's rate after a part of the iterations.

  Args:
    done: in [0, 1].
    lr: the largest.
  """
  fall = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1.0 - done) / _FALL))
  return lr * fall * jnp.minimum(1.0, done / _RISE)


def noise(done):
  """The projector's noise as a part of the deviation of w, likewise."""
  return _NOISE * jnp.maximum(0.0, 1.0 - done / _NOISY) ** 2


class Search:
  """Looks for latent vectors or w, by batches.

  Args:
    restored: the run.
    sampler: its generator, at the run's step.
    near: the distance.
    settings: of the tool.

  Raises:
    UserError: if the generator has no w to look for.
  """

  def __init__(self, restored, sampler, near, settings):
    self._sampler, self._near, self._settings = sampler, near, settings
    latent = restored.config.latent
    self._size, self._in_w = latent.size, settings.space != 'z'
    self._bounded = latent.distribution == 'uniform' and not self._in_w
    if self._in_w and not sampler.style_shape:
      name = restored.config.generator.name
      raise UserError(
        f'--tool=invert:space={settings.space}: the generator of this run,'
        f" '{name}', has no w: choose space=z, or name a run of stylegan2 by"
        ' --workdir.'
      )
    shape = restored.run.load_data()['shape']
    self._chunks = Chunks(at_once(shape, settings.batch))
    state = sampler.variables(restored.state)
    self._generator = digest(state)
    self._variables = self._chunks.place((state, near.variables))
    n, lr = settings.iterations, settings.lr
    self._adam = optax.adam((lambda i: rate(i / n, lr)) if self._in_w else lr)
    if self._in_w:
      self._begin = jax.jit(sampler.truncated(0.0).styles)
      self._deviation = self._deviation_of_w()
    self._update = jax.jit(self._updated)
    self._measure = jax.jit(self._measured)
    self._make = jax.jit(self._made)

  def _made(self, variables, z, labels):
    """Pictures [n, H, W, C] at the data's size."""
    return self._sampler.enlarged(
      self._sampler.generate(variables[0], self._whole(z), labels)
    )

  def _whole(self, z):
    """What is looked for [n, ...] as a generator takes it: a w each layer."""
    if not self._in_w:
      return z
    return jnp.broadcast_to(z, (len(z), *self._sampler.style_shape))

  def _first(self, seeds, labels):
    """What each picture's search begins at."""
    z = self._sampler.latents(seeds)
    if not self._in_w:
      return z
    mean = self._begin(self._variables[0], *self._chunks.spread(z, labels))
    return mean[: len(seeds), : 1 if self._settings.space == 'w' else None]

  def _deviation_of_w(self):
    """The root of the mean squared distance of w from their mean."""
    sampler, seeds = self._sampler, range(_DRAWN)

    def squares(variables, z, labels):
      w = sampler.styles(variables, z, labels)[:, 0]
      return jnp.sum(jnp.square(w - jnp.mean(w, 0)), -1)

    z, labels = sampler.latents(seeds), sampler.labels(seeds)
    return jnp.sqrt(jnp.mean(jax.jit(squares)(self._variables[0], z, labels)))

  def _errors(self, variables, made, targets):
    """The distances and the mean squared errors of a batch, [n] each."""
    with jax.default_matmul_precision('highest'):
      distance = self._near.function(variables[1], made, targets)
    return distance, squared(made - targets)

  def _measured(self, variables, z, labels, targets):
    """The same of pictures as they are saved, without what no pixel shows."""
    made = jnp.clip(self._made(variables, z, labels), -1, 1)
    return self._errors(variables, made, targets)

  def _updated(self, variables, z, opt, labels, targets, keys, i):
    """Iteration i; no picture's depends on the others of its batch.

    `keys` are of each picture's noise, None without.
    """

    def loss(z):
      if keys is not None:
        z += self._noise(z, keys, i)
      made = self._made(variables, z, labels)
      distance, mse = self._errors(variables, made, targets)
      return jnp.sum(distance + self._settings.mse * mse)

    move, opt = self._adam.update(jax.grad(loss)(z), opt)
    z = optax.apply_updates(z, move)
    # G has met no other numbers.
    return (jnp.clip(z, -1, 1) if self._bounded else z), opt

  def _noise(self, z, keys, i):
    """What iteration i adds to w [n, k, numbers]."""
    scale = self._deviation * noise(i / self._settings.iterations)
    one = lambda key: jax.random.normal(jax.random.fold_in(key, i), z.shape[1:])
    return scale * jax.vmap(one)(keys)

  def pictures(self, z, labels) -> np.ndarray:
    """What G makes, [N, H, W, C] about in [-1, 1]."""
    rows = zip(self._chunks.of(z), self._chunks.of(labels), strict=True)
    return np.concatenate(
      [self._chunks(self._make, self._variables, *some) for some in rows]
    )

  def __call__(self, targets: Targets, file) -> Inverted:
    """The latent vectors of all targets, which the file has after each batch.

    Args:
      targets: N pictures.
      file: .npz; batches that it has of this very search are taken from it.
    """
    count, size = len(targets.rows), self._chunks.size
    parts = [slice(i, min(i + size, count)) for i in range(0, count, size)]
    keys = [self._key(targets, part) for part in parts]
    found = self._begun(file, keys, size, count)
    done = 0 if found is None else len(found.batches)
    if done:
      log.info('%d of %d pictures are there already.', len(found.z), count)
    steps = self._settings.iterations
    told = _told((len(parts) - done) * steps, count)
    for k in range(done, len(parts)):
      some = self._batch(
        targets, parts[k], keys[k], lambda i, k=k: told((k - done) * steps + i)
      )
      found = some if found is None else _joined(found, some)
      found.save(file)
    if done == len(parts):
      found.save(file)  # which may have had more pictures
    return found

  def _key(self, targets: Targets, part: slice) -> bytes:
    """A SHA-256 of all that a batch's latent vectors are made from."""
    settings, near = self._settings, self._near
    facts = [settings.iterations, settings.lr, settings.mse, settings.seed]
    facts += [near.name, near.about, part.start, self._chunks.size]
    facts += [settings.space]
    total = hashlib.sha256(json.dumps(facts).encode())
    total.update(self._generator.tobytes())
    total.update(targets.labels[part].tobytes())
    total.update(targets.pictures(part).tobytes())
    return total.digest()

  def _begun(self, file, keys, size: int, count: int) -> Inverted | None:
    """The batches that a file has of this search: the first ones."""
    if not file.exists():
      return None
    try:
      shape = self._sampler.style_shape
      found = load(file, self._size, shape, str(file))
    except UserError as error:
      log.warning('All pictures are inverted anew: %s', error)
      return None
    same = 0
    for key, kept in zip(keys, found.batches, strict=False):
      if kept.tobytes() != key:
        break
      same += 1
    n = min(same * size, count)
    if not same or len(found.z) < n:
      return None
    rows = (x[:n] for x in found[:5])
    return Inverted(*rows, found.batches[:same], found.generator)

  def _batch(self, targets, part: slice, key: bytes, told) -> Inverted:
    """One batch's; `told` hears how many iterations there have been."""
    n, settings = part.stop - part.start, self._settings
    seeds = settings.seed + np.arange(part.start, part.stop)
    first = self._first(seeds, targets.labels[part])
    z, labels, pictures, seeds = self._chunks.spread(
      first, targets.labels[part], targets.pictures(part), np.uint32(seeds)
    )
    keys = jax.vmap(jax.random.key)(seeds) if self._in_w else None
    opt = self._adam.init(z)
    for i in range(settings.iterations):
      z, opt = self._update(self._variables, z, opt, labels, pictures, keys, i)
      if (i + 1) % _EVERY == 0 or i + 1 == settings.iterations:
        jax.block_until_ready(z)
        told(i + 1)
    distance, mse = self._measure(self._variables, z, labels, pictures)
    return Inverted(
      np.asarray(self._whole(z))[:n],
      targets.labels[part],
      targets.rows[part],
      np.asarray(distance)[:n],
      np.asarray(mse)[:n],
      np.frombuffer(key, np.uint8)[None],
      self._generator,
    )


def _told(n: int, count: int) -> Callable:
  """What hears how many of n iterations there have been, and tells a person.

  Once, after some that nothing was compiled in, how long all of them take.
  """
  progress, seen = Progress(n, f'inverting {count} pictures, iterations'), []

  def told(done: int) -> None:
    progress(done)
    seen.append((done, time.monotonic()))
    if len(seen) == 3:
      steps, seconds = np.subtract(seen[2], seen[1])
      minutes = seconds / steps * (n - done) / 60
      if minutes > 1:
        log.info(
          'Some %.0f minutes; fewer with a smaller count= or iterations=. If'
          ' ended before, the same command goes on after the last whole batch.',
          minutes,
        )

  return told


def _joined(a: Inverted, b: Inverted) -> Inverted:
  """The pictures of both, which one generator makes."""
  rows = (np.concatenate(two) for two in zip(a[:-1], b[:-1], strict=True))
  return Inverted(*rows, a.generator)
