"""stacked:SOURCE: three digits in the channels of a picture."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.errors import UserError


@pytest.fixture(name='both', scope='module')
def _both(open_source):
  """The stacked digits, and the digits, at 8 px."""
  stacked = open_source('stacked:digits', resolution=8)
  return stacked, open_source('digits', resolution=8, channels=1)


@given(i=st.integers(0, 1796))
def test_a_sample_is_three_digits_and_its_label_says_which(both, i):
  stacked, digits = both
  images, labels = digits.arrays()
  image, label = stacked[i]
  assert image.shape == stacked.shape == (8, 8, 3) and image.dtype == np.uint8
  assert stacked.label(i) == label and stacked.classes[label] == f'{label:03}'
  for channel, figure in zip(
    image.transpose(2, 0, 1), f'{label:03}', strict=True
  ):
    same = (images[..., 0] == channel).all((1, 2))
    assert int(figure) in labels[same]


def test_each_channel_has_every_digit_once(both):
  stacked, digits = both
  images, labels = stacked.arrays()
  assert len(stacked) == len(digits) == len(images)
  own = sorted(x.tobytes() for x in digits.arrays()[0])
  for channel in range(3):
    assert sorted(x.tobytes() for x in images[..., channel]) == own
  # In orders of their own, so that most combinations occur.
  figures = np.stack([labels // 100, labels // 10 % 10, labels % 10])
  assert np.abs(np.corrcoef(figures) - np.eye(3)).max() < 0.1
  expected = 1000 * (1 - 0.999 ** len(stacked))
  assert abs(len(np.unique(labels)) - expected) < 40


def test_it_is_a_function_of_the_index(both, open_source):
  stacked, _ = both
  images, labels = stacked.arrays()
  copy = pickle.loads(pickle.dumps(stacked))
  again = open_source('stacked:digits', resolution=8)
  for i in (0, 7, 1796):
    for source in (stacked, copy, again):
      assert (source[i][0] == images[i]).all() and source[i][1] == labels[i]


def test_parts_and_report(open_source):
  part = open_source('stacked:digits', resolution=8, split='train[:10%]')
  whole = open_source('stacked:digits', resolution=8)
  assert len(part) == 180 and len(part.classes) == 1000
  known = {x.tobytes() for x in whole.arrays()[0]}
  assert {x.tobytes() for x in part.arrays()[0]} <= known
  assert 'stacked:digits: 1,797 pictures, 8x8x3' in whole.report
  assert '\ndigits: 1,797 pictures' in whole.report


@pytest.mark.parametrize(
  'changes, message',
  [
    (dict(source='stacked:'), 'write stacked:SOURCE'),
    (dict(source='stacked:digit'), r'did you mean digits\?'),
    (dict(source='stacked:toy:ring8'), 'stacks pictures of ten classes'),
    (dict(source='stacked:stacked:digits'), 'name a source of digits'),
    (dict(channels=1), 'set config.data.channels=3'),
  ],
)
def test_mistakes(changes, message, open_source):
  with pytest.raises(UserError, match=message):
    open_source(**{'source': 'stacked:digits', **changes})
