"""OSGAN's released DCGAN parameters as our variables, and back."""

import numpy as np

# PyTorch: convolution [out, in, kh, kw], transposed [in, out, kh, kw] whose
# operation is the gradient of a correlation; ours [kh, kw, in, out].
CONV = (2, 3, 1, 0)
TRANSPOSED = (2, 3, 0, 1)


def _names(role, norm):
  """(released prefix, our module, axes) of the layers."""
  layers = []
  conv, kind, axes = (
    ('deconv', 'ConvTranspose', TRANSPOSED)
    if role == 'G'
    else ('conv', 'Conv', CONV)
  )
  for i in range(5):
    layers.append((f'{conv}{i + 1}', f'{kind}_{i}', axes))
  first = 1 if role == 'G' else 2
  ours = 'GroupNorm' if norm == 'gn' else 'BatchNorm'
  for i in range(first, 5):
    layers.append((f'{conv}{i}_{norm}', f'{ours}_{i - first}', None))
  return layers


def to_ours(arrays, role, norm='bn'):
  """Released arrays -> {'params': ..., 'batch_stats': ...}."""
  params, stats = {}, {}
  for released, module, axes in _names(role, norm):
    weight = arrays[f'{released}.weight']
    bias = arrays[f'{released}.bias']
    if axes:
      params[module] = {'kernel': np.transpose(weight, axes), 'bias': bias}
    else:
      params[module] = {'scale': weight, 'bias': bias}
      if norm == 'bn':
        stats[module] = {
          'mean': arrays[f'{released}.running_mean'],
          'var': arrays[f'{released}.running_var'],
        }
  return {'params': params} | ({'batch_stats': stats} if stats else {})


def to_released(params, role, norm='bn'):
  """Our parameters (or their gradients) under the released names."""
  arrays = {}
  for released, module, axes in _names(role, norm):
    layer = params[module]
    weight = layer['kernel'] if axes else layer['scale']
    if axes:
      weight = np.transpose(weight, np.argsort(axes))
    arrays[f'{released}.weight'] = np.asarray(weight)
    arrays[f'{released}.bias'] = np.asarray(layer['bias'])
  return arrays
