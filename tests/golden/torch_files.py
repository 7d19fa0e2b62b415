"""Writes torch_*: small files as PyTorch writes them, for tests/convert.

Run once with PyTorch 2.13, from the root: python -m tests.golden.torch_files
"""

import collections
import pathlib
import pickle

import torch

from tests.golden import persistent, rule

FOLDER = pathlib.Path(__file__).parent


def content():
  """Every way a tensor may lie in a file; 0, 1, 2, ... in each."""
  count = torch.arange(6.0).reshape(2, 3)
  network = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
  with torch.no_grad():
    for i, x in enumerate([*network.parameters(), *network.buffers()]):
      x.copy_(torch.full_like(x, i + 1))
  state = network.state_dict()  # with PyTorch's _metadata
  state['plain'] = count
  state['transposed'] = count.t()  # the same storage, other strides
  state['part'] = count[1, 1:]  # the same storage, an offset
  state['spread'] = torch.zeros(1).expand(4)  # a stride of 0
  state['scalar'] = torch.tensor(7.0)
  state['empty'] = torch.zeros(0, 3)
  state['parameter'] = torch.nn.Parameter(count + 1)
  for name in ('bfloat16', 'float16', 'float64', 'int64', 'uint8', 'bool'):
    state[name] = count.to(getattr(torch, name))
  return state


def network(shapes, norm):
  """The state dict of a narrow OSGAN network of rule weights, seed 1.

  Args:
    shapes: of its kernels by name, as PyTorch has them.
    norm: 'bn' or 'gn', for the layers of that name.
  """
  state = collections.OrderedDict()

  def put(name, shape, **options):
    state[name] = torch.from_numpy(rule.rule(name, shape, 1, 0.3, **options))

  for name, shape, outputs in shapes:
    put(f'{name}.weight', shape)
    put(f'{name}.bias', (outputs,))
    if norm[name]:
      put(f'{name}_{norm[name]}.weight', (outputs,), shift=1.0)
      put(f'{name}_{norm[name]}.bias', (outputs,))
    if norm[name] == 'bn':
      put(f'{name}_bn.running_mean', (outputs,))
      put(f'{name}_bn.running_var', (outputs,), positive=True)
      state[f'{name}_bn.num_batches_tracked'] = torch.tensor(9)
  return state


def osgan():
  """(G, D with group norm) of width 1, grey, latent size 3."""
  sizes = [3, 8, 4, 2, 1, 1]
  g = [
    (f'deconv{i + 1}', (*sizes[i : i + 2], 4, 4), sizes[i + 1])
    for i in range(5)
  ]
  sizes = [1, 1, 2, 4, 8, 1]
  d = [
    (f'conv{i + 1}', (sizes[i + 1], sizes[i], 4, 4), sizes[i + 1])
    for i in range(5)
  ]
  g_norm = {name: '' if name == 'deconv5' else 'bn' for name, *_ in g}
  d_norm = {name: 'gn' if name[-1] in '234' else '' for name, *_ in d}
  return network(g, g_norm), network(d, d_norm)


def onnx():
  """Writes torch_onnx.onnx: i, i + 1/8, i + 2/8, ... in the i-th array.

  Of two equal arrays the exporter would keep one.
  """

  class Net(torch.nn.Module):
    def __init__(self):
      super().__init__()
      conv, last = torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 1, 1)
      self.features = torch.nn.Sequential(conv, torch.nn.ReLU(), last)
      self.fc = torch.nn.Linear(4, 2)

    def forward(self, x):
      return self.fc(self.features(x).flatten(1))

  net = Net()
  for i, p in enumerate(net.parameters()):
    numbers = torch.arange(p.numel(), dtype=torch.float32) / 8 + i
    p.data = numbers.reshape(p.shape)
  file = FOLDER / 'torch_onnx.onnx'
  torch.onnx.export(net, torch.zeros(1, 1, 4, 4), file, dynamo=False)


def stylegan2():
  """Writes torch_stylegan2.pkl: a snapshot with PyTorch's own tensors."""

  def make(array, learned):
    tensor = torch.as_tensor(array)
    return torch.nn.Parameter(tensor, False) if learned else tensor

  own = rule.weights(persistent.TINY)
  net = persistent.network(own, persistent.TINY_SAID, make)
  with open(FOLDER / 'torch_stylegan2.pkl', 'wb') as file:
    persistent.snapshot(file, {'G_ema': net}, stand_ins=persistent.OURS)


def main():
  onnx()
  stylegan2()
  g, d = osgan()
  torch.save(g, FOLDER / 'torch_osgan_g.pth')
  torch.save(
    d, FOLDER / 'torch_osgan_d.pth', _use_new_zipfile_serialization=False
  )
  state = content()
  nested = {
    'g_ema': state,
    'optim': [
      {'lr': 1e-4, 'moments': collections.OrderedDict(m=state['plain'])}
    ],
    'epoch': 3,
    'note': 'text',
  }
  torch.save(nested, FOLDER / 'torch_zip.pth')
  torch.save(
    nested, FOLDER / 'torch_legacy.pth', _use_new_zipfile_serialization=False
  )
  with open(FOLDER / 'torch_pickle.pkl', 'wb') as file:
    pickle.dump(nested, file)
  # Types that have no storage of their own, which the old stream lacks.
  new = {n: torch.arange(3.0).to(getattr(torch, n)) for n in NEW}
  torch.save(new, FOLDER / 'torch_zip_types.pth')
  torch.save(torch.nn.Linear(1, 1), FOLDER / 'torch_module.pth')


NEW = ('uint16', 'float8_e4m3fn', 'float8_e5m2')

if __name__ == '__main__':
  main()
