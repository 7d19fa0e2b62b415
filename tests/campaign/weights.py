"""Files of weights, damaged, read as weights."""

import functools
import io
import json
import pickle
import random

import numpy as np

from gan_jax.convert import files
from tests.campaign import mutate
from tests.campaign.pool import ROOT, WrongError

GOLDEN = ROOT / 'tests' / 'golden'


def _safetensors(arrays) -> bytes:
  header, body = {}, b''
  for name, array in arrays.items():
    ends = [len(body), len(body) + array.nbytes]
    header[name] = dict(dtype='F32', shape=list(array.shape), data_offsets=ends)
    body += array.tobytes()
  text = json.dumps(header).encode()
  return len(text).to_bytes(8, 'little') + text + body


@functools.cache
def _good() -> list[tuple[str, bytes]]:
  """Good files of every format: suffix and content."""
  found = [(f.suffix, f.read_bytes()) for f in sorted(GOLDEN.glob('torch_*'))]
  arrays = {'a.weight': np.ones((3, 4), np.float32), 'b': np.zeros(5, '<f4')}
  out = io.BytesIO()
  np.savez_compressed(out, **arrays)
  tree = {'g_ema': {'w': arrays['b'], 'n': [1, 2.0, 'x']}}
  return [
    *(pair for pair in found if len(pair[1]) < 300_000),
    ('.npz', out.getvalue()),
    ('.safetensors', _safetensors(arrays)),
    *(('.pkl', pickle.dumps(tree, protocol)) for protocol in range(2, 6)),
  ]


# Opcodes of pickles that take memory, loop or call: beside the mutations.
_OPCODES = b'()]}.0123KMJUXVT\x80\x81\x85\x86\x87\x88\x8a\x8b\x8c\x8d\x8e\x90'
_OPCODES += b'\x93\x94\x95\x96ajhdegiloprstubcRQPBCIFGL'


def _program(draw) -> bytes:
  """A pickle of random opcodes, with numbers that announce much."""
  parts = [b'\x80\x04']
  for _ in range(draw.randint(1, 40)):
    parts.append(bytes([draw.choice(_OPCODES)]))
    if draw.random() < 0.4:
      parts.append(draw.choice((b'\xff\xff\xff\x7f', b'\1', b'a\n', b'9\n')))
  return b''.join(parts) + b'.'


def prepare(folder) -> None:
  """Nothing."""


def case(draw: random.Random, folder) -> str:
  """Reads a file of weights."""
  suffix, content = draw.choice(_good())
  if draw.random() < 0.15:
    suffix, content = '.pkl', _program(draw)
  elif draw.random() < 0.97:
    content = mutate.damaged(draw, content, draw.choice(_good())[1])
  if draw.random() < 0.1:
    suffix = draw.choice(('.pth', '.pkl', '.npz', '.safetensors', '.onnx'))
  file = folder / f'x{suffix}'
  file.write_bytes(content)
  arrays = files.read(file)
  for name, array in arrays.items():
    if not (isinstance(name, str) and isinstance(array, np.ndarray)):
      raise WrongError(f'{name!r} is {type(array)}')
    array.sum()  # its memory is there
  return f'{len(arrays)} arrays'
