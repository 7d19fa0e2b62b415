"""Bytes that a compiled step moves between a device's memory and its chip.

The compiler's own 'bytes accessed' takes what it keeps on the chip (on a TPU
in VMEM, `S(1)` in the text) for memory as well, and counts what is brought
there twice: of a DCGAN of 32 px on v5e:2x4 it has 349 MB, and 52 pass. So each
instruction's operands and results are counted here from the text, those that
lie in the device's memory alone, with the padding of their tiles.
"""

from gan_jax.plan.hlo import (
  KINDS,
  Array,
  Computation,
  Instruction,
  parse,
  to_come,
)

# These say where something is, and move nothing.
_NOTHING = (
  'parameter',
  'constant',
  'tuple',
  'get-tuple-element',
  'bitcast',
  'after-all',
  'partition-id',
  'replica-id',
)
# These read as much of their first operand as they give.
_PARTS = ('slice', 'dynamic-slice', 'gather')


def traffic(text: str) -> float:
  """Bytes read from and written to a device's memory in a step.

  A loop counts as one round, a branch as the one that moves most.

  Args:
    text: `compiled.as_text()`.
  """
  computations, entry = parse(text)
  found = {}

  def moved(name: str) -> float:
    if name not in found:
      inside = computations.get(name, {})
      found[name] = sum(
        _moved(line, inside, computations, moved) for line in inside.values()
      )
    return found[name]

  return moved(entry)


def _moved(line: Instruction, inside: Computation, computations, moved):
  """Bytes of one instruction."""
  operation = line.operation
  if operation in _NOTHING or operation.endswith('-done'):
    return 0.0
  if operation in ('while', 'call', 'async-start'):
    return sum(map(moved, line.called))
  if operation == 'conditional':
    return max(map(moved, line.called), default=0.0)
  operands = [inside[name].result for name in line.operands]
  if operation in ('copy-start', 'slice-start'):
    # Their results: (to, from, ...) and ((from), to, ...).
    to = line.result[operation == 'slice-start']
    read = to._replace(space=operands[0][0].space)
    return _bytes([to, read])
  if operation.removesuffix('-start') in KINDS:
    results = line.result
    if operation.endswith('-start'):
      results = to_come(operation.removesuffix('-start'), results)
    return sum(map(_bytes, operands)) + _bytes(results)
  if operation == 'fusion':
    return _fused(computations[line.called[0]], operands, line.result)
  return _fused(_as_fusion(line, operands), operands, line.result)


def _as_fusion(line: Instruction, operands) -> Computation:
  """An instruction as if it were fused, alone."""
  names = [f'operand {number}' for number in range(len(operands))]
  fused = {
    name: Instruction(operand, 'parameter', [str(number)], [])
    for number, (name, operand) in enumerate(zip(names, operands, strict=True))
  }
  return fused | {'alone': line._replace(operands=names)}


def _fused(fused: Computation, operands, result: list[Array]) -> float:
  """Bytes of a fusion: what it reads of each operand, and what it gives."""
  numbers = {
    name: int(line.operands[0])
    for name, line in fused.items()
    if line.operation == 'parameter'
  }
  read, written = 0.0, _bytes(result)
  for name, number in numbers.items():
    operand, uses = operands[number], _uses(fused, name)
    kinds = {use.operation for use, _ in uses}
    first = all(place == 0 for _, place in uses)
    if first and kinds and kinds <= set(_PARTS):
      parts = [use.result[0]._replace(space=0) for use, _ in uses]
      read += min(_bytes(parts), _bytes(operand))
    elif first and kinds == {'dynamic-update-slice'}:  # written in place
      updates = [fused[use.operands[1]].result for use, _ in uses]
      written -= max(0.0, _bytes(operand) - sum(map(_bytes, updates)))
    else:
      read += _bytes(operand)
  return read + max(0.0, written)


def _uses(fused: Computation, name: str) -> list[tuple[Instruction, int]]:
  """What reads a value, and as which operand; through bitcasts."""
  found = []
  for other, line in fused.items():
    for place, operand in enumerate(line.operands):
      if operand == name and line.operation == 'bitcast':
        found += _uses(fused, other)
      elif operand == name:
        found.append((line, place))
  return found


def _bytes(made: list[Array]) -> float:
  """Of the arrays that lie in the device's memory."""
  return sum(array.padded for array in made if not array.space)
