"""Re-creates the weights and inputs of the reference numbers from their rule,
and puts weights in PyTorch's layouts into Flax's."""

import json
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def load(name):
  """The JSON and the arrays of one reference file."""
  about = json.loads((FOLDER / f'{name}.json').read_text())
  return about, np.load(FOLDER / f'{name}.npz')


def rule(name, shape, seed, scale=1.0, shift=0.0, positive=False):
  """The stated rule: a normal draw seeded by the parameter's name."""
  rng = np.random.default_rng(zlib.crc32(name.encode()) ^ seed)
  x = np.asarray(rng.standard_normal(tuple(shape))).astype(np.float32)
  x = x * np.float32(scale) + np.float32(shift)
  return np.abs(x) + np.float32(0.5) if positive else x


def image(name, shape, seed, low, amp):
  """The stated rule for pictures [N, C, H, W] in [-1, 1]."""
  n, c, h, w = shape
  a = rule(name + '/low', (n, c, low, low), seed, amp[0])
  a = a.repeat(-(-h // low), 2)[:, :, :h].repeat(-(-w // low), 3)[:, :, :, :w]
  return np.clip(a + rule(name + '/high', shape, seed, amp[1]), -1, 1)


def weights(net):
  """All parameters of a reference network, by their released names."""
  fields = ('scale', 'shift', 'positive')
  return {
    row['name']: rule(
      row['name'],
      row['shape'],
      net['seed'],
      **{k: row[k] for k in fields if k in row},
    )
    for row in net['params']
  }


def stored(about, arrays, case, name):
  """A reference output: the values kept, and the stride they were kept at."""
  out = about['cases'][case]['out'][name]
  if 'value' in out:
    return np.float32(out['value']), 1
  return arrays[f'out/{case}/{name}'], out.get('stride', 1)


def relative_error(ours, kept, stride):
  """L2 error relative to the reference, over the values that were kept."""
  ours = np.asarray(ours, np.float64).reshape(-1)[::stride]
  kept = np.asarray(kept, np.float64).reshape(-1)
  return np.linalg.norm(ours - kept) / np.linalg.norm(kept)


def gradient_errors(gradients, reference):
  """(error, tolerance scale) of the norm and of the probe per parameter.

  Args:
    gradients: by released name, in released layout.
    reference: {name: [norm, dot product with rule('probe/' + name)]}.
  """
  largest = max(norm for norm, _ in reference.values())
  rows = []
  for name, (norm, probe) in reference.items():
    g = np.asarray(gradients[name], np.float64)
    scale = max(norm, 1e-3 * largest)
    dot = np.sum(g * rule('probe/' + name, g.shape, 0))
    rows.append((name, abs(np.linalg.norm(g) - norm) / scale))
    rows.append((name, abs(dot - probe) / scale / 5))
  return rows
