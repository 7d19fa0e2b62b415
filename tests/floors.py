"""The floor plan: which room lies on which floor, and what imports what.

  python tests/floors.py [ROOT]

prints rooms, floors and the arrows between them of the package in ROOT, and
marks those that go upwards. floors_test.py holds that there are none.
"""

import ast
import pathlib
import sys

PACKAGE = 'gan_jax'

# From the lowest to the highest; a module may import from its own floor and
# from those below. A room is a folder, or a module at the root; a module inside
# a room may have a floor of its own.
FLOORS = (
  (
    'compiler',
    'errors',
    'hosts',
    'limits',
    'paths',
    'seeds',
    'settings',
    'stores',
  ),
  ('state', 'nn'),
  ('mesh', 'view', 'terms', 'networks', 'passes'),
  ('data',),
  ('losses', 'tasks', 'optimizer', 'ema'),
  ('objective',),
  ('distill', 'schemes'),
  ('run',),
  ('convert', 'data.celeba'),
  ('metrics',),
  ('config_files', 'few_shot', 'config', 'validate'),
  ('experiment',),
  ('restore', 'sampler', 'engine'),
  ('observe', 'explore'),
  ('train', 'evaluate', 'sample', 'plan', 'released', 'tune', 'flags', 'help'),
  ('main', 'metrics.__main__', 'data.celebahq', 'top'),
)
LEVELS = {room: i for i, floor in enumerate(FLOORS, 1) for room in floor}


def modules(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """The package's modules by their name inside it; '' is the package."""
  found = {}
  for file in sorted((root / PACKAGE).rglob('*.py')):
    parts = list(file.relative_to(root / PACKAGE).with_suffix('').parts)
    if parts[-1] == '__init__':
      parts.pop()
    found['.'.join(parts)] = file
  return found


def imports(root: pathlib.Path) -> dict[str, set[str]]:
  """What each module imports of the package, at the top and in functions."""
  files = modules(root)
  return {
    name: _imports_of(name, file, files) - {name, ''}
    for name, file in files.items()
  }


def _imports_of(name: str, file: pathlib.Path, files) -> set[str]:
  found = set()
  for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      found |= {_known(alias.name.split('.'), files) for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = (node.module or '').split('.')
      if node.level:  # relative: from . import x
        here = name.split('.')
        inside = file.name == '__init__.py'
        here = here[: len(here) - node.level + inside]
        base = [PACKAGE, *here, *filter(None, base)]
      # `from gan_jax.data import part`: a module, or something inside of one.
      found |= {_known([*base, alias.name], files) for alias in node.names}
  return found


def _known(parts: list[str], files) -> str:
  """The longest module of the package that a dotted name begins with."""
  if parts[0] != PACKAGE:
    return ''
  for end in range(len(parts), 1, -1):
    if (name := '.'.join(parts[1:end])) in files:
      return name
  return ''


def room(name: str) -> str:
  """The room that a module is in."""
  return name if name in LEVELS else name.partition('.')[0]


def arrows(found: dict[str, set[str]]) -> dict[tuple[str, str], list[str]]:
  """From room to room: the imports, 'metrics.spaces -> restore'."""
  between = {}
  for name, others in found.items():
    for other in sorted(others):
      key = room(name), room(other)
      if name and key[0] != key[1]:
        between.setdefault(key, []).append(f'{name} -> {other}')
  return between


def upward(found: dict[str, set[str]]) -> list[str]:
  """The imports that go from a lower floor to a higher one."""
  return [
    one
    for (a, b), several in arrows(found).items()
    if a in LEVELS and b in LEVELS and LEVELS[a] < LEVELS[b]
    for one in several
  ]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
  """Groups of nodes that can all reach each other: Tarjan's components."""
  order, low, stack, groups = {}, {}, [], []

  def visit(node):
    order[node] = low[node] = len(order)
    stack.append(node)
    for other in sorted(graph.get(node, ())):
      if other not in order:
        visit(other)
        low[node] = min(low[node], low[other])
      elif other in stack:
        low[node] = min(low[node], order[other])
    if low[node] == order[node]:
      group = []
      while not group or group[-1] != node:
        group.append(stack.pop())
      if len(group) > 1:
        groups.append(sorted(group))

  for node in sorted(graph):
    if node not in order:
      visit(node)
  return groups


def between_rooms(found: dict[str, set[str]]) -> dict[str, set[str]]:
  """The graph of rooms."""
  graph = {room(name): set() for name in found if name}
  for a, b in arrows(found):
    graph[a].add(b)
  return graph


def picture(root: pathlib.Path) -> str:
  """Rooms by floor from the top, each with the rooms it imports from."""
  found = imports(root)
  graph = between_rooms(found)
  sizes = {}
  for name in found:
    if name:
      sizes[room(name)] = sizes.get(room(name), 0) + 1
  lines = []
  for level in range(len(FLOORS), -1, -1):
    here = sorted(r for r in graph if LEVELS.get(r, 0) == level)
    for i, name in enumerate(here):
      below = sorted(graph[name], key=lambda r: (-LEVELS.get(r, 0), r))
      up = lambda r, level=level: 0 < level < LEVELS.get(r, 0)
      words = [f'{r} (UP)' if up(r) else r for r in below]
      floor = f'{level or "?":>2}' if not i else '  '
      size = f' ({sizes[name]})' if sizes[name] > 1 else ''
      lines.append(f'{floor}  {name + size:16} <- {", ".join(words) or "-"}')
  at_root = [
    name
    for name in found
    if name and '.' not in name and not (root / PACKAGE / name).is_dir()
  ]
  up, rooms = upward(found), circles(graph)
  return '\n'.join(
    [
      'floor, room (modules) <- what it imports from; UP: from a higher floor',
      '',
      *lines,
      '',
      f'modules at the root: {len(at_root)}',
      f'arrows between rooms: {sum(map(len, graph.values()))}',
      f'imports that go upwards: {len(up)}',
      *(f'  {one}' for one in sorted(up)),
      f'circles of rooms: {len(rooms)}',
      *(f'  {" , ".join(group)}' for group in rooms),
      f'circles of modules: {len(circles(found))}',
      *(f'  {" , ".join(group)}' for group in circles(found)),
    ]
  )


if __name__ == '__main__':
  print(picture(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else '.')))
