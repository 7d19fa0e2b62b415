"""Where the weights of feature networks come from. Nothing is downloaded.

A file that the user names (`config.metrics.weights`, or `--weights` of
`python -m gan_jax.metrics`) is told by its content; a file in the cache folder
by its name. Either is converted once and kept, as an .npz named by its hash.
"""

import fnmatch
import functools
import hashlib
import json
import logging
import pathlib
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import numpy as np

from gan_jax import convert, paths
from gan_jax.convert import files
from gan_jax.errors import UserError
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.inception import Inception
from gan_jax.networks.lpips import Lpips
from gan_jax.networks.vgg import Vgg16
from gan_jax.run.write import whole

log = logging.getLogger('gan_jax')


class Published(NamedTuple):
  """A file as it is published.

  Attributes:
    patterns: what its name in the cache folder matches.
    url: where it is published.
    sha256: how its hash begins; '' where no name or release says so.
  """

  patterns: tuple[str, ...]
  url: str
  sha256: str = ''


class Network(NamedTuple):
  """A network and the files it is made of.

  Attributes:
    kind: in `convert.KINDS`.
    parts: in `FILES`.
    purpose: what it is for, in the words of `config.metrics.names`; else the
      setting that asks for it.
  """

  kind: str
  parts: tuple[str, ...]
  purpose: str


class Loaded(NamedTuple):
  """A network with its weights.

  Attributes:
    module: a Flax module.
    variables: of the module, NumPy arrays.
    about: the file and its hash in words, for results.
    digest: the hash, SHA-256 of the file's bytes, in hex.
  """

  module: nn.Module
  variables: Any
  about: str
  digest: str


_LPIPS = 'https://github.com/richzhang/PerceptualSimilarity (lpips/weights/v0.1'
FILES = {
  'inception': Published(
    ('*inception*',),
    'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/'
    'pt_inception-2015-12-05-6726825d.pth',
    '6726825d',
  ),
  'vgg16': Published(
    ('vgg16*',),
    'https://download.pytorch.org/models/vgg16-397923af.pth',
    '397923af',
  ),
  'alexnet': Published(
    ('alexnet*',),
    'https://download.pytorch.org/models/alexnet-owt-7be5be79.pth',
    '7be5be79',
  ),
  'lpips_vgg': Published(
    ('lpips_vgg*', 'vgg.pth'), f'{_LPIPS}/vgg.pth; in the package lpips)'
  ),
  'lpips_alex': Published(
    ('lpips_alex*', 'alex.pth'), f'{_LPIPS}/alex.pth; in the package lpips)'
  ),
}
NETWORKS = {
  'inception': Network(
    'inception',
    ('inception',),
    'fid, kid, inception_score, precision_recall, density_coverage',
  ),
  'vgg16': Network(
    'vgg16',
    ('vgg16',),
    'frechet_vgg16, kid_vgg16, precision_recall_vgg16, density_coverage_vgg16;'
    ' config.tasks.lead.loss',
  ),
  'alexnet': Network('alexnet', ('alexnet',), 'a part of lpips_alex'),
  'lpips_vgg': Network(
    'lpips',
    ('vgg16', 'lpips_vgg'),
    'lpips_vgg, path_length; config.tasks.autoencode.loss,'
    ' config.tasks.lead.loss',
  ),
  'lpips_alex': Network(
    'lpips',
    ('alexnet', 'lpips_alex'),
    'lpips_alex; config.tasks.lead.loss',
  ),
}
_MODULES = {m.__name__: m for m in (Inception, Vgg16, AlexNet, Lpips)}
# Of the converted files; raised whenever variables are laid out anew.
_FORM = 1


def folder() -> pathlib.Path:
  """The cache folder: see `paths.cache`; GAN_JAX_WEIGHTS names another."""
  return paths.cache('weights')


def find(
  named: str = '', setting: str = 'config.metrics.weights (--weights)'
) -> dict[str, pathlib.Path]:
  """The files there are: keys of `FILES` to paths.

  Args:
    named: files, separated by commas; they come before the cache folder's.
    setting: which one names them, for sentences.

  Raises:
    UserError: a named file cannot be read, or is of no network that is known.
  """
  found = {}
  for part, published in FILES.items():
    inside = sorted(p for p in folder().glob('*') if p.is_file())
    for pattern in published.patterns:
      for path in inside:
        if fnmatch.fnmatch(path.name.lower(), pattern):
          found.setdefault(part, path)
  for text in filter(None, named.split(',')):
    path = paths.local(text, setting)
    found[_part(path)] = path
  return found


def _part(path: pathlib.Path) -> str:
  """Which of `FILES` a file is, by its arrays."""
  arrays = files.read(path)
  kinds = [name for name, prefix in convert.find(arrays) if not prefix]
  if 'lpips' in kinds:
    # The second layer has 128 channels in VGG-16, 192 in AlexNet.
    wide = np.size(arrays.get('lin1.model.1.weight', ())) == 128
    return 'lpips_vgg' if wide else 'lpips_alex'
  for kind in kinds:
    if kind in FILES:
      return kind
  raise UserError(
    f'{path} holds none of the feature networks {", ".join(FILES)}; its arrays'
    f' are {", ".join(list(arrays)[:4])}, ...: --mode=weights says which files'
    ' there are.'
  )


def load(
  name: str,
  named: str = '',
  setting: str = 'config.metrics.weights (--weights)',
  without: str = 'frechet_random, frechet_pixels',
) -> Loaded:
  """A feature network with its weights.

  Args:
    name: a key of `NETWORKS`.
    named: see `find`.
    setting: see `find`.
    without: what needs no weights, for sentences.

  Raises:
    UserError: if a file is missing or is not that network.
  """
  network, found = NETWORKS[name], find(named, setting)
  parts = [part for part in network.parts if part in found]
  missing = [part for part in network.parts if part not in found]
  heads = network.parts[-1]
  # A file of the whole of LPIPS needs no second one.
  if heads in found and missing and _is_whole(found[heads]):
    parts, missing = [heads], []
  if missing:
    raise UserError(
      f'The weights of {missing[0]} are missing: get {FILES[missing[0]].url}'
      f' and put it into {folder()}, or name the file by {setting};'
      f' --mode=weights lists all. What needs no weights: {without}.'
    )
  paths = [found[part] for part in parts]
  return _load(name, tuple(paths), tuple(p.stat().st_mtime_ns for p in paths))


def _is_whole(path) -> bool:
  return any(name.startswith('net.') for name in files.read(path))


@functools.lru_cache(maxsize=4)
def _load(name: str, paths: tuple[pathlib.Path, ...], times) -> Loaded:
  del times  # a file that was replaced is read anew
  digests = []
  for path in paths:
    with open(path, 'rb') as file:
      digests.append(hashlib.file_digest(file, 'sha256').hexdigest())
  digest = digests[0]
  if len(digests) > 1:
    digest = hashlib.sha256(''.join(digests).encode()).hexdigest()
  kept = folder() / 'converted' / f'{name}-{digest[:16]}-{_FORM}.npz'
  found = _read(kept)
  if found:
    module, variables = found
  else:
    arrays = {}
    for path in paths:
      arrays |= files.read(path)
    try:
      module, variables = convert.released(NETWORKS[name].kind, arrays)
    except UserError as error:
      where = ', '.join(map(str, paths))
      raise UserError(f'{where}: {error}') from None
    _keep(kept, module, variables)
  parts = NETWORKS[name].parts[-len(paths) :]
  about = '; '.join(map(_worded, parts, paths, digests))
  return Loaded(module, variables, about, digest)


def _worded(part: str, path: pathlib.Path, digest: str) -> str:
  """'vgg16.pth, sha256 397923af1234, the published file'."""
  text = f'{path.name}, sha256 {digest[:12]}'
  known = FILES[part].sha256
  if known and digest.startswith(known):
    return f'{text}, the published file'
  return f'{text}, not the published {known}' if known else text


def _about(module: nn.Module) -> dict:
  """A module as JSON: its class and fields, modules among them."""
  fields = [f for f in module.__dataclass_fields__ if f not in _FLAX]
  values = {f: getattr(module, f) for f in fields}
  return {'class': type(module).__name__} | {
    f: _about(v) if isinstance(v, nn.Module) else v for f, v in values.items()
  }


_FLAX = ('parent', 'name')  # fields that every module has


def _module(about: dict) -> nn.Module:
  """The module that `_about` described."""
  fields = {}
  for name, value in about.items():
    if isinstance(value, dict):
      value = _module(value)
    fields[name] = tuple(value) if isinstance(value, list) else value
  return _MODULES[fields.pop('class')](**fields)


def _keep(path: pathlib.Path, module, variables) -> None:
  """Writes the converted network, whole or not at all."""
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as scratch:
      np.savez(scratch, about=json.dumps(_about(module)), **flat)
  except OSError as error:
    log.info('%s is not kept (%s); it is converted anew.', path, error.strerror)


def _read(path: pathlib.Path):
  """(module, variables) of a file that `_keep` wrote; None if it is none."""
  if not path.exists():
    return None
  try:
    flat = files.read(path)
    module = _module(json.loads(str(flat.pop('about'))))
  except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
    log.warning('%s is converted anew, for it cannot be read: %s', path, error)
    return None
  return module, flax.traverse_util.unflatten_dict(flat, sep='/')


def report(named: str = '') -> str:
  """What is there, what is missing, what it is for and where it is published.

  Every file that is there is converted, so that a damaged or wrong one is
  found here.

  Args:
    named: see `find`.
  """
  found = find(named)
  lines = [
    f'Weights of feature networks in {folder()}',
    '(GAN_JAX_WEIGHTS names another folder; nothing is downloaded)',
  ]
  for name, network in NETWORKS.items():
    missing = [part for part in network.parts if part not in found]
    try:
      state = load(name, named).about
    except UserError as error:
      state = f'missing: {", ".join(missing)}' if missing else f'{error}'
    lines += ['', f'{name}: {state}', f'  for  {network.purpose}']
    own = network.parts[-1]
    published = FILES[own]
    lines.append(f'  from {published.url}')
    lines.append(f'  as   {" or ".join(published.patterns)}')
  lines += [
    '',
    'Formats: .pth and .pt (pickles are not executed), .safetensors, .npz,'
    ' .onnx.',
    'Without any: frechet_random, frechet_pixels; frechet_classifier with a'
    ' classifier of your own.',
  ]
  return '\n'.join(lines)
