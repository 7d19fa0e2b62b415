"""TPU chips as published, and slices of a pod that nobody has to own."""

import importlib.util
import math
import os
import re
from typing import NamedTuple

import jax

from gan_jax.errors import UserError

GIB = 2**30


class Chip(NamedTuple):
  """What is published of a chip.

  Attributes:
    name: as in a topology's name.
    flops: a second at most, of bfloat16 products; XLA makes products of
      float32 arrays in bfloat16 too, unless a layer asks for more.
    memory: bytes of its HBM.
    bandwidth: bytes a second between HBM and chip.
    kinds: names that JAX has for a device of it.
    largest: chips of the largest slice.
    options: of the compiler's topology: a device is a chip, also where a chip
      has two cores.
  """

  name: str
  flops: float
  memory: int
  bandwidth: float
  kinds: tuple[str, ...]
  largest: int
  options: tuple[tuple[str, str], ...] = ()


# docs.cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, read in November 2026.
CHIPS = {
  chip.name: chip
  for chip in (
    Chip(
      'v4',
      275e12,
      32 * GIB,
      1200e9,
      ('TPU v4',),
      4096,
      (('chip_config_name', 'megacore'),),
    ),
    Chip('v5e', 197e12, 16 * GIB, 819e9, ('TPU v5 lite', 'TPU v5e'), 256),
    Chip('v5p', 459e12, 95 * GIB, 2765e9, ('TPU v5', 'TPU v5p'), 6144),
    Chip('v6e', 918e12, 32 * GIB, 1638e9, ('TPU v6 lite', 'TPU v6e'), 256),
  )
}

_NAME = re.compile(r'(\w+):(\d{1,4}(?:x\d{1,4}){1,2})')
_HOST = (2, 2, 1)  # chips of a host along each axis, in a slice of several


def chip_of(device) -> Chip | None:
  """The chip that a JAX device is, or None where nothing is published here."""
  kind = device.device_kind
  return next((chip for chip in CHIPS.values() if kind in chip.kinds), None)


def devices_of(topology: str) -> list:
  """The devices of a slice, to compile for: none of them is there.

  JAX's own backend becomes the CPU, so that no accelerator of this machine is
  taken. The compiler is that of the package `libtpu`.

  Args:
    topology: a chip and the slice's sides, 'v5e:4x4'; v4 and v5p have three.

  Raises:
    UserError: no such slice, or no compiler.
  """
  match = _NAME.fullmatch(topology)
  if not match or match[1] not in CHIPS:
    raise UserError(
      f'--topology={topology} is no slice: write a chip'
      f' ({", ".join(CHIPS)}) and the sides of the slice, such as v5e:4x4 or'
      ' v5p:2x2x2.'
    )
  chip, sides = CHIPS[match[1]], tuple(map(int, match[2].split('x')))
  if not 1 <= math.prod(sides) <= chip.largest:
    raise UserError(
      f'--topology={topology} has {math.prod(sides):,} chips, and a slice of'
      f' {chip.name} 1 to {chip.largest:,}: make it smaller.'
    )
  if importlib.util.find_spec('libtpu') is None:
    raise UserError(
      "--topology needs the TPU's compiler, which is not installed: pip install"
      " -e '.[tpu]' brings it; no TPU is needed."
    )
  return _described(topology, chip, (*sides, 1)[:3])


def _described(topology: str, chip: Chip, sides: tuple[int, ...]) -> list:
  from jax.experimental import topologies

  jax.config.update('jax_platforms', 'cpu')
  # libtpu looks for the machine that it is on; this need not be any.
  for name, value in dict(
    TPU_SKIP_MDS_QUERY='1',
    TPU_ACCELERATOR_TYPE='v5litepod-8',
    TPU_WORKER_HOSTNAMES='localhost',
    TPU_WORKER_ID='0',
    ALLOW_MULTIPLE_LIBTPU_LOAD='1',  # plans may be made side by side
  ).items():
    os.environ.setdefault(name, value)
  host = sides if math.prod(sides) < math.prod(_HOST) else _HOST
  try:
    return topologies.get_topology_desc(
      platform='tpu',
      topology_name=topology,
      chips_per_host_bounds=host,
      **dict(chip.options),
    ).devices
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).splitlines()[0].partition(': ')[2]
    raise UserError(
      f'--topology={topology} is no slice that the compiler knows ({reason}):'
      ' take sides that are even, such as v5e:2x4 or v5p:2x2x2.'
    ) from None
