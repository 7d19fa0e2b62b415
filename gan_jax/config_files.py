"""Config files: which there are, and what one gives.

What a config holds is config.py's business.
"""

import ast
import contextlib
import importlib
import inspect
import pathlib
import re
import runpy
import sys
import zlib

import ml_collections

from gan_jax import paths
from gan_jax.errors import UserError, nearest


def name_of(spec: str) -> str:
  """The name of a run by its config and options, fit to be a folder's.

  Args:
    spec: 'FILE' or 'FILE:arg'. The order of the options does not matter.

  Returns:
    'x_n=5_test' for 'a/b/x.py:test,n=5'.
  """
  file, _, arg = spec.partition(':')
  words = [pathlib.Path(file).stem, *sorted(filter(None, arg.split(',')))]
  name = re.sub(r'[^A-Za-z0-9._=+-]', '-', '_'.join(words)).lstrip('.')
  if len(name) > 200:  # file systems take 255
    name = f'{name[:180]}-{zlib.crc32(name.encode()):08x}'
  return name or 'run'


def files(folder) -> dict[pathlib.Path, str]:
  """The config files in a folder, by name, and the first line of each."""
  found = {}
  for path in sorted(pathlib.Path(folder).glob('*.py')):
    try:
      tree = ast.parse(path.read_text('utf-8'))
    except (OSError, ValueError, SyntaxError):
      continue  # nothing that could be loaded
    if any(getattr(node, 'name', '') == 'get_config' for node in tree.body):
      found[path] = (ast.get_docstring(tree) or '').partition('\n')[0]
  return found


def _listing(folder: pathlib.Path) -> str:
  """The end of a sentence: what can be given to --config, a line each."""
  found = files(folder)
  if not found:
    return f'{folder} has no config: see configs/ of gan_jax for some.'
  width = max(len(path.name) for path in found)
  lines = (f'  {p.name:{width}}  {s}'.rstrip(' .') for p, s in found.items())
  return '\n'.join([f'{folder} has:', *lines])


def get_config(spec: str) -> ml_collections.ConfigDict:
  """What the function `get_config(arg)` of a file gives.

  Args:
    spec: 'FILE' or 'FILE:arg'. The file can import the modules of its own
      folder.

  Raises:
    UserError: if there is no such file, or it is no config.
  """
  if re.match('[A-Za-z0-9+.-]+://', spec):
    paths.local(spec, '--config')  # whose colon is not that of options
  name, _, arg = spec.partition(':')
  path = paths.local(name, '--config')
  if path.is_dir():
    raise UserError(
      f'--config={name} is a folder, not a file; {_listing(path)}'
    )
  if not path.exists():
    raise UserError(f'--config={name}: there is no such file; {_near(path)}')
  paths.regular(path, f'--config={name}', 'give the path of a config file')
  try:
    with _importable(path.resolve().parent):
      function = runpy.run_path(str(path)).get('get_config')
      config = _called(function, spec, arg) if callable(function) else None
  except UserError:
    raise
  except (Exception, SystemExit) as error:
    reason = ' '.join(str(error).split())
    raise UserError(
      f'--config={spec} failed to load: {type(error).__name__}: {reason}.'
    ) from error
  if not callable(function):
    raise UserError(
      f'--config={name} has no function get_config(arg), so that it is no'
      f' config: --config={path.parent} lists those there are.'
    )
  if type(config) is not ml_collections.ConfigDict:
    raise UserError(
      f'--config={name}: its get_config gives {_article(config)}, not a'
      ' ConfigDict: it should end in `return finish(config)` (gan_jax.config).'
    )
  return config


def _called(function, spec: str, arg: str):
  """The function's config, of the options if it takes any.

  Raises:
    UserError: if it takes none and there are some.
  """
  try:
    inspect.signature(function).bind(arg)
  except TypeError:
    if arg:
      raise UserError(
        f'--config={spec}: its get_config takes no options: write def'
        ' get_config(arg=...), or leave out what follows the colon.'
      ) from None
    return function()
  return function(arg)


def _article(value) -> str:
  """'nothing', 'a dict'."""
  kind = type(value).__name__
  if value is None:
    return 'nothing'
  return f'{"an" if kind[0].lower() in "aeiou" else "a"} {kind}'


def _near(path: pathlib.Path) -> str:
  """The end of a sentence on a file that is not there: what is."""
  folder = path.parent
  if not files(folder) and files('configs'):
    folder = pathlib.Path('configs')  # a bare name: 'quickstart'
  found = files(folder)
  stem = nearest(path.stem, [p.stem for p in found])
  if stem is None:
    return _listing(folder)
  # The names, not the paths: the folder's name makes all paths alike.
  path = next(p for p in found if p.stem == stem)
  return f'did you mean {path} ({found[path].rstrip(".")})?'


@contextlib.contextmanager
def _importable(folder: pathlib.Path):
  """Makes a folder's modules importable, and as if they never had been after.

  Two folders may have modules of one name. So one that is loaded from elsewhere
  is put aside, and what was imported from here is dropped at the end.
  """
  own = {p.stem for p in folder.glob('*.py') if not p.stem.startswith('__')}
  own -= sys.stdlib_module_names  # as ever: those that are loaded stay
  aside = {name: sys.modules.pop(name) for name in own & sys.modules.keys()}
  before = {name.partition('.')[0] for name in sys.modules}

  def is_from_here(name):
    file = getattr(sys.modules.get(name), '__file__', None)
    # A module, or a package's __init__; no deeper: an environment may be there.
    return bool(file) and folder in pathlib.Path(file).parents[:2]

  sys.path.insert(0, str(folder))
  importlib.invalidate_caches()  # a file may be younger than a glance at it
  try:
    yield
  finally:
    sys.path.remove(str(folder))
    new = {name.partition('.')[0] for name in sys.modules} - before
    new = {name for name in new if is_from_here(name)}
    for name in [n for n in sys.modules if n.partition('.')[0] in new]:
      del sys.modules[name]
    sys.modules.update(aside)
