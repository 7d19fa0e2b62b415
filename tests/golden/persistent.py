"""Writes snapshots as StyleGAN's PyTorch versions do, from arrays by name.

A module of theirs is pickled as a call of a function of `torch_utils`, on a
dictionary with the text of a program and the module's state. The names that a
pickle calls stand in modules made up here, so that neither those packages nor
PyTorch are needed; with PyTorch there, its own tensors are written.
"""

import collections
import contextlib
import io
import pickle
import sys
import types

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
SOURCE = 'raise SystemExit("executed")'
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype('f') / 64


class Call:
  """An object whose pickle calls a function."""

  def __init__(self, function, *args):
    self.how = function, args

  def __reduce__(self):
    return self.how


def _stand_in(name):
  """Something that is pickled by its name alone."""
  module, _, own = name.rpartition('.')
  held = {'__module__': module, '__qualname__': own}
  return type(own, (dict,) if own == 'EasyDict' else (), held)


REBUILD = _stand_in('torch_utils.persistence._reconstruct_persistent_obj')
EASY = _stand_in('dnnlib.util.EasyDict')
PARAMETER = _stand_in('torch._utils._rebuild_parameter')
TENSOR = _stand_in('torch._utils._rebuild_tensor_v2')
STORAGE = _stand_in('torch.storage._load_from_bytes')
FLOATS = _stand_in('torch.FloatStorage')
OURS = (REBUILD, EASY)
PYTORCHS = (PARAMETER, TENSOR, STORAGE, FLOATS)


@contextlib.contextmanager
def importable(*stand_ins):
  """Puts them where pickling looks for them, and takes them away again."""
  before = dict(sys.modules)
  made = {}
  for thing in stand_ins:
    module = thing.__module__
    for name in (module.partition('.')[0], module):
      made.setdefault(name, types.ModuleType(name))
    setattr(made[module], thing.__qualname__, thing)
  sys.modules.update(made)
  try:
    yield
  finally:
    for name in made:
      del sys.modules[name]
    sys.modules.update({n: m for n, m in before.items() if n in made})


class _Storages(pickle.Pickler):
  """Writes a storage by its persistent id."""

  def persistent_id(self, obj):
    return obj if isinstance(obj, tuple) and obj[:1] == ('storage',) else None


def tensor(array, learned: bool):
  """A float32 array as the pickle of a tensor, its storage a stream in it."""
  array = np.asarray(array, 'f', order='C')
  file = io.BytesIO()
  pickle.dump(MAGIC, file, 2)
  pickle.dump(1001, file, 2)
  pickle.dump({'protocol_version': 1001, 'little_endian': True}, file, 2)
  own = ('storage', FLOATS, '94', 'cpu', array.size, None)
  with importable(*PYTORCHS):
    _Storages(file, 2).dump(own)
  pickle.dump(['94'], file, 2)
  file.write(array.size.to_bytes(8, 'little') + array.tobytes())
  strides = tuple(s // 4 for s in array.strides)
  storage = Call(STORAGE, file.getvalue())
  hooks = collections.OrderedDict()
  found = Call(TENSOR, storage, 0, array.shape, strides, False, hooks)
  return Call(PARAMETER, found, False, hooks) if learned else found


def module(kwargs, parameters=(), buffers=(), modules=(), **more):
  """A module of their persistent classes, with PyTorch's own attributes."""
  ordered = collections.OrderedDict
  state = {
    '_init_args': (),
    '_init_kwargs': kwargs,
    'training': False,
    '_parameters': ordered(parameters),
    '_buffers': ordered(buffers),
    '_non_persistent_buffers_set': set(),
    '_forward_hooks': ordered(),
    '_modules': ordered(modules),
    'act_gain': np.sqrt(2),
    'activation': 'lrelu',
    **more,
  }
  meta = dict(
    type='class',
    version=5,
    module_src=SOURCE,
    class_name='Network',
    state=state,
  )
  return Call(REBUILD, meta)


BUFFERS = ('w_avg', 'noise_const', 'resample_filter')


def network(arrays, told=None, make=tensor):
  """A network of nested modules.

  Args:
    arrays: by released name; each convolution gets a filter beside them.
    told: by the name of a module, what it was made with; '' of the whole.
    make: (array, whether it is learned) -> what is pickled for it.
  """
  told, tree = dict(told or {}), {}
  for name, array in arrays.items():
    *path, leaf = name.split('.')
    place = tree
    for part in path:
      place = place.setdefault(part, {})
    place[leaf] = array
    if leaf == 'weight' and np.ndim(array) == 4:
      place['resample_filter'] = FILTER
  for name in told:
    place = tree
    for part in filter(None, name.split('.')):
      place = place.setdefault(part, {})

  def built(place, path):
    own = {'_parameters': {}, '_buffers': {}, '_modules': {}}
    for name, value in place.items():
      if isinstance(value, dict):
        own['_modules'][name] = built(value, [*path, name])
      else:
        learned = name not in BUFFERS
        group = '_parameters' if learned else '_buffers'
        own[group][name] = make(value, learned)
    return module(told.get('.'.join(path), {}), *own.values())

  return built(tree, [])


def snapshot(file, networks, protocol=4, stand_ins=(*OURS, *PYTORCHS)):
  """Writes a snapshot.

  Args:
    file: open for writing.
    networks: by name, G, D, G_ema.
    protocol: of the pickle.
    stand_ins: for what of the names in it is not installed.
  """
  about = EASY(class_name='training.dataset', path='data.zip', use_labels=True)
  content = {'training_set_kwargs': about, 'augment_pipe': None, **networks}
  with importable(*stand_ins):
    pickle.dump(content, file, protocol)


def _tiny():
  """A G of 8 px, as a table of arrays for `rule.weights`."""
  sizes = {
    'mapping.w_avg': (2,),
    'mapping.fc0.weight': (2, 3),
    'mapping.fc0.bias': (2,),
    'synthesis.b4.const': (2, 4, 4),
  }
  for name, side, out, kernel in (
    ('b4.conv1', 4, 2, 3),
    ('b4.torgb', 0, 3, 1),
    ('b8.conv0', 8, 2, 3),
    ('b8.conv1', 8, 2, 3),
    ('b8.torgb', 0, 3, 1),
  ):
    name = f'synthesis.{name}'
    sizes[f'{name}.weight'] = (out, 2, kernel, kernel)
    sizes[f'{name}.bias'] = (out,)
    sizes[f'{name}.affine.weight'] = (2, 2)
    sizes[f'{name}.affine.bias'] = (2,)
    if side:
      sizes[f'{name}.noise_const'] = (side, side)
      sizes[f'{name}.noise_strength'] = ()
  rows = [dict(name=name, shape=shape) for name, shape in sizes.items()]
  return dict(seed=1, params=rows)


TINY = _tiny()
TINY_SAID = {'synthesis.b8.conv0': {'conv_clamp': None}}
