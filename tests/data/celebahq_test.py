"""CelebA-HQ's preparation on a few small pictures."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gan_jax.data import celeba, celebahq, faces
from gan_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
POINTS = [[40, 50], [60, 50], [50, 62], [43, 75], [57, 75]]
NAMES = [f'{i:06d}.jpg' for i in range(1, 9)]


def line(name, points=POINTS):
  return ' '.join([name, *(str(int(n)) for point in points for n in point)])


def write_landmarks(folder, names):
  heads = 'lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y ...'
  lines = [str(len(names)), heads, *map(line, names)]
  (folder / celeba.LANDMARKS).write_text('\n'.join(lines) + '\n')


@pytest.fixture(name='whole', scope='session')
def _whole(tmp_path_factory):
  """Picture k is blurred by k - 1: the first is the best."""
  root = tmp_path_factory.mktemp('celeba')
  (root / 'img_celeba').mkdir()
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (120, 100, 3), np.uint8)
  for i, name in enumerate(NAMES):
    image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(0.5 + i / 2))
    image.save(root / 'img_celeba' / name, quality=95)
  write_landmarks(root, NAMES)
  return root


@pytest.fixture(name='celeb')
def _celeb(whole, tmp_path):
  return pathlib.Path(shutil.copytree(whole, tmp_path / 'celeba'))


@pytest.fixture(name='prepare')
def _prepare(celeb, tmp_path, monkeypatch):
  """The job, in threads: processes take seconds to start."""
  monkeypatch.setattr(
    celebahq, '_processes', concurrent.futures.ThreadPoolExecutor
  )

  def prepare(**flags):
    given = dict(
      celeba=celeb, out=tmp_path / 'hq', count=3, size=64, restore='', jobs=2
    )
    return celebahq.prepare(**(given | flags))

  return prepare


def pictures(out):
  return sorted(file.name for file in out.glob('*.png'))


def test_the_best_are_kept_and_a_run_can_train_on_them(
  prepare, celeb, tmp_path, open_source
):
  out = tmp_path / 'hq'
  words = prepare()
  assert pictures(out) == ['000001.png', '000002.png', '000003.png']
  assert 'the best 3 of 8 pictures, 64x64; restoration: none ran' in words
  report = json.loads((out / 'report.json').read_text())
  assert report['finished'] and report['restoration'] == 'none ran'
  assert report['not used'] == {} and report['kept'] == 3
  # Each is what the functions make of the file, to the bit.
  image = np.asarray(Image.open(celeb / 'img_celeba' / '000002.jpg'))
  want = faces.cut(image, faces.crop_of(POINTS), 64)
  assert (np.asarray(Image.open(out / '000002.png')) == want).all()
  source = open_source(f'folder:{out}', resolution=0)
  assert len(source) == 3 and source.shape == (64, 64, 3)
  assert (source[1][0] == want).all()
  assert not [file for file in out.iterdir() if file.name[0] == '.']


def test_what_is_there_is_not_made_again(prepare, tmp_path, monkeypatch):
  out = tmp_path / 'hq'
  prepare()
  (out / '000002.png').unlink()
  before = (out / '000001.png').stat().st_mtime_ns
  lines = (out / 'quality.jsonl').read_text().splitlines()
  # As a kill leaves them: half a line, and a scratch file.
  half = [*lines[:5], lines[5][:20]]
  (out / 'quality.jsonl').write_text('\n'.join(half))
  (out / '.000002.1234.png').write_bytes(b'half')
  calls, real = [], celeba.Maker.__call__

  def counted(self, name, points, file):
    calls.append((name, file and file.name))
    return real(self, name, points, file)

  monkeypatch.setattr(celeba.Maker, '__call__', counted)
  prepare()
  written = [json.loads(text)['name'] for text in lines]
  assert sorted(calls, key=str) == sorted(
    [('000002.jpg', '000002.png'), *((name, None) for name in written[5:])],
    key=str,
  )
  assert pictures(out) == ['000001.png', '000002.png', '000003.png']
  assert (out / '000001.png').stat().st_mtime_ns == before
  assert not (out / '.000002.1234.png').exists()
  # More or fewer of them: nothing is judged again.
  calls.clear()
  prepare(count=5)
  assert calls and all(file for _, file in calls)
  assert len(pictures(out)) == 5
  calls.clear()
  prepare(count=1)
  assert pictures(out) == ['000001.png'] and not calls


def test_bad_files_are_named_and_left_out(prepare, celeb, tmp_path):
  folder = celeb / 'img_celeba'
  (folder / '000001.jpg').write_bytes(b'no picture')
  content = (folder / '000002.jpg').read_bytes()
  (folder / '000002.jpg').write_bytes(content[: len(content) // 2])
  (folder / 'notes.txt').write_text('no picture, and not taken for one')
  (folder / 'other.jpg').write_bytes(content)
  (folder / '000004.jpg').unlink()
  words = prepare()
  assert pictures(tmp_path / 'hq') == ['000003.png', '000005.png', '000006.png']
  bad = json.loads((tmp_path / 'hq' / 'report.json').read_text())['not used']
  assert list(bad) == ['000001.jpg', '000002.jpg', 'other.jpg']
  assert bad['other.jpg'] == 'it has no landmarks'
  assert all(f'{name}: {why}' in words for name, why in bad.items())
  assert '1 lines of landmarks are of no picture there' in words
  # Once it is mended it is used.
  (folder / '000001.jpg').write_bytes(content)
  prepare()
  assert '000001.png' in pictures(tmp_path / 'hq')


def test_a_picture_that_goes_bad_gives_its_place_to_the_next(
  prepare, celeb, tmp_path
):
  prepare(count=1)
  (celeb / 'img_celeba' / '000002.jpg').write_bytes(b'gone bad')
  prepare(count=3)
  names = ['000001.png', '000003.png', '000004.png']
  assert pictures(tmp_path / 'hq') == names


def test_restoration_runs_before_the_crop_and_is_reported(
  prepare, celeb, tmp_path, monkeypatch
):
  (tmp_path / 'nets.py').write_text(
    'import numpy as np\n'
    'def darker(image):\n'
    '  return image // 2\n'
    'def twice(image):\n'
    '  return np.kron(image, np.ones((2, 2, 1), np.uint8))\n'
    'def wide(image):\n'
    '  return image[:, :-1]\n'
    'def floats(image):\n'
    '  return image / 255\n'
    'def fails(image):\n'
    '  raise ValueError("no weights")\n'
    'number = 3\n'
  )
  monkeypatch.syspath_prepend(tmp_path)
  words = prepare(restore='nets:darker,nets:twice')
  assert 'restoration: nets:darker,nets:twice ran' in words
  image = np.asarray(Image.open(celeb / 'img_celeba' / '000001.jpg')) // 2
  got = np.asarray(Image.open(tmp_path / 'hq' / '000001.png')).astype(int)
  # Twice as large, and landmarks with it: the same place.
  want = faces.cut(image, faces.crop_of(POINTS), 64)
  assert np.abs(got - want).mean() < 4
  for restore, message in {
    'nets:wide': r'nets|wide makes \[120, 99, 3\] of \[120, 100, 3\]',
    'nets:floats': 'gives float64; it should give uint8',
    'nets:fails': r'fails at 00000\d.jpg \(ValueError: no weights\)',
    'nets:none': 'cannot be imported',
    'nowhere:f': 'cannot be imported',
    'nets': 'cannot be imported',
    'nets:number': 'is no function',
  }.items():
    with pytest.raises(UserError, match=message):
      prepare(restore=restore, out=tmp_path / restore.replace(':', ''))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda d: shutil.rmtree(d / 'img_celeba'), 'no folder img_celeba'),
    (lambda d: (d / celeba.LANDMARKS).unlink(), 'no list_landmarks_celeba'),
    (lambda d: (d / celeba.LANDMARKS).write_text('8\nx y\n'), 'no landmarks'),
    (lambda d: write_landmarks(d, ['x.jpg']), 'none of its 8 pictures'),
    (
      lambda d: (d / celeba.LANDMARKS).write_text(
        '2\nnames\n' + line('a.jpg') + '\nb.jpg 1 2 3\n'
      ),
      'line 4 is not',
    ),
    (
      lambda d: (d / celeba.LANDMARKS).write_text(
        line('a.jpg').replace('50', 'nan')
      ),
      'line 1 is not',
    ),
  ],
)
def test_missing_inputs(change, message, prepare, celeb, tmp_path):
  change(celeb)
  with pytest.raises(UserError, match=message) as refused:
    prepare()
  assert '\n' not in str(refused.value)
  assert not pictures(tmp_path / 'hq')


def test_another_set_in_the_same_folder_is_refused(prepare, tmp_path):
  out = tmp_path / 'hq'
  prepare(count=1)
  with pytest.raises(UserError, match='was begun with'):
    prepare(size=128)
  (out / 'report.json').write_text('{')
  with pytest.raises(UserError, match='is damaged'):
    prepare()
  (out / 'report.json').unlink()
  with pytest.raises(UserError, match='holds other files'):
    prepare()
  assert pictures(out) == ['000001.png']


@pytest.mark.parametrize('inside', ['Img', 'Img/img_celeba', 'img_celeba'])
def test_where_the_pictures_may_lie(inside, celeb):
  there = celeb / 'moved'
  (celeb / 'img_celeba').rename(there)
  (celeb / inside).mkdir(parents=True)
  there.rename(celeb / inside / 'img_celeba')
  (celeb / 'Anno').mkdir()
  file = celeb / celeba.LANDMARKS
  file.rename(celeb / 'Anno' / celeba.LANDMARKS)
  folder, known = celeba.find(celeb)
  assert folder == celeb / inside / 'img_celeba'
  assert known['000003.jpg'] == POINTS and len(known) == 8


# The command.


def command(celeb, out, *more):
  flags = [f'--celeba={celeb}', f'--out={out}', '--count=3', '--size=256']
  return subprocess.Popen(
    [sys.executable, '-m', 'gan_jax.data.celebahq', *flags, *more],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )


@pytest.mark.slow
def test_the_command_killed_and_started_again(celeb, tmp_path):
  out = tmp_path / 'hq'
  process = command(celeb, out, '--jobs=1')
  end = time.monotonic() + 60
  while not (out / 'quality.jsonl').exists() and time.monotonic() < end:
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert process.returncode == -9
  process = command(celeb, out, '--jobs=2')
  said, errors = process.communicate(timeout=120)
  assert process.returncode == 0, errors
  assert 'the best 3 of 8' in said and 'none ran' in said
  assert pictures(out) == ['000001.png', '000002.png', '000003.png']
  assert errors == ''
  for name in pictures(out):
    assert Image.open(out / name).size == (256, 256)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], '--celeba=DIR and --out=DIR are needed'),
    (['--celeba=x', '--out=y', '--size=9'], '--size=9 is not within 64'),
    (['--celeba=x', '--out=y', '--count=0'], '--count=0 is not within 1'),
    (['--celeba=x', '--out=y', '--jobs=a'], 'jobs'),
    (['--celeba=/nowhere', '--out=y'], 'no folder img_celeba'),
    (['--out=y', '--celebs=x'], '--celebs'),
  ],
)
def test_mistakes_end_in_a_sentence(flags, message):
  with pytest.raises(SystemExit) as ended:
    celebahq.main(flags)
  assert message in str(ended.value)
  assert str(ended.value).startswith('gan_jax: ')


def test_help_names_every_flag(capsys):
  celebahq.main(['--help'])
  said = capsys.readouterr().out
  for flag in 'celeba out count size restore jobs debug'.split():
    assert f'\n--{flag} ' in said
