"""Any picture file becomes uint8 of one size, by known formulas."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from gan_jax.data import picture, plain

FORM = picture.Form(0, 3, 'lanczos', 'white')


def load(data, channels=3, background='white'):
  """A file's bytes at their own size, int [h, w, channels]."""
  form = picture.Form(0, channels, 'lanczos', background)
  return form(picture.read(data).image).astype(int)


def compose(colour, alpha, ground):
  """The `over` operator on values 0..255."""
  alpha = alpha[..., None] / 255
  return np.round(colour * alpha + ground * (1 - alpha))


# Sizes.


@given(
  width=st.integers(1, 90),
  height=st.integers(1, 90),
  resolution=st.integers(1, 40),
  filter=st.sampled_from(sorted(picture.FILTERS)),
  value=st.integers(0, 255),
)
@settings(deadline=None)
def test_fit_is_square_and_keeps_a_constant(
  width, height, resolution, filter, value
):
  got = picture.fit(Image.new('L', (width, height), value), resolution, filter)
  assert got.size == (resolution, resolution)
  assert (np.asarray(got) == value).all()


@pytest.mark.parametrize('shape', [(48, 96), (96, 48), (48, 49), (48, 48)])
def test_fit_crops_the_centre(shape, encode):
  image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  got = np.asarray(picture.fit(Image.fromarray(image), 48, 'lanczos'))
  top, left = (shape[0] - 48) // 2, (shape[1] - 48) // 2
  assert (got == image[top : top + 48, left : left + 48]).all()


def test_box_filter_is_the_mean_of_blocks():
  image = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
  got = np.asarray(picture.fit(Image.fromarray(image), 16, 'box'))
  want = image.reshape(16, 4, 16, 4).mean((1, 3))
  assert np.abs(got - want).max() <= 1  # Pillow rounds after each direction


KERNELS = {  # support radius, function
  'lanczos': (3, lambda x: np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3)),
  'bilinear': (1, lambda x: np.maximum(0, 1 - np.abs(x))),
  'bicubic': (
    2,
    lambda x: np.where(
      np.abs(x) < 1,
      1.5 * np.abs(x) ** 3 - 2.5 * x**2 + 1,
      np.where(
        np.abs(x) < 2, -0.5 * np.abs(x) ** 3 + 2.5 * x**2 - 4 * np.abs(x) + 2, 0
      ),
    ),
  ),
}


@pytest.mark.parametrize('filter', sorted(KERNELS))
@pytest.mark.parametrize('size', [(50, 17), (13, 32)])  # shrinks, enlarges
def test_resize_is_the_antialiased_filter(filter, size):
  n, m = size
  image = np.random.default_rng(2).integers(0, 256, (n, n)).astype(np.uint8)
  # Textbook: kernel widened by the factor when shrinking, rows normalised.
  scale = max(n / m, 1)
  radius, kernel = KERNELS[filter]
  centre = (np.arange(m) + 0.5) * n / m
  offset = (np.arange(n)[None] + 0.5 - centre[:, None]) / scale
  weights = np.where(np.abs(offset) < radius, kernel(offset), 0)
  weights /= weights.sum(1, keepdims=True)
  # Pillow clips and rounds between the two directions.
  across = np.clip(np.round(image @ weights.T), 0, 255)
  want = np.clip(weights @ across, 0, 255)
  got = np.asarray(picture.fit(Image.fromarray(image), m, filter))
  assert np.abs(got - want).max() <= 2


@given(
  width=st.integers(1, 120),
  height=st.integers(1, 120),
  resolution=st.integers(1, 40),
  filter=st.sampled_from(sorted(picture.FILTERS)),
  channels=st.sampled_from([1, 3]),
)
@settings(deadline=None)
def test_fit_is_resize_then_crop_to_the_bit(
  width, height, resolution, filter, channels
):
  short = min(width, height)
  if max(width, height) > 4 * short:
    width = height = short
  shape = (height, width, 3) if channels == 3 else (height, width)
  noise = np.random.default_rng(width).integers(0, 256, shape)
  image = Image.fromarray(noise.astype(np.uint8))
  w, h = (round(s * resolution / short) for s in (width, height))
  left, top = (w - resolution) // 2, (h - resolution) // 2
  want = image.resize((w, h), picture.FILTERS[filter]).crop(
    (left, top, left + resolution, top + resolution)
  )
  got = picture.fit(image, resolution, filter)
  assert np.array_equal(np.asarray(got), np.asarray(want))


@pytest.mark.parametrize('mode', ['RGBA', 'P', '1', 'I;16', 'CMYK'])
@pytest.mark.parametrize('resolution', [0, 20])
def test_bands_change_nothing(mode, resolution, photo, monkeypatch):
  image = Image.fromarray(np.dstack([photo, photo[..., 0]]))
  if mode == 'I;16':
    image = Image.fromarray(photo[..., 0].astype(np.uint16) * 200)
  else:
    image = image if mode == 'RGBA' else image.convert('RGB').convert(mode)
  form = picture.Form(resolution, 3, 'lanczos', 'white')
  want = form(image)
  for large in (2**24, 1):
    monkeypatch.setattr(plain, '_LARGE', large)
    for pixels in (1, 200, 64 * 47, 64 * 48):
      monkeypatch.setattr(plain, '_BAND', pixels)
      assert (form(image) == want).all()


@pytest.mark.parametrize('filter', ['lanczos', 'bicubic', 'bilinear'])
@pytest.mark.parametrize('size', [(300, 7), (7, 300), (160, 30), (1, 90)])
@pytest.mark.parametrize('resolution', [5, 24])
def test_of_a_thin_picture_the_crop_is_the_same(filter, size, resolution):
  # Smooth, so that no value is clipped between the two directions.
  y, x = np.mgrid[: size[1], : size[0]]
  image = 120 + 60 * np.sin(x / 9) * np.cos(y / 11) + 20 * np.sin((x + y) / 3)
  image = Image.fromarray(image.astype(np.uint8))
  w, h = (round(s * resolution / min(size)) for s in size)
  left, top = (w - resolution) // 2, (h - resolution) // 2
  whole = image.resize((w, h), picture.FILTERS[filter])
  want = whole.crop((left, top, left + resolution, top + resolution))
  got = picture.fit(image, resolution, filter)
  assert np.abs(np.asarray(got).astype(int) - np.asarray(want)).max() <= 1


def test_resolution_0_leaves_the_size(photo, encode):
  assert (load(encode(photo)) == photo).all()


# Modes.


def test_grey_and_one_bit(photo, encode):
  grey = photo[..., 0]
  assert (load(encode(grey)) == grey[..., None]).all()
  assert (load(encode(grey), channels=1)[..., 0] == grey).all()
  bits = Image.fromarray(grey > 100)
  assert bits.mode == '1'
  assert (load(encode(bits)) == 255 * (grey > 100)[..., None]).all()


def test_colour_to_grey_is_luma(photo, encode):
  got = load(encode(photo), channels=1)[..., 0]
  assert np.abs(got - photo @ [0.299, 0.587, 0.114]).max() <= 1


def test_palette(photo, encode):
  few = photo // 128 * 127  # at most 8 colours: the palette holds them exactly
  image = Image.fromarray(few).quantize(8)
  assert image.mode == 'P'
  assert (load(encode(image)) == few).all()
  assert (load(encode(image, 'GIF')) == few).all()


@pytest.mark.parametrize('background, ground', [('white', 255), ('black', 0)])
def test_palette_with_a_transparent_colour(background, ground, encode):
  index = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
  image = Image.fromarray(index).convert('P')
  image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
  colours = np.array([[10, 20, 30], [ground] * 3, [70, 80, 90]])
  got = load(encode(image, transparency=1), background=background)
  assert (got == colours[index]).all()


@pytest.mark.parametrize('background, ground', [('white', 255), ('black', 0)])
@pytest.mark.parametrize('kind', ['PNG', 'WEBP'])
def test_rgba_is_composed(photo, background, ground, kind, encode):
  alpha = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)
  rgba = np.dstack([photo, alpha])
  options = dict(lossless=True, exact=True) if kind == 'WEBP' else {}
  got = load(encode(rgba, kind, **options), background=background)
  assert np.abs(got - compose(photo, alpha, ground)).max() <= 1


def test_grey_with_alpha_is_composed(photo, encode):
  la = photo[..., :2].copy()
  assert picture.read(encode(la)).image.mode == 'LA'
  want = compose(la[..., :1], la[..., 1], 255)
  assert np.abs(load(encode(la)) - want).max() <= 1
  assert np.abs(load(encode(la), channels=1) - want).max() <= 1


def test_rgb_with_one_transparent_colour(encode):
  image = np.full((2, 2, 3), 9, np.uint8)
  image[0, 1] = [1, 2, 3]
  got = load(encode(image, transparency=(1, 2, 3)))
  assert got[0, 1].tolist() == [255] * 3 and got[0, 0].tolist() == [9] * 3


def test_sixteen_bits_are_scaled_not_clipped(encode):
  values = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
  want = np.floor(values / 257 + 0.5)
  for kind in ('PNG', 'TIFF'):
    got = load(encode(values, kind))
    assert (got == want[..., None]).all()
  # 32-bit integers hold what older Pillow gives for 16-bit files.
  got = load(encode(values.astype(np.int32), 'TIFF'))
  assert (got == want[..., None]).all()


def test_cmyk(photo, encode):
  cmyk = np.dstack([photo, photo[..., 0] // 2])
  image = Image.fromarray(cmyk, 'CMYK')
  want = (255 - cmyk[..., :3].astype(int)) * (255 - cmyk[..., 3:].astype(int))
  assert np.abs(load(encode(image, 'TIFF')) - want / 255).max() <= 1
  got = load(encode(image, 'JPEG', quality=100))
  assert np.abs(got - want / 255).mean() < 6


@pytest.mark.parametrize(
  'kind, error', [('PNG', 0), ('BMP', 0), ('TIFF', 0), ('JPEG', 4), ('WEBP', 5)]
)
def test_formats(kind, error, photo, encode):
  got = load(encode(photo, kind))
  assert np.abs(got - photo).mean() <= error


def test_first_frame_of_several(encode):
  frames = [Image.new('L', (4, 4), v) for v in (10, 200)]
  for kind in ('GIF', 'TIFF'):
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert (load(data) == 10).all()


# Ranges.


@pytest.mark.parametrize('top', [1, 100, 255])
def test_wide_numbers_that_are_8_bits_stay(top, encode):
  values = (np.arange(64) % (top + 1)).astype(np.int32).reshape(8, 8)
  values[0, 0] = top
  data = encode(values, 'TIFF')
  assert (load(data) == values[..., None]).all()
  stored = picture.read(data).stored
  assert stored == '32-bit grey within 0..255'
  assert FORM.of_mode(stored) == 'taken for 8 bits, to RGB'


@pytest.mark.parametrize('top', [256, 4095, 65535])
def test_wide_numbers_that_are_16_bits_are_scaled(top, encode):
  values = np.linspace(0, top, 64).astype(np.int32).reshape(8, 8)
  want = np.floor(values / 257 + 0.5)
  assert (load(encode(values, 'TIFF')) == want[..., None]).all()


@pytest.mark.parametrize(
  'values, reason',
  [
    (np.full((4, 4), 10**6, np.int32), '1000000'),
    (np.full((4, 4), -1, np.int32), '-1'),
    (np.ones((4, 4), np.float32), 'no fixed range'),
    (np.full((4, 4), 200, np.float32), '200 to 200'),
    (np.full((4, 4), np.nan, np.float32), 'no fixed range'),
    (np.full((4, 4), np.inf, np.float32), 'no fixed range'),
    (np.arange(16, dtype=np.uint16).reshape(4, 4), 'no value above 15'),
    (np.full((4, 4), 255, np.uint16), 'no value above 255'),
  ],
)
def test_values_that_do_not_tell_their_range(values, reason, encode):
  kinds = ('TIFF', 'PNG') if values.dtype == np.uint16 else ('TIFF',)
  for kind in kinds:
    with pytest.raises(picture.BadPictureError, match=reason):
      load(encode(values, kind))


def test_black_is_black(encode):
  for dtype in (np.uint16, np.int32):
    assert (load(encode(np.zeros((4, 4), dtype), 'TIFF')) == 0).all()


def tiff(values, bits, photometric, order='<'):
  """A TIFF of grey samples of so many bits, by its specification."""
  height, width = values.shape
  ones = ''.join(format(v, f'0{bits}b') for v in values.ravel())
  body = int(ones, 2).to_bytes(len(ones) // 8, 'big')
  if bits == 16:
    body = values.astype(f'{order}u2').tobytes()
  tags = [
    (256, width),
    (257, height),
    (258, bits),
    (259, 1),
    (262, photometric),
    (273, 8 + 2 + 10 * 12 + 4),
    (277, 1),
    (278, height),
    (279, len(body)),
    (339, 1),
  ]
  head = {'<': b'II*\0', '>': b'MM\0*'}[order] + struct.pack(f'{order}I', 8)
  entries = b''.join(
    struct.pack(f'{order}HHII', tag, 4, 1, value) for tag, value in tags
  )
  count = struct.pack(f'{order}H', len(tags))
  return head + count + entries + struct.pack(f'{order}I', 0) + body


def test_tiffs_of_12_bits_have_4095_for_white():
  values = np.linspace(0, 4095, 64).astype(int).reshape(8, 8)
  data = tiff(values, 12, 1)
  want = np.floor(values * 255 / 4095 + 0.5)
  assert (load(data) == want[..., None]).all()
  assert picture.read(data).stored == '12-bit grey'


@pytest.mark.parametrize('order, white', [('<', 1), ('>', 1), ('<', 0)])
def test_tiffs_of_16_bits_and_their_white(order, white):
  values = np.linspace(0, 65535, 64).astype(int).reshape(8, 8)
  want = np.floor(values / 257 + 0.5)
  want = want if white else 255 - want
  assert (load(tiff(values, 16, white, order)) == want[..., None]).all()


# Transparency.


def chunk(kind, data):
  crc = zlib.crc32(kind + data)
  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)


def png(depth, colour, samples, *chunks):
  """A PNG, by its specification: samples are int [h, w] or [h, w, 3]."""
  rows = b''
  for row in samples:
    bits = ''.join(format(v, f'0{depth}b') for v in row.ravel())
    bits += '0' * (-len(bits) % 8)
    rows += b'\0' + int(bits, 2).to_bytes(len(bits) // 8, 'big')
  head = struct.pack('>IIBBBBB', *samples.shape[1::-1], depth, colour, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', head)
    + b''.join(chunks)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize('background, ground', [('white', 255), ('black', 0)])
@pytest.mark.parametrize('depth', [1, 2, 4, 8, 16])
def test_grey_with_one_transparent_value(depth, background, ground):
  top = 2**depth - 1
  values = np.array([[0, top, top // 3, 2 * top // 3]])
  for key in set(values.ravel().tolist()):
    data = png(depth, 0, values, chunk(b'tRNS', struct.pack('>H', key)))
    want = np.where(values == key, ground, values * 255 // top)
    for channels in (1, 3):
      got = load(data, channels, background)
      assert (got == want[..., None]).all(), (depth, key)
    stored = picture.read(data).stored
    assert f'composed onto {background}' in picture.Form(
      0, 3, 'box', background
    ).of_mode(stored)


@pytest.mark.parametrize('background, ground', [('white', 255), ('black', 0)])
@pytest.mark.parametrize('depth', [8, 16])
def test_colour_with_one_transparent_colour(depth, background, ground):
  scale = 1 if depth == 8 else 257
  colours = np.array([[[10, 20, 30], [10, 20, 31], [0, 255, 7]]])
  for k in range(3):
    key = struct.pack('>HHH', *(scale * colours[0, k]).tolist())
    data = png(depth, 2, scale * colours, chunk(b'tRNS', key))
    want = colours.copy()
    want[0, k] = ground
    assert (load(data, background=background) == want).all()


@pytest.mark.parametrize('depth', [1, 2, 4, 8])
def test_palettes_with_transparency_of_each_colour(depth):
  n = min(2**depth, 5)
  index = np.arange(n)[None]
  palette = np.arange(3 * n).reshape(n, 3) * 7
  alpha = np.linspace(0, 255, n).astype(int)
  data = png(
    depth,
    3,
    index,
    chunk(b'PLTE', bytes(palette.ravel().tolist())),
    chunk(b'tRNS', bytes(alpha.tolist())),
  )
  want = compose(palette[None], alpha[None], 255)
  assert np.abs(load(data) - want).max() <= 1


@pytest.mark.parametrize('mode', ['LA', 'La', 'PA', 'RGBA', 'RGBa'])
def test_modes_with_alpha(mode, photo):
  rgba = np.dstack([photo, photo[..., 0] // 2])
  image = Image.fromarray(rgba)
  if mode == 'PA':
    image = Image.fromarray(photo).quantize(8).convert('PA')
    image.putalpha(Image.fromarray(rgba[..., 3]))
    colour = np.asarray(image.convert('RGB')).astype(int)
  elif mode in ('LA', 'La'):
    image = image.convert('LA')
    colour = np.asarray(image)[..., :1].astype(int)
    image = image.convert(mode)
  else:
    image, colour = image.convert(mode), photo.astype(int)
  got = FORM(image).astype(int)
  want = compose(colour, rgba[..., 3], 255)
  # Premultiplied values have lost what a low alpha hides.
  assert np.abs(got - want).max() <= (1 if mode[-1] == 'A' else 3)


def test_alpha_premultiplied_in_a_tiff(photo, encode):
  alpha = photo[..., 0] // 2 + 100
  light = np.round(photo * (alpha[..., None] / 255)).astype(np.uint8)
  data = encode(np.dstack([light, alpha]), 'TIFF')
  straight, premultiplied = (struct.pack('<HHII', 338, 3, 1, k) for k in (2, 1))
  assert data.count(straight) == 1
  got = load(data.replace(straight, premultiplied))
  assert np.abs(got - compose(photo, alpha, 255)).max() <= 3


# EXIF. The value says where the stored row 0 and column 0 belong.
UPRIGHT = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: x.swapaxes(0, 1)[:, ::-1],
  7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
  8: lambda x: x.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize('orientation', UPRIGHT)
def test_exif_rotation(orientation, photo, encode):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  want = UPRIGHT[orientation](photo)
  png = picture.read(encode(photo, exif=exif))
  assert (np.asarray(png.image) == want).all()
  assert png.turned == (orientation != 1)
  jpeg = load(encode(photo, 'JPEG', exif=exif))
  assert jpeg.shape == want.shape and np.abs(jpeg - want).mean() < 4


def test_broken_exif_does_not_cost_the_picture(photo, encode):
  data = encode(photo, 'JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff\xff garbage')
  assert picture.read(data).image.size == (64, 48)


# Broken files.


@pytest.mark.parametrize(
  'data, reason',
  [
    (b'', 'empty'),
    (b'not a picture\n', 'not a PNG'),
    (b'P5 2 2 255 abcd', 'not a PNG'),  # Pillow could, but need not
    (b'%!PS-Adobe-3.0 EPSF-3.0\n', 'not a PNG'),
    (b'\x89PNG\r\n\x1a\n' + bytes(300), '.'),
    (b'RIFF\0\0\0\0WEBPVP8 ', '.'),
  ],
)
def test_what_is_not_a_picture(data, reason):
  with pytest.raises(picture.BadPictureError, match=reason):
    picture.read(data)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF'])
def test_truncated_files_are_found(kind, photo, encode):
  noisy = photo ^ np.random.default_rng(0).integers(0, 64, photo.shape).astype(
    np.uint8
  )
  data = encode(noisy, kind)
  for part in (0.02, 0.3, 0.6, 0.9):
    with pytest.raises(picture.BadPictureError):
      picture.read(data[: int(part * len(data))])


@given(
  data=st.data(),
  kind=st.sampled_from(['PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF']),
)
@settings(deadline=None, max_examples=150)
def test_damage_gives_a_picture_or_a_reason(data, kind, encode, photo):
  file = bytearray(encode(photo, kind))
  for _ in range(data.draw(st.integers(1, 8))):
    file[data.draw(st.integers(0, len(file) - 1))] = data.draw(
      st.integers(0, 255)
    )
  try:
    assert load(bytes(file)).ndim == 3
  except picture.BadPictureError as e:
    assert str(e)
