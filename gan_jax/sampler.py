"""From seeds to samples: the one place where a trained generator is asked.

Grids, --mode=sample, metrics, path lengths, landscapes and local generators
all draw here, so seed k is the same latent vector, the same class and the same
noise in each of them.
"""

import copy
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax import ema
from gan_jax import mesh as mesh_lib
from gan_jax.errors import UserError
from gan_jax.experiment import Experiment
from gan_jax.networks.made import (
  can_be_mixed,
  has_levels,
  has_styles,
  picture,
)
from gan_jax.nn import latent
from gan_jax.settings import Setting
from gan_jax.state import TrainState

BATCH = 64  # samples of a pass that settles an average, if they fit
SETTLING = 256  # samples that settle it, in all
# StyleGAN, appendix B. Below 0 the opposite of a sample, above 1 more of it.
TRUNCATION = Setting(
  1.0,
  'psi, how much of the distance from the mean w is kept: 1 all of it, 0 none;'
  ' of generators with styles (stylegan2)',
  low=-2.0,
  high=2.0,
)


def at_once(shape, most: int) -> int:
  """How many samples are made or judged at a time: of 1024 px no more than 4.

  A network's maps of 64 pictures of 1024 px take 38 GB.

  Args:
    shape: of one sample of the data.
    most: of small ones.
  """
  if len(shape) != 3:  # points and text
    return most
  return max(1, min(most, 2**22 // (shape[0] * shape[1])))


class Sampler:
  """A run's generator, asked by seed.

  Args:
    config: of the run.
    experiment: what it means; it has a generator.

  Attributes:
    classes: that the generator takes; 0 without labels.
    resolution: side of the pictures, of a generator that grows; 0: the data's.
    gates: sides of the maps that other samples can scale, see `mixed`; () of
      most generators.
    style_shape: (layers, numbers of w) of a generator with styles, else ().
  """

  def __init__(self, config, experiment: Experiment):
    self._latent, self._name = config.latent, config.generator.name
    self._generator = experiment.objective.generator
    self._growth = experiment.growth
    self.classes = self._generator.classes
    self.resolution, self._alpha = 0, 1.0  # of a generator that grows
    self._cut = None  # (psi, cutoff), of one with styles
    # One object: one compilation for each resolution.
    self._compiled = jax.jit(self._generate, static_argnums=0)
    mixed = can_be_mixed(self._generator)
    self.gates = self._generator.gates if mixed else ()
    g = self._generator
    self.style_shape = (g.layers, g.style_size) if has_styles(g) else ()

  def at(self, step: int) -> 'Sampler':
    """The sampler of the state after `step` steps: at its level, as faded in.

    A generator without levels is the same at all steps.
    """
    if not has_levels(self._generator):
      return self
    now = copy.copy(self)
    now.resolution = self._growth.stage(step).resolution
    now._alpha = float(self._growth.time(step).alpha)
    return now

  def truncated(
    self, psi: float, cutoff: int | None = None, what: str = '--truncation'
  ) -> 'Sampler':
    """A sampler whose latent vectors give w nearer to the mean w.

    Args:
      psi: see `TRUNCATION`.
      cutoff: layers that are truncated, from 4 px upwards; None: all.
      what: the flag or option that psi is the value of, for sentences.

    Raises:
      UserError: if the generator has no styles, or psi is out of bounds.
    """
    if not self.style_shape:
      raise UserError(
        f"{what}={psi:g}: the generator of this run, '{self._name}', has no"
        ' mean w to come nearer to: leave it out, or name a run of stylegan2 by'
        ' --workdir.'
      )
    TRUNCATION.check('', psi, what)
    now = copy.copy(self)
    layers = self.style_shape[0] if cutoff is None else cutoff
    now._cut = np.float32(psi), np.int32(layers)
    return now

  def enlarged(self, samples):
    """Samples [N, ...] at the data's size: nearest neighbours, if they grow.

    Args:
      samples: as the sampler gives them; of NumPy or of JAX.
    """
    if not has_levels(self._generator):
      return samples
    times = self._generator.shape[0] // samples.shape[1]
    return samples.repeat(times, 1).repeat(times, 2)

  def latents(self, seeds) -> jax.Array:
    """A latent vector a seed [N, Z], which depends on that seed alone."""
    return latent.by_seed(seeds, self._latent.size, self._latent.distribution)

  def labels(self, seeds, label: int | None = None) -> jax.Array:
    """The class of each seed: `label`, or the classes in turn. int32 [N].

    Metrics take the data's own classes instead, see observe/scores.py.
    """
    if label is not None:
      return jnp.full(len(seeds), label, jnp.int32)
    return jnp.asarray(np.asarray(seeds) % max(self.classes, 1), jnp.int32)

  def variables(self, state: TrainState) -> dict:
    """What samples of a state are made with: the average, if there is one.

    Its batch statistics are made here, see `ema.settled`; not where it is
    still a copy of its network, as of one that was converted.
    """
    if state.ema is None:
      return state.pair.g.variables
    variables, live = state.ema.variables, state.pair.g.variables
    if ema.MEASURED not in variables or ema.is_copy(variables, live):
      return variables
    size = at_once(getattr(self._generator, 'shape', ()), BATCH)
    # The last seeds that there are: nobody asks for their samples.
    seeds = 2**32 - 1 - np.arange(max(SETTLING, size))
    chunks = (seeds[i : i + size] for i in range(0, len(seeds), size))
    level = self._at_level(self.resolution, self._alpha)
    train = functools.partial(_after_training_pass, *level)
    inputs = ((self.latents(part), self.labels(part)) for part in chunks)
    return ema.settled(variables, train, inputs)

  def generate(self, variables, z, labels) -> jax.Array:
    """Samples [N, ...] in inference mode: a pure function, to be traced.

    Every sample of every job comes from here, and all products in it are of
    float32's precision on every device. Of `networks.Scales` it is the picture.

    Args:
      variables: of one generator, as `variables` gives them.
      z: latent vectors [N, Z]; or w, as `styles` gives them.
      labels: int32 [N].
    """
    return picture(self._generate(*self._how, variables, z, labels))

  @property
  def _how(self):
    """Level, fade and truncation: the first arguments of `_generate`."""
    return self.resolution, self._alpha, self._cut

  def styles(self, variables, z, labels) -> jax.Array:
    """The w of each layer [N, layers, numbers], truncated: a pure function.

    Args:
      variables: as for `generate`.
      z: latent vectors [N, Z]; such w are given back as they are.
      labels: int32 [N].
    """
    return self._styles(self._cut, variables, z, labels)

  def _styles(self, cut, variables, z, labels):
    if z.ndim == 3:
      return z
    how = {} if cut is None else dict(truncation=cut[0], cutoff=cut[1])
    how |= dict(method='styles')
    return _in_use(self._generator, variables, z, labels, **how)

  def _generate(self, resolution: int, alpha, cut, variables, z, labels):
    if cut is not None or z.ndim == 3:
      styles = self._styles(cut, variables, z, labels)
      return self._synthesised(variables, styles)
    generator, level = self._at_level(resolution, alpha)
    return _in_use(generator, variables, z, labels, **level)

  def _synthesised(self, variables, styles):
    made = _in_use(self._generator, variables, styles, method='synthesise')
    return made.samples

  def _at_level(self, resolution: int, alpha):
    """The generator, and what its passes take beside the samples'."""
    generator = self._generator
    if not has_levels(generator):
      return generator, {}
    return generator.clone(resolution=resolution), dict(alpha=alpha)

  def _generate_each(self, resolution: int, alpha, cut, variables, z, labels):
    one = lambda own: self._generate(resolution, alpha, cut, own, z, labels)
    return jax.vmap(one)(variables)

  def made(self, variables, z, labels):
    """What the generator makes, as D takes it: [N, ...], or a tree of such."""
    return self._compiled(*self._how, variables, z, labels)

  def apply(self, variables, z, labels) -> jax.Array:
    """`generate`, compiled."""
    return picture(self.made(variables, z, labels))

  def mixed(self, where, variables, z, labels, others, other_labels):
    """Samples in the style of others, a pure function.

    Args:
      where: of a generator with styles the layers, from 0 at 4 px, whose w is
        that of the others; else those of `self.gates` that the low maps of the
        others drive. Elsewhere samples are themselves.
      variables: as for `generate`.
      z: of the samples, as for `generate`.
      labels: of the samples, int32 [N].
      others: of those that give the style, likewise.
      other_labels: int32 [N].

    Returns:
      [N, ...], as `generate` gives them.
    """
    if self.style_shape:
      own, other = (
        self.styles(variables, *pair)
        for pair in ((z, labels), (others, other_labels))
      )
      layers = np.isin(np.arange(self.style_shape[0]), where)[:, None]
      return self._synthesised(variables, jnp.where(layers, other, own))
    ask = functools.partial(_in_use, self._generator, variables)
    drivers = ask(others, other_labels, method='drivers')
    drivers = {side: drivers[side] for side in where}
    return picture(ask(z, drivers, labels, method='mixed'))

  def __call__(self, variables, seeds, label: int | None = None) -> jax.Array:
    """Samples of some seeds [N, ...], as many at a time as fit: `at_once`.

    Args:
      variables: as for `generate`.
      seeds: whole numbers below 2^32.
      label: see `labels`.
    """
    seeds = list(seeds)
    size = at_once(getattr(self._generator, 'shape', ()), len(seeds))
    parts = [seeds[i : i + size] for i in range(0, len(seeds), size)]
    made = [
      self.apply(variables, self.latents(part), self.labels(part, label))
      for part in parts
    ]
    return made[0] if len(made) == 1 else jnp.concatenate(made)

  def local(self, state: TrainState, seeds) -> jax.Array:
    """Samples [pairs, N, ...] of each local generator, on every host."""
    variables = state.local_pairs.g.variables
    on = jax.tree.leaves(variables)[0].sharding.mesh
    sample = jax.jit(
      self._generate_each,
      static_argnums=0,
      out_shardings=mesh_lib.replicated(on),
    )
    z, labels = self.latents(seeds), self.labels(seeds)
    return picture(sample(*self._how, variables, z, labels))


def _in_use(generator, variables, *inputs, train=False, **more):
  """A generator's pass, with the noise that all passes have.

  Args:
    generator: a network.
    variables: of it.
    *inputs: of the method.
    train: whether in training mode.
    **more: for `apply`, or the method.
  """
  # A seed gives one picture.
  rngs = {'noise': jax.random.key(0)}
  # Of latent vectors too: GPUs and TPUs would round them to three digits by
  # default, and a path length's two ends, 1e-4 apart, to one and the same.
  with jax.default_matmul_precision('highest'):
    return generator.apply(variables, *inputs, train=train, rngs=rngs, **more)


# Of the module: observers have samplers of their own, and compile it once.
@functools.partial(jax.jit, static_argnums=0)
def _after_training_pass(generator, level, variables, z, labels):
  """A generator's variables as a training pass leaves them."""
  moving = [name for name in variables if name != 'params']
  more = dict(train=True, mutable=moving, **level)
  return variables | _in_use(generator, variables, z, labels, **more)[1]


class Chunks:
  """Large numbers of rows, a chunk at a time, shared by this host's devices.

  Every chunk has the same number of rows, so that each function compiles once;
  a last, shorter one is filled up with copies of its first row.

  Args:
    at_least: rows of a chunk, all devices together.
    devices: to share them; None for all local ones.

  Attributes:
    size: rows of a chunk: the next even number that the devices divide, so
      that no pair of neighbours is parted.
  """

  def __init__(self, at_least: int, devices=None):
    mesh = mesh_lib.local(devices)
    self.size = -(-at_least // (2 * mesh.size)) * 2 * mesh.size
    self._apart = NamedSharding(mesh, P('data'))
    self._whole = mesh_lib.replicated(mesh)

  def of(self, rows, size: int = 0) -> Iterator:
    """Parts of something that can be sliced, `size` rows each or a chunk."""
    size = size or self.size
    return (rows[i : i + size] for i in range(0, len(rows), size))

  def place(self, variables):
    """A network's variables on all the devices, for the calls that follow.

    Args:
      variables: arrays that lie whole on every device of whatever mesh.
    """
    local = lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x
    return jax.device_put(jax.tree.map(local, variables), self._whole)

  def __call__(self, function: Callable, variables, *arrays):
    """What a compiled function of rows gives for one chunk.

    Args:
      function: (variables, arrays) -> [size, ...], each row from its own.
      variables: as `place` gives them.
      *arrays: [n, ...] with n <= size, or trees of such, as what it gives.

    Returns:
      [n, ...], of NumPy.
    """
    count = len(jax.tree.leaves(arrays)[0])
    found = function(variables, *self.spread(*arrays))
    return jax.tree.map(lambda x: np.asarray(x)[:count], found)

  def spread(self, *arrays):
    """Rows of one chunk on the devices, [n, ...] filled up to [size, ...].

    Args:
      *arrays: as for a call.
    """

    def filled(array):
      array = np.asarray(array)
      more = self.size - len(array)
      return np.concatenate([array, array[:1].repeat(more, 0)])

    return jax.device_put(jax.tree.map(filled, arrays), self._apart)
