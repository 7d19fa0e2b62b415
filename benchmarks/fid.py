"""FID of two folders: ours against torch-fidelity, the same file of weights.

  python benchmarks/fid.py [--quick] [--data=FILE.npz] [--count=200]

Each folder gets `--count` pictures of `--data` (an .npz with `image`; made up
without it) as PNG files. The weights are random ones, in a .pth file that
torch-fidelity's own network wrote; theirs is its network and its distance, ours
`gan_jax.metrics.compare` on folders. It needs torch-fidelity.

torch-fidelity takes roots of a product's eigenvalues, of which all but `count`
should be 0 and come out as 1e-16 of the largest: so their distance of fewer
pictures than features (2,048) is off by some 1e-4. The third number is the
distance of their features by singular values of the features themselves.

The last line is JSON, relative: `fid_difference` from theirs, and
`fid_difference_exact` from the third number.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import numpy as np
from metrics import fidelity, fidelity_inception, images
from PIL import Image

from gan_jax.run.memory import restart_with_huge_pages


def two_folders(path, data, count):
  """Folders of PNG files: the first pictures of a set, and the next."""
  sets = images(count, 32)
  if data:
    with np.load(data) as archive:
      sets = np.split(archive['image'][: 2 * count], 2)
  folders = [path / 'a', path / 'b']
  for folder, pictures in zip(folders, sets, strict=True):
    folder.mkdir()
    for i, picture in enumerate(pictures):
      Image.fromarray(picture).save(folder / f'{i:05}.png')
  return folders


def random_weights(file):
  """Writes random weights that let pictures through to the features."""
  import torch

  torch.manual_seed(0)
  state = fidelity_inception().state_dict()
  for name, array in state.items():
    if name.endswith('conv.weight'):
      torch.nn.init.kaiming_normal_(array)
  torch.save(state, file)


def theirs(folders, file):
  """torch-fidelity's network and distance, and the exact one."""
  import torch
  from torch_fidelity import metric_fid
  from torch_fidelity.feature_extractor_inceptionv3 import (
    FeatureExtractorInceptionV3,
  )

  net = FeatureExtractorInceptionV3(
    'inception-v3-compat', ['2048'], feature_extractor_weights_path=file
  ).eval()
  statistics, both = [], []
  for folder in folders:
    files = sorted(folder.iterdir())
    pictures = torch.from_numpy(
      np.stack([np.array(Image.open(f)) for f in files])
    )
    with torch.inference_mode():
      batches = pictures.permute(0, 3, 1, 2).contiguous().split(25)
      features = torch.cat([net(batch)[0] for batch in batches])
    statistics.append(metric_fid.fid_features_to_statistics(features))
    both.append(features.numpy().astype(np.float64))
  found = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
  return float(found[metric_fid.KEY_METRIC_FID]), exact(*both)


def exact(a, b):
  """The distance from centred rows X and Y, C_x = X^T X.

  The trace of (C_x C_y)^(1/2) is the sum of the singular values of X Y^T.
  """
  x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
  root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
  means = np.sum((a.mean(0) - b.mean(0)) ** 2)
  return float(means + np.sum(x**2) + np.sum(y**2) - 2 * root)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--data')
  parser.add_argument('--count', type=int, default=200)
  args = parser.parse_args()
  if not fidelity():
    sys.exit('torch-fidelity is not installed here')
  from gan_jax import metrics

  with tempfile.TemporaryDirectory() as path:
    path = pathlib.Path(path)
    os.environ['GAN_JAX_WEIGHTS'] = str(path / 'cache')
    file = str(path / 'random_inception.pth')
    random_weights(file)
    folders = two_folders(path, args.data, 25 if args.quick else args.count)
    other, third = theirs(folders, file)
    found = metrics.compare(*folders, ['fid'], weights=file)
  print(json.dumps(found, indent=2))
  ours = found['fid']
  print(f'fid: ours {ours:.9g}, torch-fidelity {other:.9g}, exact {third:.9g}')
  figures = {
    'fid_difference': abs(ours - other) / other,
    'fid_difference_exact': abs(ours - third) / third,
  }
  print(json.dumps(figures))


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
