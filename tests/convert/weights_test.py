"""Where weights come from; AlexNet stands for all, being small."""

import json
import os
import pathlib
import sys

import jax
import numpy as np
import pytest

from gan_jax import convert, main, released
from gan_jax.convert import weights
from gan_jax.errors import UserError
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.lpips import Lpips
from gan_jax.networks.vgg import Vgg16
from tests.golden import rule

ABOUT, ARRAYS = rule.load('feature_nets')


@pytest.fixture(scope='module')
def alexnet():
  return rule.weights(ABOUT['nets']['alexnet'])


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_WEIGHTS', str(tmp_path / 'cache'))
  (tmp_path / 'cache').mkdir()
  weights._load.cache_clear()
  return tmp_path / 'cache'


def heads(net):
  return {
    f'lin{i}.model.1.weight': ARRAYS[f'in/lpips_{net}_lin{i}'][
      None, :, None, None
    ]
    for i in range(5)
  }


def safetensors(path, arrays):
  """Written from the format's description, not by its package."""
  header, data = {}, b''
  for name, array in arrays.items():
    raw = np.float32(array).tobytes()
    header[name] = {
      'dtype': 'F32',
      'shape': list(array.shape),
      'data_offsets': [len(data), len(data) + len(raw)],
    }
    data += raw
  text = json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, 'little') + text + data)


def same(loaded, kind, arrays):
  module, variables = convert.released(kind, arrays)
  assert loaded.module == module
  jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)


def test_the_cache_folders_files_are_found_by_name(cache, alexnet):
  np.savez(cache / 'alexnet-owt-7be5be79.npz', **alexnet)
  loaded = weights.load('alexnet')
  same(loaded, 'alexnet', alexnet)
  assert loaded.about.startswith('alexnet-owt-7be5be79.npz, sha256 ')
  # The name says so, the bytes do not: an .npz of rule weights.
  assert loaded.about.endswith(', not the published 7be5be79')
  assert loaded.digest[:12] in loaded.about


def test_converted_once(cache, alexnet, monkeypatch):
  np.savez(cache / 'alexnet.npz', **alexnet)
  weights.load('alexnet')
  kept = list((cache / 'converted').iterdir())
  assert [p.name.startswith('alexnet-') for p in kept] == [True]
  weights._load.cache_clear()
  monkeypatch.setattr(convert, 'released', None)
  again = weights.load('alexnet')
  monkeypatch.undo()
  same(again, 'alexnet', alexnet)


@pytest.mark.parametrize(
  'damage', [lambda d: d[: len(d) // 2], lambda d: b'', lambda d: b'x' + d]
)
def test_a_damaged_conversion_is_made_anew(cache, alexnet, damage, caplog):
  np.savez(cache / 'alexnet.npz', **alexnet)
  before = weights.load('alexnet')
  (kept,) = (cache / 'converted').iterdir()
  kept.write_bytes(damage(kept.read_bytes()))
  weights._load.cache_clear()
  again = weights.load('alexnet')
  assert 'is converted anew' in caplog.text
  assert again.module == before.module
  jax.tree.map(np.testing.assert_array_equal, again.variables, before.variables)
  weights._load.cache_clear()
  caplog.clear()
  weights.load('alexnet')
  assert not caplog.records


def test_another_file_of_the_same_name_is_converted_anew(cache, alexnet):
  np.savez(cache / 'alexnet.npz', **alexnet)
  first = weights.load('alexnet')
  other = alexnet | {'features.0.bias': alexnet['features.0.bias'] + 1}
  np.savez(cache / 'alexnet.npz', **other)
  os.utime(cache / 'alexnet.npz', ns=(1, 1))
  second = weights.load('alexnet')
  assert first.digest != second.digest
  same(second, 'alexnet', other)


def test_a_named_file_is_told_by_its_content(cache, alexnet, tmp_path):
  del cache
  file = tmp_path / 'whatever.bin'
  safetensors(file, alexnet)
  same(weights.load('alexnet', str(file)), 'alexnet', alexnet)


def test_lpips_is_a_backbone_and_heads(cache, alexnet, tmp_path):
  np.savez(cache / 'alexnet.npz', **alexnet)
  with pytest.raises(UserError, match='weights of lpips_alex are missing'):
    weights.load('lpips_alex')
  file = tmp_path / 'v0.1.npz'
  np.savez(file, **heads('alex'))
  loaded = weights.load('lpips_alex', str(file))
  same(loaded, 'lpips', alexnet | heads('alex'))
  assert 'alexnet.npz' in loaded.about and 'v0.1.npz' in loaded.about
  np.savez(file, **heads('vgg'))
  assert weights.find(str(file))['lpips_vgg'] == file


def test_the_whole_of_lpips_in_one_file(cache, alexnet, tmp_path):
  del cache
  whole = {
    name.replace('features.', 'net.slice1.'): value
    for name, value in alexnet.items()
  } | heads('alex')
  np.savez(tmp_path / 'a.npz', **whole)
  loaded = weights.load('lpips_alex', str(tmp_path / 'a.npz'))
  same(loaded, 'lpips', whole)


@pytest.mark.parametrize(
  'module',
  [
    AlexNet(),
    Vgg16(shift=(0.5, 0.25, 0.1), scale=(1 / 127.5,) * 3),
    Lpips(Vgg16(shift=(0.5, 0.25, 0.1))),
  ],
)
def test_a_module_comes_back_from_json(module):
  text = json.dumps(weights._about(module))
  assert weights._module(json.loads(text)) == module


def test_what_is_missing_is_said_with_where_it_is_published(cache):
  with pytest.raises(UserError) as error:
    weights.load('inception')
  said = str(error.value)
  assert 'pt_inception-2015-12-05-6726825d.pth' in said and str(cache) in said
  assert 'https://' in said and '\n' not in said


def test_a_file_of_another_network_is_refused(cache, alexnet, tmp_path):
  np.savez(cache / 'inception.npz', **alexnet)
  with pytest.raises(UserError, match='inception.npz: these arrays are no inc'):
    weights.load('inception')
  np.savez(tmp_path / 'x.npz', some=np.ones(3))
  with pytest.raises(UserError, match='x.npz holds none of the feature netw'):
    weights.load('inception', str(tmp_path / 'x.npz'))


def test_the_list(cache, alexnet):
  np.savez(cache / 'alexnet.npz', **alexnet)
  np.savez(cache / 'vgg16-397923af.npz', **alexnet)  # it is not
  text = weights.report()
  assert str(cache) in text
  assert 'alexnet: alexnet.npz, sha256' in text
  assert 'inception: missing: inception' in text
  assert 'vgg16-397923af.npz: these arrays are no vgg16' in text
  for published in weights.FILES.values():
    assert published.url in text


def test_the_published_file_is_known_by_its_hash():
  path = pathlib.Path('any.pth')
  digest = '397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0'
  said = weights._worded('vgg16', path, digest)
  assert said == 'any.pth, sha256 397923af8e79, the published file'
  assert 'not the published 6726825d' in weights._worded(
    'inception', path, digest
  )


def test_the_command_line_lists_them(cache, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['main', '--mode=weights'])
  main.main()
  assert f'Weights of feature networks in {cache}' in capsys.readouterr().out


def test_no_run_is_made_of_a_feature_network(alexnet, tmp_path):
  assert convert.find(alexnet) == [('alexnet', '')]
  vgg = rule.weights(ABOUT['nets']['vgg16'])
  assert convert.find(vgg) == [('vgg16', '')]
  with pytest.raises(TypeError, match='no way back'):
    convert.under_released_names('alexnet', {})
  np.savez(tmp_path / 'a.npz', **alexnet)
  with pytest.raises(UserError, match='holds no generator .* held are alexnet'):
    released.open_networks([str(tmp_path / 'a.npz')])
  with pytest.raises(UserError, match='--mode=weights says where such files'):
    released.open_networks([str(tmp_path / 'a.npz')], 'alexnet')
