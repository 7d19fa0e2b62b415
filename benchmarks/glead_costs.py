"""What GLeaD costs beside its baseline: Table 7 of its paper, on this machine.

  python benchmarks/glead_costs.py [--quick] [--side=256] [--batch=2]
      [--width=512] [--network=paper] [--loss=lpips_alex]

Parameters of D; the time of D alone, of a batch of scores, and with decoder and
heads; the time of a training step, a mean over 16, so that R1 and path length
are in it as often as in a run. Both are configs/glead_folder.py, preset
paper256, the baseline with task=none; sides are interleaved in one run, times
are medians of the rounds. The network that compares pictures is untrained,
which takes the same time. --quick has pictures of 64 px, 64 channels at most,
and one round.

The released D runs its decoder in every pass; here a D that is asked for scores
only does not (`d_time_ratio` is with it, as in the paper).

The last line is JSON: `parameters`, [baseline, GLeaD]; `parameters_ratio`,
`d_time_ratio`, `glead_time_ratio`. The paper has 24.00M and 25.77M, 1.074
(which is network=official_ffhq); 0.0184 and 0.0219 s, 1.19; 43.83 and 55.78 h,
1.27.
"""

import argparse
import json
import pathlib

from _measure import counts, device, interleaved, our_step

from gan_jax.run.memory import restart_with_huge_pages

CONFIG = pathlib.Path(__file__).parent.parent / 'configs/glead_folder.py'
CYCLE = 16  # steps, of which R1 is in one and path length in four


def config(args, task):
  """Of the baseline or of GLeaD."""
  from gan_jax import config as config_lib

  at = min(args.side // 2, 32)
  words = {
    'resolution': args.side,
    'width': args.width,
    'preset': 'paper256',
    'task': task,
    'network': args.network,
    'loss': args.loss,
  } | ({'at': at} if at < 32 else {})
  text = ','.join(f'{k}={v}' for k, v in words.items())
  more = [
    ('train.batch', f'{args.batch}'),
    ('discriminator.group_size', f'{min(args.batch, 8)}'),
  ]
  if task != 'none' and args.loss != 'pixels':
    more.append(('tasks.lead.weights', 'random'))
  return config_lib.load(f'{CONFIG}:{text}', more)


def of_d(config, args, images):
  """D's number of parameters, and a function that passes a batch."""
  import jax

  from gan_jax import experiment
  from gan_jax.tasks import lead
  from gan_jax.terms import TERMS, network_only

  game = experiment.build(config, images.shape[1:], 0)
  d = jax.jit(lambda key: game.init(key).pair.d.params)(jax.random.key(0))
  task, network = lead.of_config(config), game.objective.discriminator

  @jax.jit
  def judge(params, images):
    variables = {'params': network_only(params)}
    judged = network.apply(variables, images, train=False)
    if task is None:
      return judged.logits
    return judged.logits, task.encode(params[TERMS]['lead'], judged.features)

  size = sum(x.size for x in jax.tree.leaves(d))
  return size, lambda: jax.block_until_ready(judge(d, images))


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--side', type=int)
  parser.add_argument('--batch', type=int, default=2)
  parser.add_argument('--width', type=int)
  parser.add_argument('--network', default='paper')
  parser.add_argument('--loss', default='lpips_alex')
  args = parser.parse_args()
  args.side = args.side or (64 if args.quick else 256)
  args.width = args.width or (64 if args.quick else 512)
  restart_with_huge_pages()
  import jax

  rounds, _ = counts(args.quick)
  shape = (args.batch, args.side, args.side, 3)
  images = jax.random.uniform(jax.random.key(1), shape, minval=-1.0)
  print(
    f'{device()}; {args.side} px, batch {args.batch}, at most {args.width}'
    f' channels, network={args.network}, loss={args.loss}',
    flush=True,
  )
  configs = [config(args, task) for task in ('none', 'glead')]
  sizes, judges = zip(*(of_d(c, args, images) for c in configs), strict=True)
  seconds = interleaved(judges, 3 * rounds, 10)
  print(f'D: {sizes[0]:,} and {sizes[1]:,} parameters', flush=True)
  print('D: {:.4f} and {:.4f} s a batch'.format(*seconds), flush=True)
  steps = [our_step(c, args.side, args.batch, images[None])[0] for c in configs]
  learning = interleaved(steps, rounds, CYCLE)
  print('step: {:.3f} and {:.3f} s'.format(*learning), flush=True)
  print(
    json.dumps(
      {
        'parameters': sizes,
        'parameters_ratio': round(sizes[1] / sizes[0], 4),
        'd_time_ratio': round(seconds[1] / seconds[0], 3),
        'glead_time_ratio': round(learning[1] / learning[0], 3),
      }
    )
  )


if __name__ == '__main__':
  main()
