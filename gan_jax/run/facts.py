"""What a run writes down of its data and past, and whether a file has it."""

import json

from gan_jax.state import Stage


def facts_of(source) -> dict:
  """What a run keeps of its data, in data.json."""
  facts = {
    'source': source.name,
    'count': len(source),
    'shape': list(source.shape),
    'classes': list(source.classes),
  }
  if source.held_out:
    facts['held_out'] = len(source.held_out)
  return facts | ({'alphabet': source.alphabet} if source.alphabet else {})


def are_facts(facts: dict) -> bool:
  """Whether an object is one that `facts_of` gives."""
  shape, classes = facts.get('shape'), facts.get('classes')
  count = facts.get('count', 0)  # older versions did not have it
  return (
    isinstance(shape, list)
    and len(shape) in (1, 2, 3)
    and all(type(n) is int and 0 < n < 2**31 for n in shape)
    and isinstance(classes, list)
    and type(count) is int
    and isinstance(facts.get('alphabet', ''), str)
  )


def are_stretches(past) -> bool:
  """Whether a value is one that `Growth.stretches` gives."""
  row = (
    lambda r: (
      isinstance(r, list)
      # Older versions had no growth: neither rates of a stage nor fades.
      and len(r) in (2, 4)
      and isinstance(r[1], list)
      and len(r[1]) in (4, len(Stage._fields))
      and all(
        type(n) is int and 0 <= n < 2**62 for n in (r[0], *r[1][:4], *r[2:])
      )
      and all(type(lr) is float and 0 <= lr < 2**62 for lr in r[1][4:])
    )
  )
  if not (isinstance(past, list) and past and all(map(row, past))):
    return False
  begins = [row[0] for row in past]
  return begins[0] == 0 and begins == sorted(set(begins))


def read_lines(file) -> tuple[list[dict], int]:
  """The lines of a .jsonl file that have a step, and how many have not.

  A process that is killed while it writes leaves half a line.
  """
  text = file.read_bytes().decode('utf-8', 'replace') if file.exists() else ''
  lines, bad = [], 0
  for line in filter(str.strip, text.split('\n')):
    try:
      values = json.loads(line)
      good = isinstance(values, dict) and isinstance(values['step'], int)
    except (ValueError, KeyError, RecursionError):
      good = False
    if good:
      lines.append(values)
    else:
      bad += 1
  return lines, bad
