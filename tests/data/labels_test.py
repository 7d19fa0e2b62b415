"""Class numbers in files: what the classes are, in every split of a source."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 6)).astype(np.uint8)
LABELS = np.arange(12) % 3


def idx_bytes(array):
  head = struct.pack('>HBB', 0, 8, array.ndim)
  return head + struct.pack(f'>{array.ndim}I', *array.shape) + array.tobytes()


LABELLINGS = [
  (LABELS + 1, '1 2 3'),
  (LABELS * 5, '0 5 10'),
  (LABELS.astype('>i8') + 10**12, f'{10**12} {10**12 + 1} {10**12 + 2}'),
  (LABELS.astype(np.uint8)[:, None] + 253, '253 254 255'),
  (LABELS > 0, '0 1'),
  (np.full(12, 7), '7'),
  (np.eye(3)[LABELS], '0 1 2'),
  (np.eye(5, dtype=bool)[LABELS], '0 1 2 3 4'),
  (np.eye(3, dtype=np.int8)[LABELS], '0 1 2'),
]


@pytest.mark.parametrize('labels, names', LABELLINGS)
def test_classes_are_the_labels_that_occur(
  labels, names, tmp_path, open_source
):
  np.savez(tmp_path / 'a.npz', image=IMAGES, label=labels)
  source = open_source(f'npz:{tmp_path}/a.npz', conditional=True)
  names = names.split()
  assert source.classes == tuple(names)
  got = [names[k] for k in source.arrays()[1]]
  if labels.ndim == 2 and labels.shape[1] > 1:
    assert got == [str(k) for k in LABELS]
  else:
    assert got == [str(int(k)) for k in labels.reshape(-1)]
  assert ('no picture of 3, 4' in source.report) == (len(names) == 5)


def both_splits(folder, kind, train, test):
  """A set in two splits with these labels, as npz or as idx."""
  if kind == 'npz':
    np.savez(
      folder / 'a.npz',
      x_train=IMAGES[: len(train)],
      x_test=IMAGES[: len(test)],
      y_train=train,
      y_test=test,
    )
    return f'npz:{folder}/a.npz'
  for split, labels in (('train', train), ('t10k', test)):
    labels = np.array(labels, np.uint8)
    for what, array in (
      ('images-idx3', IMAGES[: len(labels)]),
      ('labels-idx1', labels),
    ):
      path = folder / f'{split}-{what}-ubyte'
      path.write_bytes(idx_bytes(array))
  return f'idx:{folder}'


@settings(max_examples=30)
@given(
  st.sampled_from(['npz', 'idx']),
  st.lists(st.integers(0, 9), min_size=1, max_size=12),
  st.lists(st.integers(0, 9), min_size=1, max_size=12),
)
def test_splits_of_one_source_have_the_same_classes(
  tmp_path_factory, open_source, kind, train, test
):
  name = both_splits(tmp_path_factory.mktemp('s'), kind, train, test)
  for split, labels in (('train', train), ('test', test)):
    source = open_source(name, split=split)
    assert source.classes == tuple(map(str, sorted({*train, *test})))
    assert [source.classes[k] for k in source.arrays()[1]] == [
      str(k) for k in labels
    ]
    lacking = sorted({*train, *test} - {*labels})
    if lacking:
      shown = f'no picture of {", ".join(map(str, lacking))}:'
      assert shown in source.report
    else:
      assert 'no picture' not in source.report
