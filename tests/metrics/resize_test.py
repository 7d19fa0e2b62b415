"""Resizers against torch-fidelity, pytorch-fid and Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_jax.errors import UserError
from gan_jax.metrics import resize
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')


@pytest.mark.parametrize('size', [32, 64, 299])
@pytest.mark.parametrize('name', ['tf1_bilinear', 'half_pixel_bilinear'])
def test_golden(size, name):
  images = inputs.value(ABOUT, ARRAYS, f'img_{size}x{size}')
  ours = inputs.nchw(resize.resize(images, 299, name))
  kept = rule.stored(ABOUT, ARRAYS, f'resize_{size}x{size}', f'{name}_299')
  assert rule.relative_error(ours, *kept) < 1e-6


@settings(max_examples=12, deadline=None)
@given(
  height=st.sampled_from([1, 5, 20, 47]),
  width=st.sampled_from([2, 13, 40]),
  size=st.sampled_from([7, 20, 31]),
)
def test_bicubic_against_pillow_on_floats(height, width, size):
  x = np.random.default_rng(height).random((height, width)) * 255
  wanted = Image.fromarray(x.astype(np.float32)).resize(
    (size, size), Image.Resampling.BICUBIC
  )
  got = resize.resize(x[None, :, :, None], size, 'antialiased_bicubic')
  np.testing.assert_allclose(
    got[0, :, :, 0], np.clip(wanted, 0, 255), atol=2e-3
  )


@pytest.mark.parametrize('name', resize.RESIZERS)
def test_constant_images_stay_and_units_are_those_of_the_weights(name):
  x = np.full((1, 50, 40, 3), 200, np.uint8)
  got = resize.for_inception(x, name)
  assert got.shape == (1, 299, 299, 3)
  half = name == 'half_pixel_bilinear'
  expected = 200 / 127.5 - 1 if half else 72 / 128
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_unknown_name():
  with pytest.raises(UserError, match='tf1_bilinear'):
    resize.resize(np.zeros((1, 8, 8, 3)), 4, 'lanczos')
