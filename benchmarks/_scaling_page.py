"""docs/scaling.md, from the lines that plans.py has found, and _scaling.md."""

import pathlib

TEMPLATE = pathlib.Path(__file__).with_name('_scaling.md')

COLUMNS = (
  'config',
  'pod: data x pair',
  'minibatch',
  'memory, GiB',
  'FLOPs, G',
  'traffic, GB',
  'collectives',
  'padding',
  'roofline, ms',
  'peak',
  'images/s',
)


def page(there: dict, named: list[str], order: list[str]) -> str:
  """The page.

  Args:
    there: the line of each plan by name.
    named: those that are compared.
    order: all, named ones first.
  """
  missing = [name for name in order if name not in there]
  later = (
    f'Not planned yet ({len(missing)} of {len(order)}): {", ".join(missing)}.'
    ' The command above goes on with them.'
  )
  parts = {
    'versions': _versions(there),
    'compared': _table(there, named),
    'one stage': _one_stage(there),
    'every': _table(there, [name for name in order if name not in named]),
    'grown': _grown(there, order),
    'misfits': _misfits(there, order),
    'missing': later if missing else '',
  }
  text = TEMPLATE.read_text()
  for name, part in parts.items():
    text = text.replace(f'<!-- {name} -->\n\n', f'{part}\n' if part else '')
  return text.replace('<!-- missing -->\n', parts['missing'])


def _versions(there: dict) -> str:
  found = {
    f'jax {line["jax"]} with libtpu {line["libtpu"]}' for line in there.values()
  }
  return f'Compiled by {", ".join(sorted(found))}.\n'


def _table(there: dict, names: list[str]) -> str:
  rows = [
    f'| {" | ".join(COLUMNS)} |',
    f'|{"---|" * len(COLUMNS)}',
    *(_row(there[name]) for name in names if name in there),
  ]
  return '\n'.join(rows) + '\n'


def _title(line: dict) -> str:
  words = [f'`{line["config"]}`'] + [
    f'`{key}={value}`' for key, value in line['settings'].items()
  ]
  return ' '.join(words + ['†'] * (line['effort'] == 'low'))


def largest(line: dict) -> dict:
  """The stage whose step takes the most memory."""
  return max(line['stages'], key=lambda stage: stage['peak'])


def _row(line: dict) -> str:
  # The step that does not fit has no numbers: its compiler has given up.
  if 'refused' in line or line['misfit']:
    word = 'refused' if 'refused' in line else '**does not fit**'
    cells = [_title(line), line['topology'], '', f'{word}: see below']
    return f'| {" | ".join(cells + [""] * (len(COLUMNS) - len(cells)))} |'
  stage, mesh = largest(line), line['mesh']
  of, least = stage['stage'], stage['roofline']
  px = f'{of["resolution"]} px: ' if of['resolution'] else ''
  draws = '' if of['draws'] == 1 else f'{of["draws"]} x '
  cells = [
    _title(line),
    f'{line["topology"]}: {mesh["data"]} x {mesh["pair"]}',
    f'{px}{draws}{of["batch"]}',
    f'{stage["peak"] / 2**30:.2f}',
    f'{stage["flops"] / 1e9:,.1f}' + (' *' if stage['loops'] else ''),
    f'{stage["traffic"] / 1e9:,.2f}',
    _collectives(stage),
    f'{stage["padding"]:.0%}',
    f'{1e3 * least["seconds"]:.2f} ({least["of"]})',
    *([''] * 2 if stage['loops'] else _rates(stage)),
  ]
  return f'| {" | ".join(cells)} |'


def _rates(stage: dict) -> list[str]:
  least = stage['roofline']
  rate = stage['stage']['images'] / least['seconds']
  return [f'{least["share"]:.0%}', f'{rate:,.0f}']


def _collectives(stage: dict) -> str:
  words = [
    f'{total["count"]} {kind}, {total["bytes"] / 1e6:.1f} MB'
    for kind, total in stage['collectives'].items()
  ]
  return '; '.join(words) or 'none'


def _one_stage(there: dict) -> str:
  """What OSGAN's one stage saves of two, as compiled."""
  rows = []
  for batch in ('', '_512'):
    pair = [
      there.get(f'two_stage{batch}'),
      there.get(f'one_stage{batch}' if batch else 'osgan_celeba'),
    ]
    if not all(line and line.get('stages') for line in pair):
      continue
    two, one = map(largest, pair)
    seconds = [stage['roofline']['seconds'] for stage in (two, one)]
    rows.append(
      f'| {one["stage"]["batch"]} | {two["flops"] / one["flops"]:.2f} |'
      f' {two["traffic"] / one["traffic"]:.2f} |'
      f' {seconds[0] / seconds[1]:.2f} |'
      f' {two["peak"] / 2**30:.2f} and {one["peak"] / 2**30:.2f} |'
    )
  if not rows:
    return ''
  return '\n'.join(
    [
      '## One stage against two\n',
      "OSGAN's DCGAN of 64 px on v5e:2x4, two stages over one: above 1 is what"
      ' one stage saves.\n',
      '| minibatch | FLOPs | traffic | roofline | memory, GiB: two, one |',
      '|---|---|---|---|---|',
      *rows,
      '',
    ]
  )


def _grown(there: dict, order: list[str]) -> str:
  """The stages of runs that grow."""
  rows = []
  for name in order:
    line = there.get(name, {})
    if len(line.get('stages', ())) < 2:
      continue
    steps = [
      f'{stage["stage"]["resolution"]}: {stage["peak"] / 2**30:.2f},'
      f' {1e3 * stage["roofline"]["seconds"]:.2f}'
      for stage in line['stages']
    ]
    rows.append(f'- {_title(line)} on {line["topology"]}: {"; ".join(steps)}')
  if not rows:
    return ''
  return '\n'.join(
    [
      '## Runs that grow\n\nBy level in pixels: memory in GiB, roofline in ms.'
      ' The tables above have the level that takes most. What is not here does'
      ' not fit.\n',
      *rows,
      '',
    ]
  )


def _misfits(there: dict, order: list[str]) -> str:
  """What does not fit or was refused, and what to change, in its own words."""
  rows = []
  for name in order:
    line = there.get(name, {})
    if words := line.get('refused') or line.get('misfit'):
      rows.append(f'- {_title(line)} on {line["topology"]}: {words}')
  if not rows:
    return 'All that was planned fits.\n'
  return '\n'.join(['## What does not fit\n', *rows, ''])
