"""The command line of the campaign: see __init__.py."""

import argparse
import importlib
import json
import pathlib
import tempfile
import time

from tests.campaign import disk, hosts, kills, pool

INPUTS = ('pictures', 'weights', 'settings', 'runs')
GAMES = {
  'kills': kills.run,
  'growth': kills.grow,
  'disk': disk.run,
  'hosts': hosts.run,
}


def main() -> None:
  """Runs the parts and prints a line for each, the bad cases, and JSON."""
  parser = argparse.ArgumentParser(prog='python -m tests.campaign')
  parser.add_argument('parts', nargs='*', choices=[*INPUTS, *GAMES, []])
  parser.add_argument('--count', type=int, default=100)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--only', type=int, help='one case, its traceback shown')
  flags = parser.parse_args()
  parts = flags.parts or [*INPUTS, *GAMES]
  found = {}
  for part in parts:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='campaign-') as folder:
      folder = pathlib.Path(folder)
      if part in GAMES:
        tally = GAMES[part](flags.count, flags.seed, folder)
      elif flags.only is not None:
        module = importlib.import_module(f'tests.campaign.{part}')
        module.prepare(folder)
        print(pool.make(module, flags.seed, flags.only, folder))
        continue
      else:
        tally = pool.run(part, flags.count, flags.seed)
    bad = tally.pop('bad')
    for words in bad:
      print(part, *words, sep=' | ')
    found[part] = tally | {'bad': len(bad)}
    print(f'{part}: {found[part]} in {time.monotonic() - begin:.0f} s')
  print(json.dumps(found))


if __name__ == '__main__':
  main()
