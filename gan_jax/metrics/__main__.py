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
"""

import argparse
import json
import logging
import pathlib
import sys

import jax

from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.metrics.standalone import compare
from gan_jax.restore import restore
from gan_jax.run.memory import restart_with_huge_pages


def main(argv=None) -> None:
  """Parses, compares, prints."""
  parser = argparse.ArgumentParser(
    prog='python -m gan_jax.metrics', add_help=False, allow_abbrev=False
  )
  parser.error = lambda message: sys.exit(f'gan_jax: {message}; see --help.')
  parser.add_argument('-h', '--help', action='store_true')
  for name in ('real', 'fake', 'weights', 'classifier'):
    parser.add_argument(f'--{name}', default='')
  parser.add_argument('--names', default='fid')
  parser.add_argument('--resizer', default='tf1_bilinear')
  flags = vars(parser.parse_args(argv))
  if flags.pop('help'):
    print(__doc__)
    return
  if not (flags['real'] and flags['fake']):
    parser.error('--real=DIR and --fake=DIR are needed')
  logging.basicConfig(format='%(message)s', level=logging.WARNING)
  # Inception takes a minute to compile on a CPU: once.
  if not jax.config.jax_compilation_cache_dir:
    cache = pathlib.Path.home() / '.cache' / 'gan_jax' / 'xla'
    jax.config.update('jax_compilation_cache_dir', str(cache))
  try:
    if flags['classifier']:
      flags['classifier'] = restore(flags['classifier'], one_device())
    found = compare(flags.pop('real'), flags.pop('fake'), **flags)
  except UserError as error:
    sys.exit(f'gan_jax: {error}')
  print(json.dumps(found, indent=2))


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
