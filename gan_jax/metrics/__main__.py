"""Scores two folders of pictures; prints JSON.

  python -m gan_jax.metrics --real=DIR --fake=DIR --names=fid,kid

--real, --fake   folders, .zip or .npz files of pictures of one size each
--names          metrics; default fid. Some: fid, kid, inception_score,
                 precision_recall, density_coverage, frechet_vgg16,
                 frechet_random, frechet_pixels, swd, ms_ssim, lpips_alex
--weights        files of feature networks, separated by commas; default those
                 in the cache folder: python -m gan_jax.main --mode=weights
--resizer        in front of Inception: tf1_bilinear (the default),
                 half_pixel_bilinear, antialiased_bicubic
--classifier     the folder of a classifier's run, for frechet_classifier
--debug          show the traceback of whatever ends in a sentence
"""

import argparse
import sys

from gan_jax import top
from gan_jax.run.memory import restart_with_huge_pages


def main(argv=None) -> None:
  """Parses, compares, prints."""
  argv = sys.argv[1:] if argv is None else argv
  top.run(lambda: _main(argv), debug='--debug' in argv)


def _main(argv) -> None:
  parser = argparse.ArgumentParser(
    prog='python -m gan_jax.metrics', add_help=False, allow_abbrev=False
  )
  parser.error = lambda message: sys.exit(f'gan_jax: {message}; see --help.')
  parser.add_argument('-h', '--help', action='store_true')
  for name in ('real', 'fake', 'weights', 'classifier'):
    parser.add_argument(f'--{name}', default='')
  parser.add_argument('--debug', action='store_true')
  parser.add_argument('--names', default='fid')
  parser.add_argument('--resizer', default='tf1_bilinear')
  flags = vars(parser.parse_args(argv))
  if flags.pop('help'):
    print(__doc__)
    return
  if not (flags['real'] and flags['fake']):
    parser.error('--real=DIR and --fake=DIR are needed')
  del flags['debug']
  # Inception takes a minute to compile on a CPU: it is kept.
  top.prepare()
  # These import JAX: not for --help.
  from gan_jax.mesh import one_device
  from gan_jax.metrics.standalone import compare
  from gan_jax.restore import restore
  from gan_jax.run.write import strict

  if flags['classifier']:
    flags['classifier'] = restore(
      flags['classifier'], one_device(), what='--classifier'
    )
  found = compare(flags.pop('real'), flags.pop('fake'), **flags)
  print(strict(found, indent=2))


if __name__ == '__main__':
  top.restart_in_utf8()
  restart_with_huge_pages()
  main()
