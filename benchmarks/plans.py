"""Every config's step, compiled for a TPU pod that is not here.

  python benchmarks/plans.py [--quick] [--only=NAME,NAME] [--write]

Plans what docs/scaling.md compares, then every file of configs/ as it stands,
on v5e:2x4 (see `--mode=plan --topology`), and writes the page. Each plan is a
process and a line of docs/scaling.jsonl; what has a line already is not
planned again, so that the command goes on where it was stopped. Data are stood
in for by zeros of their number and size. It needs the extra `tpu`, no TPU, and
minutes for each plan.

--only plans these again, --write only writes the page, --quick plans one small
config and writes nothing. The last line is JSON.
"""

import argparse
import importlib.util
import json
import pathlib
import sys
import time

from _lines import add, in_a_process, read

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOUND = ROOT / 'docs' / 'scaling.jsonl'
POD = 'v5e:2x4'
QUICK = 'mlp_toy'

# Folders of pictures that configs name: how many pictures they stand for.
FOLDERS = {'ffhq': 70_000, 'celebahq': 30_000}
PICTURES = 1000

# A minibatch whose maps take most of the memory: 512 pictures on each chip.
LARGE = {'train.batch': '4096'}

# ProGAN's minibatches by level, one picture or more on each of 64 chips.
MANY_CHIPS = {
  'train.batch': '64',
  'growth.batch': '4:512,8:256,16:128,32:64,64:64',
}

# What the page compares: config, topology, other settings.
NAMED = {
  'sgan16': ('sgan_cifar.py:n=16', 'v5e:4x4', {}),
  'sgan16_data': ('sgan_cifar.py:n=16', 'v5e:4x4', {'mesh.pair': '1'}),
  'sgan5_in_turn': ('sgan_cifar.py', POD, {'ensemble.at_once': '1'}),
  'one_stage_512': ('osgan_celeba.py', POD, {'train.batch': '512'}),
  'bfloat16_512': (
    'osgan_celeba.py',
    POD,
    {
      'train.batch': '512',
      'generator.bfloat16_from': '1',
      'discriminator.bfloat16_from': '1',
    },
  ),
  'two_stage_512': (
    'osgan_celeba.py:scheme=two_stage',
    POD,
    {'train.batch': '512'},
  ),
  'two_stage': ('osgan_celeba.py:scheme=two_stage', POD, {}),
  'large': ('dcgan_celeba.py', POD, LARGE),
  'large_in_parts': ('dcgan_celeba.py', POD, LARGE | {'train.accumulate': '4'}),
  'large_remat': (
    'dcgan_celeba.py',
    POD,
    LARGE | {'generator.remat': 'blocks', 'discriminator.remat': 'blocks'},
  ),
  'fastgan1024': ('fastgan_folder.py:resolution=1024', POD, {}),
  'progan1024': ('progan_celebahq.py:devices=8', 'v5e:8x8', MANY_CHIPS),
  'progan1024_bfloat16': (
    'progan_celebahq.py:devices=8',
    'v5e:8x8',
    MANY_CHIPS
    | {'generator.bfloat16_from': '64', 'discriminator.bfloat16_from': '64'},
  ),
}
# Configs that the page compares as they are.
COMPARED = ('dcgan_celeba', 'stylegan2_ffhq', 'glead_ffhq')
# Configs whose own minibatch does not divide over the eight chips of `POD`.
CHANGED = {
  'dcgan_mnist': {'train.batch': '64'},
  'sgan_mnist': {'train.batch': '64'},
  'sgan_fashion': {'train.batch': '64'},
}
OPTIONS = {'progan_celebahq': ':devices=8'}
# By `--mode=plan --effort=low`: StyleGAN2's step takes three minutes so, more
# than 16 otherwise; ProGAN has up to nine steps.
ROUGHLY = (
  'progan1024',
  'progan1024_bfloat16',
  'progan_ablation',
  'progan_celebahq',
  'progan_folder',
  'progan_lsun',
  'stylegan2_ffhq',
  'stylegan2_folder',
  'stylegan2_lsun',
  'glead_bedroom',
  'glead_church',
  'glead_ffhq',
  'glead_folder',
)


def cases() -> dict[str, tuple[str, str, dict]]:
  """By name: (config, topology, other settings), in the order of planning."""
  files = sorted(file.stem for file in (ROOT / 'configs').glob('[a-z]*.py'))
  return NAMED | {
    name: (f'{name}.py{OPTIONS.get(name, "")}', POD, CHANGED.get(name, {}))
    for name in files
  }


def effort_of(name: str) -> str:
  """Of the compiler."""
  return 'low' if name in ROUGHLY else 'full'


def load(spec: str, settings: dict):
  """A config, and what stands in for its data if they are no download's."""
  from gan_jax import config as config_lib
  from gan_jax.plan.stand_in import StandIn

  config = config_lib.load(str(ROOT / 'configs' / spec), settings.items())
  kind, _, where = config.data.source.partition(':')
  if kind != 'folder':
    return config, None
  with config.unlocked():
    config.train.choose = ()  # nobody has pictures to look at
  side = config.data.resolution
  count = FOLDERS.get(where, PICTURES)
  shape = (side, side, config.data.channels)
  return config, StandIn(config.data.source, shape, count)


def plan_one(name: str) -> dict:
  """The line of a plan."""
  from importlib import metadata

  import jax

  from gan_jax import plan
  from gan_jax.errors import UserError
  from gan_jax.plan.chips import CHIPS
  from gan_jax.plan.costs import roofline

  spec, topology, settings = cases()[name]
  line = dict(name=name, config=spec, topology=topology, settings=settings)
  line['effort'] = effort_of(name)
  line |= dict(jax=jax.__version__, libtpu=metadata.version('libtpu'))
  start = time.time()
  try:
    config, source = load(spec, settings)
    found = plan.plan(config, topology, source, line['effort'])
  except UserError as error:
    return line | dict(refused=str(error))
  chip = CHIPS[topology.partition(':')[0]]
  stages = [
    cost._asdict()
    | dict(stage=cost.stage._asdict(), peak=cost.peak)
    | dict(roofline=roofline(cost, chip)._asdict())
    for cost in found.costs
  ]
  for stage in stages:
    stage['collectives'] = {
      kind: total._asdict() for kind, total in stage['collectives'].items()
    }
  return line | dict(
    mesh=found.mesh,
    parameters=found.parameters,
    stages=stages,
    misfit=found.misfit,
    seconds=round(time.time() - start),
  )


def known() -> dict[str, dict]:
  """The newest line of each case as it is defined now."""
  found = {line['name']: line for line in read(FOUND)}
  wanted = cases()
  return {
    name: line
    for name, line in found.items()
    if name in wanted
    and (line['config'], line['topology'], line['settings']) == wanted[name]
    and line['effort'] == effort_of(name)
  }


def show(line: dict) -> None:
  """A plan in a line."""
  words = line.get('refused') or line['misfit']
  if not words:
    most = max(line['stages'], key=lambda stage: stage['peak'])
    words = (
      f'{most["peak"] / 2**30:.2f} GiB, {most["flops"] / 1e9:.1f} GFLOP,'
      f' {1e3 * most["roofline"]["seconds"]:.2f} ms'
    )
  print(f'{line["name"]}: {words} ({line.get("seconds", 0)} s)', flush=True)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--write', action='store_true')
  parser.add_argument('--only', default='')
  parser.add_argument('--one', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.one:
    print(json.dumps(plan_one(args.one)))
    return
  if importlib.util.find_spec('libtpu') is None and not args.write:
    sys.exit("plans.py needs the TPU's compiler: pip install -e '.[tpu]'.")
  again = [name for name in args.only.split(',') if name]
  if args.quick:
    again = [QUICK]
  there = known()
  todo = again or [name for name in cases() if name not in there]
  failed = []
  for name in [] if args.write else todo:
    line = in_a_process(__file__, name)
    if line is None:
      failed.append(name)
      continue
    show(line)
    there[name] = line
    if not args.quick:
      add(FOUND, line)
  if not args.quick:
    write(there)
  most = there[QUICK]['stages'][-1] if QUICK in there else {}
  print(
    json.dumps(
      dict(planned=len(there), failed=failed, of=len(cases()))
      | {f'quick_{key}': most.get(key) for key in ('peak', 'flops', 'traffic')}
    )
  )


def write(there: dict[str, dict]) -> None:
  """Writes docs/scaling.md."""
  import _scaling_page

  page = _scaling_page.page(there, [*NAMED, *COMPARED], list(cases()))
  (ROOT / 'docs' / 'scaling.md').write_text(page)


if __name__ == '__main__':
  main()
