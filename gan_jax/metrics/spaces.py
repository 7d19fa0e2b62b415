"""Feature spaces: what turns pictures into the features that metrics compare.

| space | network | names of the metrics in it |
|---|---|---|
| inception | FID's Inception-v3, `pool_2048` | fid, kid, inception_score, ... |
| vgg16 | VGG-16, means of `relu5_3` over the picture | frechet_vgg16, ... |
| classifier | a classifier trained by this program | frechet_classifier, ... |
| stacked | the same of digits, on each channel | stacked_modes |
| random | fixed random convolutions, no weights | frechet_random, ... |
| lpips_vgg | LPIPS of pairs of pictures, on VGG-16 | lpips_vgg, path_length |
| lpips_alex | the same on AlexNet | lpips_alex |

Pictures go in as they would be saved, in 0..255. A space says which resizer it
uses and what its weights are, and every result repeats it: distances in two
spaces, or by two resizers, do not compare.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax import mesh as mesh_lib
from gan_jax.convert import weights
from gan_jax.errors import UserError
from gan_jax.metrics import resize
from gan_jax.networks import CLASSIFIERS
from gan_jax.nn.conv import conv

CHUNK = 32  # pictures at a time, all devices together
_RANDOM_WIDTHS = (64, 128, 256, 512)
_RANDOM_SIZE = 64
_VGG_SIZES = (64, 224)
_LPIPS_SIZES = (64, 256)


class Space:
  """A function from pictures to features, on all local devices.

  Attributes:
    name: a key of `SPACES`.
    resizer: how pictures reach the network's size.
    about: the weights, in words.
    digest: of the weights, in hex.

  Args:
    name: see above.
    resizer: see above.
    about: see above.
    digest: see above.
    variables: of `function`.
    function: (variables, pictures [N, H, W, 3] float32 in 0..255) ->
      {'features': [N, D]}, and 'logits' [N, K] where the network has classes;
      or {'distances': [N / 2]}, N even, of each even picture to the next one;
      or {'classes': [N]}.
    channels: of the pictures; grey ones are repeated to 3.
    devices: to share the pictures of a batch; None for all local ones.
  """

  def __init__(
    self,
    name: str,
    resizer: str,
    about: str,
    digest: str,
    variables: Any,
    function: Callable,
    channels: int = 3,
    devices=None,
  ):
    self.name, self.resizer = name, resizer
    self.about, self.digest = about, digest
    self._channels = channels
    mesh = mesh_lib.local(devices)
    # Even, so that no pair of pictures is parted.
    self._batch = -(-CHUNK // (2 * mesh.size)) * 2 * mesh.size
    whole, apart = mesh_lib.replicated(mesh), NamedSharding(mesh, P('data'))
    self._variables = jax.device_put(variables, whole)
    self._place = apart

    def extract(variables, pictures):
      # Three digits, the default of GPUs and TPUs, are too few.
      with jax.default_matmul_precision('highest'):
        return function(variables, pictures.astype(jnp.float32))

    self._extract = jax.jit(extract, out_shardings=whole)

  def __call__(self, pictures) -> dict[str, np.ndarray]:
    """Features and logits of pictures.

    Args:
      pictures: [N, H, W, C] in 0..255, uint8 or float, C in {1, 3}.

    Returns:
      {'features': [N, D] float32}, and 'logits' [N, K] in some spaces; or
      {'distances': [N // 2]}, a last picture without a partner left out; or
      {'classes': [N]}, whole numbers.
    """
    pictures = self._coloured(np.asarray(pictures))
    chunks = []
    for start in range(0, len(pictures), self._batch):
      chunk = pictures[start : start + self._batch]
      fill = np.zeros((self._batch - len(chunk), *chunk.shape[1:]), chunk.dtype)
      placed = jax.device_put(np.concatenate([chunk, fill]), self._place)
      out = jax.device_get(self._extract(self._variables, placed))
      rows = {k: len(v) * len(chunk) // self._batch for k, v in out.items()}
      chunks.append({k: v[: rows[k]] for k, v in out.items()})
    return {k: np.concatenate([c[k] for c in chunks]) for k in chunks[0]}

  def _coloured(self, pictures):
    if pictures.shape[-1] == self._channels:
      return pictures
    if pictures.shape[-1] == 1:
      return pictures.repeat(self._channels, -1)
    if self._channels == 1 and (pictures == pictures[..., :1]).all():
      return pictures[..., :1]  # grey, saved in colour
    raise UserError(
      f'The space {self.name} takes pictures of {self._channels} channel(s),'
      f' not of {pictures.shape[-1]}: choose another space.'
    )

  @property
  def facts(self) -> dict[str, str]:
    """What a result says of it."""
    return {'resizer': self.resizer, 'weights': self.about}


def _published(name, resizer, function, settings, devices) -> Space:
  """A space of a network whose weights are in a file.

  Args:
    name: of the space, and of the network in `weights.NETWORKS`.
    resizer: see `Space`.
    function: that of `Space`, but for the network's module in front.
    settings: see `open_space`.
    devices: see `Space`.
  """
  module, variables, about, digest = weights.load(name, settings.weights)
  function = functools.partial(function, module)
  return Space(
    name, resizer, about, digest, variables, function, devices=devices
  )


def _inception(settings, devices) -> Space:
  resizer = settings.resizer

  def function(module, variables, pictures):
    out = module.apply(variables, resize.for_inception(pictures, resizer))
    # Without their bias, as torch-fidelity and StyleGAN2-ADA have the score.
    return {'features': out['pool_2048'], 'logits': out['logits_unbiased']}

  resizer_in_words = f'{resizer} to 299 px'
  return _published('inception', resizer_in_words, function, settings, devices)


def _between(pictures, sizes: tuple[int, int]):
  """Pictures in [-1, 1], small ones enlarged, large ones reduced."""
  size = int(np.clip(max(pictures.shape[1:3]), *sizes))
  return resize.resize(pictures, size, 'antialiased_bicubic') / 127.5 - 1


def _vgg16(settings, devices) -> Space:
  """VGG-16 sees small pictures at 64 px, large ones at most at its own 224."""

  def function(module, variables, pictures):
    out = module.apply(variables, _between(pictures, _VGG_SIZES))
    return {'features': jnp.mean(out['relu5_3'], (1, 2))}

  resizer = 'antialiased_bicubic to {}-{} px'.format(*_VGG_SIZES)
  return _published('vgg16', resizer, function, settings, devices)


def _lpips(name: str, settings, devices) -> Space:
  """LPIPS between neighbours, pictures at 64 px at least, at most at 256."""

  def function(module, variables, pictures):
    x = _between(pictures, _LPIPS_SIZES)
    x = x.reshape(-1, 2, *x.shape[1:])
    return {'distances': module.apply(variables, x[:, 0], x[:, 1])}

  resizer = 'antialiased_bicubic to {}-{} px'.format(*_LPIPS_SIZES)
  return _published(name, resizer, function, settings, devices)


def _random(settings, devices) -> Space:
  """Four convolutions of stride 2 with He et al.'s first weights, seed 0.

  Random features tell distributions apart by colour, edges and texture, and
  need no file (Naeem et al. 2020, section 4, use a random VGG-16 for data that
  ImageNet's features do not fit).
  """
  del settings
  rng, kernels, channels = np.random.RandomState(0), [], 3
  for width in _RANDOM_WIDTHS:
    shape = (3, 3, channels, width)
    deviation = np.sqrt(2 / (9 * channels))
    kernels.append(np.float32(deviation * rng.standard_normal(shape)))
    channels = width

  def function(kernels, pictures):
    name = 'antialiased_bicubic'
    x = resize.resize(pictures, _RANDOM_SIZE, name) / 127.5 - 1
    for kernel in kernels:
      x = jax.nn.relu(conv(x, kernel, stride=2, padding=1))
    return {'features': jnp.mean(x, (1, 2))}

  return Space(
    'random',
    f'antialiased_bicubic to {_RANDOM_SIZE} px',
    'random convolutions, seed 0',
    _digest(kernels),
    kernels,
    function,
    devices=devices,
  )


def _judge(settings):
  """A classifier's newest checkpoint.

  Returns:
    (its network, its variables, a function (variables, pictures in 0..255) ->
    Judgement, its weights in words, their digest).
  """
  if not settings.classifier:
    raise UserError(
      'A metric in the space of a classifier needs one: train it'
      ' (configs/classifier_cifar.py, with --config.data.source of your'
      ' data) and name its folder by --config.metrics.classifier=DIR'
      ' (--classifier=DIR).'
    )
  run, config, experiment, step, state = settings.classifier
  network = experiment.objective.discriminator
  if not isinstance(network, tuple(CLASSIFIERS.values())):
    raise UserError(
      f'config.metrics.classifier = {str(run.path)!r} is the run of a GAN: name'
      ' the folder of a classifier (configs/classifier_cifar.py).'
    )
  height, width, _ = network.shape
  variables = jax.device_get(state.pair.d.variables)

  def function(variables, pictures):
    if pictures.shape[1:3] != (height, width):
      pictures = resize.resize(pictures, height, 'antialiased_bicubic')
    return network.apply(variables, pictures / 127.5 - 1, train=False)

  digest = _digest(jax.tree.leaves(variables))
  name = f'{config.discriminator.name} on {config.data.source}'
  about = f'{name}, step {step} of {run.path}, sha256 {digest[:12]}'
  return network, variables, function, about, digest


def _classifier(settings, devices) -> Space:
  """The last features before the logits of a classifier's newest checkpoint."""
  network, variables, judge, about, digest = _judge(settings)

  def function(variables, pictures):
    judged = judge(variables, pictures)
    last = list(judged.features.values())[-1]
    return {'features': jnp.mean(last, (1, 2)), 'logits': judged.logits}

  return Space(
    'classifier',
    f'antialiased_bicubic to {network.shape[0]} px',
    about,
    digest,
    variables,
    function,
    network.shape[2],
    devices,
  )


def _stacked(settings, devices) -> Space:
  """What a classifier of grey digits takes the channels for, 100a + 10b + c."""
  network, variables, judge, about, digest = _judge(settings)
  if (network.shape[2], network.classes) != (1, 10):
    raise UserError(
      'config.metrics.classifier: the modes of stacked digits are told by a'
      f' classifier of grey pictures in 10 classes, and this one, {about}, has'
      f' {network.classes} classes and {network.shape[2]} channel(s): train one'
      ' on the digits themselves.'
    )

  def function(variables, pictures):
    n, height, width, _ = pictures.shape
    apart = jnp.moveaxis(pictures, -1, 1).reshape(n * 3, height, width, 1)
    logits = judge(variables, apart).logits.reshape(n, 3, -1)
    return {'classes': jnp.argmax(logits, -1) @ jnp.array([100, 10, 1])}

  return Space(
    'stacked',
    f'antialiased_bicubic to {network.shape[0]} px',
    f'{about}, on each channel',
    digest,
    variables,
    function,
    devices=devices,
  )


def _digest(arrays) -> str:
  total = hashlib.sha256()
  for array in arrays:
    total.update(np.ascontiguousarray(array).tobytes())
  return total.hexdigest()


SPACES = {
  'inception': _inception,
  'vgg16': _vgg16,
  'classifier': _classifier,
  'stacked': _stacked,
  'random': _random,
  'lpips_vgg': functools.partial(_lpips, 'lpips_vgg'),
  'lpips_alex': functools.partial(_lpips, 'lpips_alex'),
}


# Those that ask the classifier of a run.
JUDGED = ('classifier', 'stacked')


def open_space(name: str, settings, devices=None) -> Space:
  """A space, its weights loaded.

  Args:
    name: a key of `SPACES`.
    settings: has `weights` and `resizer`, as `config.metrics`; and
      `classifier`, a run that `gan_jax.restore.restore` has opened (this room
      lies below it), or nothing.
    devices: see `Space`.

  Raises:
    UserError: if its weights are missing or are not its own.
  """
  return SPACES[name](settings, devices)
