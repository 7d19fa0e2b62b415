"""What can be set, as text: --help=SECTION and the README's tables.

  python -m gan_jax.help README.md

writes the README's tables anew.
"""

import inspect
import itertools
import pathlib
import re
import sys
import textwrap
from collections.abc import Mapping

from gan_jax import config as config_lib
from gan_jax import distill, explore, networks, settings
from gan_jax.errors import UserError, did_you_mean
from gan_jax.settings import Setting

WIDTH = 80  # of a line, in characters


def explain(what: str) -> str:
  """The text of --help=WHAT.

  Args:
    what: a section ('penalties', 'penalties.r1'), a network in its role
      ('generator:dcgan'), a setting ('train.batch'), 'explore' or one of its
      tools ('explore:video'), or 'all'.

  Raises:
    UserError: if there is no such section; it names those there are.
  """
  path = what.removeprefix('--').removeprefix('config.')
  everything = config_lib.table()
  everything['teacher'] = _network('teacher')
  if path == 'all':
    return f'{describe(everything, "")}\n\n{_all_networks()}'
  role, _, name = path.partition(':')
  if role == 'explore':
    return _explain_tools(name)
  if role in networks.ROLES and path in (role, f'{role}:{name}'):
    return _explain_network(role, name)
  tables = dict(settings.sections(everything))
  parent, _, leaf = path.rpartition('.')
  if path in tables:
    return _with_example(tables[path], path)
  if leaf in tables.get(parent, {}):
    return _with_example({leaf: tables[parent][leaf]}, parent)
  paths = [p for p, _ in settings.walk(everything)]
  same = [repr(p) for p in paths if p.endswith(f'.{path}')]
  raise UserError(
    f'--help={what}: there is no such section'
    + (
      f'; did you mean {" or ".join(same[:3])}?'
      if same
      else did_you_mean(path, [*tables, *paths])
    )
    + f' There are {", ".join(everything)}, explore, and all.'
  )


def _with_example(table: settings.Table, path: str) -> str:
  first, setting = next(settings.walk(table, path))
  example = f'To set one: --config.{first}={_shown(setting.default)}'
  return f'{describe(table, path)}\n\n{example}'


def _network(role: str, name: str | None = None) -> settings.Table:
  """The settings of a network's section."""
  own = networks.settings(role, name)
  return own | distill.TEACHER if role == 'teacher' else own


def _explain_network(role: str, name: str) -> str:
  """The settings of a network in a role, or of which it can be."""
  registry = networks.ROLES[role]
  if name:
    if name not in registry:
      raise UserError(
        f'--help={role}:{name}: there is no such network'
        + did_you_mean(name, registry)
        + f' There are {", ".join(registry)}.'
      )
    return describe(_network(role, name), role)
  there = [f'  --help={role}:{name}' for name in registry]
  return '\n'.join(
    [describe(_network(role), role), '', "Networks' own settings:", *there]
  )


def _explain_tools(name: str) -> str:
  """The tools of --mode=explore, or one of them."""
  if name and name not in explore.TOOLS:
    explore.parse(name)  # says that there is none
  names = [name] if name else explore.TOOLS
  blocks = [
    f'{inspect.getdoc(explore.TOOLS[name])}\n\n'
    + _block(explore.TOOLS[name].SETTINGS, f'--tool={name}:')
    for name in names
  ]
  example = '--mode=explore --workdir=DIR --tool=video:seconds=5,seeds=0-8'
  return '\n\n\n'.join([*blocks, f'For example: {example}'])


def _all_networks() -> str:
  """The settings of every network that a GAN's two players can be."""
  return '\n\n'.join(
    _block(
      {k: s for k, s in networks.settings(role, name).items() if k != 'name'},
      f"config.{role} with the name '{name}'",
    )
    for role in ('generator', 'discriminator')
    for name in networks.ROLES[role]
  )


def _shown(value) -> str:
  """A value as one would write it after --config.A.B=."""
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, tuple):
    return ', '.join(map(str, value)) or '()'
  return str(value) if value != '' else "''"


def _condition(key: str, wanted) -> str:
  """One entry of `Setting.when`, in words; '' if it would be too many."""
  if wanted is True:
    return f'only with {key}'
  names = list(map(str, wanted))
  return f'only with {key} = {" or ".join(names)}' if len(names) < 4 else ''


def _switches(table: Mapping[str, Setting]) -> list[str]:
  """The keys of a section without which none of the others matters."""
  return [
    key
    for key in table
    if len(table) > 1
    and all(s.when.get(key) is True for k, s in table.items() if k != key)
  ]


def describe(table: settings.Table, path: str) -> str:
  """A table as text: key, default, what it may be, what it means.

  Args:
    table: of settings, or of tables of them, each of which is shown in turn.
    path: the table's.
  """
  own = {k: e for k, e in table.items() if isinstance(e, Setting)}
  blocks = [_block(own, f'config.{path}')] if own else []
  seen = []
  for entry in table.values():
    if not entry or isinstance(entry, Setting) or entry in seen:
      continue
    seen.append(entry)
    names = [k for k, e in table.items() if e == entry]
    blocks.append(describe(entry, settings.join(path, ' and '.join(names))))
  return '\n\n'.join(blocks)


def _block(table: Mapping[str, Setting], title: str) -> str:
  """One table under its title, its cells wrapped."""
  switches = _switches(table)
  if switches:
    title += f'   (off without {switches[0]})'
  rows = [('setting', 'default', 'may be', ['meaning'])]
  for key, s in table.items():
    needs = [_condition(k, w) for k, w in s.when.items() if k not in switches]
    needs = '; '.join(filter(None, needs))
    meaning = [f'{s.text} ({needs})' if needs else s.text]
    bounds = s.bounds()
    if len(bounds) > 40:  # under the text, where there is room
      meaning.append(bounds)
      bounds = 'some of these:' if s.several else 'one of these:'
    rows.append((key, _shown(s.default), bounds, meaning))
  widths = [
    min(max(len(row[i]) for row in rows), most)
    for i, most in enumerate((17, 14, 20))
  ]
  widths.append(WIDTH - 2 - sum(w + 2 for w in widths))
  lines = [title]
  for *cells, meaning in rows:
    columns = [_wrap(cell, w) for cell, w in zip(cells, widths, strict=False)]
    columns.append(
      [line for part in meaning for line in _wrap(part, widths[3])]
    )
    for parts in itertools.zip_longest(*columns, fillvalue=''):
      padded = [p.ljust(w) for p, w in zip(parts, widths, strict=True)]
      lines.append(('  ' + '  '.join(padded)).rstrip())
  return '\n'.join(lines)


def _wrap(text: str, width: int) -> list[str]:
  return textwrap.wrap(text, width, break_on_hyphens=False) or ['']


def markdown(table: Mapping[str, Setting], path: str) -> str:
  """A table as Markdown, for the README."""
  lines = [f'| `{path}.` | default | may be | |', '|---|---|---|---|']
  for key, s in table.items():
    cells = (f'`{key}`', f'`{_shown(s.default)}`', s.bounds(), s.text)
    cells = [cell.replace('|', '\\|') for cell in cells]  # |grad D|
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines) + '\n'


_MARKED = re.compile(r'(<!-- settings: ([\w.]+) -->\n).*?(<!-- end -->)', re.S)


def fill_in(text: str) -> str:
  """A Markdown text with its tables of settings written anew.

  Args:
    text: what stands between `<!-- settings: SECTION -->` and `<!-- end -->` is
      replaced.
  """
  tables = dict(settings.sections(config_lib.table()))
  return _MARKED.sub(lambda m: m[1] + markdown(tables[m[2]], m[2]) + m[3], text)


if __name__ == '__main__':
  for file in map(pathlib.Path, sys.argv[1:]):
    text = fill_in(file.read_text(encoding='utf-8'))
    file.write_text(text, encoding='utf-8')
