"""The README has all limits, and they are used."""

import pathlib

from gan_jax import limits

ROOT = pathlib.Path(__file__).parent.parent
UNITS = {'MIB', 'GIB'}


def test_each_limit_is_in_the_readme_and_in_use():
  table = (ROOT / 'README.md').read_text('utf-8')
  table = table.partition('### Limits')[2].partition('###')[0]
  code = ''.join(
    file.read_text('utf-8') for file in (ROOT / 'gan_jax').rglob('*.py')
  )
  names = {name for name in vars(limits) if name.isupper()} - UNITS
  assert len(names) > 10
  for name in names:
    assert f'`{name}`' in table, name
    used = f'limits.{name}' in code or name.startswith('UNPACKED_')
    assert used, f'{name} bounds nothing'
