"""Pictures to the latent vectors that G makes them from: back-tracking.

FastGAN, section 4.2: what G cannot be made to draw it has not learned. From a
random vector (`seed` + k for the k-th picture) Adam goes down the distance of
G's picture to the one wanted, `iterations` times; the noise within G is fixed.
As in the released code the loss is LPIPS at half the resolution + 0.2 times the
mean squared error. Without LPIPS's weights it is a mean squared error over
several scales; figure and numbers say which, and the two do not compare.

Of a generator with styles (stylegan2) space=w looks for one w of all layers,
space=w+ for one of each, which comes nearer and says less of what G can draw.
Both are StyleGAN2's projector (appendix D): it begins at the mean w, the rate
rises in the first twentieth and falls to 0 in the last quarter, and to w noise
is added that fades within three quarters. Not as there: the loss is the one
above, and the noise maps stay those of the run; the paper moves them too, held
back by a regulariser.

Beside the figure and the numbers there is an .npz of the latent vectors, which
`interpolate` and `mix` take by latents=FILE. It is written after each batch:
the same command goes on where a killed one was, with other options it begins
anew. The pictures are those that were held out of the run (data.held_out); or
split=..., or a folder of others, pictures=DIR.

The paper's Table 5, a run on nine tenths of the pictures and the mean LPIPS of
its inversions of all the others, is one command after the training with
--config.data.held_out=0.1:

  --mode=explore --workdir=DIR --tool=invert:count=0,distance=lpips_vgg

The paper does not say which LPIPS it has; its numbers, 1.8 to 2.9, are of
another scale than those of the published weights, which are below 1 or so.
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
from gan_jax.explore import asking, likeness, pairs
from gan_jax.explore import targets as targets_lib
from gan_jax.explore.latents import Inverted, digest, load
from gan_jax.explore.targets import Targets
from gan_jax.run.write import strict, whole
from gan_jax.sampler import Chunks, Sampler, at_once
from gan_jax.settings import INT32, Setting
from gan_jax.tasks.perceptual import squared

log = logging.getLogger('gan_jax')

SETTINGS = {
  **targets_lib.SETTINGS,
  'count': Setting(16, 'pictures; 0: all', low=0, high=INT32),
  'label': Setting(
    '', "class of all pictures, a name or number; '': their own"
  ),
  'iterations': Setting(1000, 'of each picture', low=1, high=10**6),
  'lr': Setting(0.1, "Adam's rate", above=0.0, high=100.0),
  'distance': Setting(
    'auto',
    'auto: lpips_vgg if its weights are there (--config.metrics.weights), else'
    ' pixels, a mean squared error over several scales',
    choices=likeness.NAMES,
  ),
  'mse': Setting(
    0.2, 'weight of the mean squared error beside it', low=0.0, high=1e6
  ),
  'space': Setting(
    'z',
    'of what is looked for: latent vectors, or of stylegan2 w or a w a layer',
    choices=('z', 'w', 'w+'),
  ),
  'seed': Setting(
    0,
    'the first picture begins at its latent vector; in w of the noise',
    low=0,
    high=2**31,
  ),
  'batch': Setting(8, 'pictures at a time, about', low=1, high=1024),
}

_EVERY = 10  # iterations between two looks at how far it is

# Of StyleGAN2's projector, appendix D; parts of all iterations.
_RISE, _FALL, _NOISY = 0.05, 0.25, 0.75
_NOISE = 0.05  # of the deviation of w
_DRAWN = 2048  # w that the deviation is estimated by


def run(restored, out, settings) -> None:
  """Writes <out>/invert_step_<step>.png, .json and .npz.

  Args:
    restored: a run that makes pictures.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asking.check_pictures(restored, 'invert')
  sampler = Sampler(restored.config, restored.experiment).at(restored.step)
  targets = targets_lib.wanted(restored, settings, sampler.classes, 'invert')
  shape, named = targets.source.shape, restored.config.metrics.weights
  near = likeness.open_likeness(settings.distance, named, shape)
  search = Search(restored, sampler, near, settings)
  stem = asking.place(out, restored, 'invert')
  found = search(targets, stem.with_name(f'{stem.name}.npz'))
  numbers = _numbers(restored, targets, near, found, settings)
  with whole(stem.with_name(f'{stem.name}.json')) as scratch:
    scratch.write_text(strict(numbers, 2) + '\n', encoding='utf-8')
  shown = slice(0, pairs.most(shape))
  figure = pairs.figure_of(
    targets.pictures(shown),
    search.pictures(found.z[shown], found.labels[shown]),
    [
      f'{k}: {a:.3g}, {b:.3g}'
      for k, (a, b) in enumerate(
        zip(found.distance[shown], found.mse[shown], strict=True)
      )
    ],
    _title(restored, targets, near, found, settings.space, shown),
  )
  with whole(stem.with_name(f'{stem.name}.png')) as scratch:
    figure.savefig(scratch, dpi=pairs.DPI)
  log.info(
    '%d pictures inverted at step %d: mean %s %.4g, mean squared error %.4g:'
    ' %s.png',
    len(found.z),
    restored.step,
    near.name,
    found.distance.mean(),
    found.mse.mean(),
    stem,
  )


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
    shape = self._sampler.style_shape
    return jnp.broadcast_to(z, (len(z), *shape)) if self._in_w else z

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


def _title(restored, targets, near, found, space: str, shown: slice) -> str:
  count, shown = len(found.z), len(found.z[shown])
  some = f'{count:,} pictures' + (
    f', of which {shown}' if shown < count else ''
  )
  return (
    f'step {restored.step:,}: target and reconstruction; {some} of'
    f' {targets.short}\n'
    f'{near.name} and mean squared error below each, {space}; mean'
    f' {found.distance.mean():.4g} and {found.mse.mean():.4g}'
  )


def _numbers(restored, targets, near, found, settings) -> dict:
  """The errors, and what they are of, as JSON has them."""
  rows = (x.tolist() for x in (found.pictures, found.distance, found.mse))
  return {
    'step': restored.step,
    'data': targets.words,
    'pictures': len(found.z),
    'distance': {'name': near.name, 'how': near.about},
    'loss': f'{near.name} + {settings.mse:g} MSE',
    'space': settings.space,
    'optimizer': f'adam, lr {settings.lr:g}',
    'iterations': settings.iterations,
    'seed': settings.seed,
    'mean': {
      'distance': float(found.distance.mean(dtype=np.float64)),
      'mse': float(found.mse.mean(dtype=np.float64)),
    },
    'each': [
      {'picture': i, 'name': name, 'distance': a, 'mse': b}
      for (i, a, b), name in zip(
        zip(*rows, strict=True), targets.names(), strict=True
      )
    ],
  }
