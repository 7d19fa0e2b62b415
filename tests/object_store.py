"""A stand-in of Google Cloud Storage: its JSON API, on this machine.

What an object store can do and no more: an object is put whole, read whole or
in part, listed by the beginning of its name, copied and removed. There are no
folders beyond the names of objects, nothing is appended to and nothing renamed;
a put may ask that there be no object of its name yet. Real clients talk to it,
gcsfs and TensorStore, so that what they make of a store is tested with them.

  with ObjectStore() as store:
    subprocess.run(..., env=os.environ | store.environment)
"""

import base64
import collections
import hashlib
import http.server
import itertools
import json
import re
import threading
import time
import urllib.parse
from email.utils import formatdate
from typing import NamedTuple

BUCKET = 'bucket'  # the one that there is


class Stored(NamedTuple):
  """An object: its bytes, a number that no other put has, and when it was."""

  data: bytes
  generation: int
  at: float


class ObjectStore:
  """A server in a thread, and what it holds.

  Attributes:
    objects: by name, without the bucket.
    puts: how often each name was written.
    environment: what makes clients ask here, and not Google.
    refuses: patterns of names that nobody may write, as without permission.
    hides: patterns of names that nobody may read.
  """

  def __init__(self):
    self.objects: dict[str, Stored] = {}
    self.puts = collections.Counter()
    self.refuses: list[str] = []
    self.hides: list[str] = []
    self.lock = threading.Lock()
    self.uploads: dict[str, list] = {}
    self.numbers = itertools.count(1)
    store = self

    class Handler(_Handler):
      """Knows its store."""

      of = store

    self._server = _Server(('127.0.0.1', 0), Handler)
    self.address = f'http://127.0.0.1:{self._server.server_port}'
    self.environment = {
      'STORAGE_EMULATOR_HOST': self.address,  # gcsfs, google-cloud-storage
      'GOOGLE_CLOUD_PROJECT': 'nobody',
      'NO_GCE_CHECK': 'true',  # nor is there a machine's account
      'FSSPEC_GCS_TOKEN': 'anon',
      'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # asks by gRPC
      'TENSORSTORE_GCS_HTTP_URL': self.address,
      'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'none',  # TensorStore's
    }

  def __enter__(self):
    threading.Thread(target=self._server.serve_forever, daemon=True).start()
    return self

  def __exit__(self, *error):
    self._server.shutdown()
    self._server.server_close()

  def put(self, name: str, data: bytes, absent: str | None = None):
    """Writes an object; None if the generation is not what was asked for."""
    with self.lock:
      there = self.objects.get(name)
      now = there.generation if there else 0
      if absent is not None and int(absent) != now:
        return None
      self.puts[name] += 1
      stored = Stored(bytes(data), next(self.numbers), time.time())
      self.objects[name] = stored
      return stored

  def names(self, prefix: str = '') -> list[str]:
    """Of the objects, sorted."""
    with self.lock:
      return sorted(name for name in self.objects if name.startswith(prefix))


class _Server(http.server.ThreadingHTTPServer):
  daemon_threads = True

  def handle_error(self, request, client_address):
    del request, client_address  # clients hang up on what they need no more


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  # Or each answer waits 40 ms for the other side's acknowledgement.
  disable_nagle_algorithm = True
  of: ObjectStore

  def log_message(self, *args):
    del args  # nobody reads them

  def _ask(self) -> tuple[str, dict]:
    split = urllib.parse.urlsplit(self.path)
    query = urllib.parse.parse_qs(split.query, keep_blank_values=True)
    return split.path, {key: values[0] for key, values in query.items()}

  def _body(self) -> bytes:
    if self.headers.get('Transfer-Encoding') != 'chunked':
      return self.rfile.read(int(self.headers.get('Content-Length', 0)))
    parts = []
    while size := int(self.rfile.readline().partition(b';')[0], 16):
      parts.append(self.rfile.read(size))
      self.rfile.readline()
    self.rfile.readline()
    return b''.join(parts)

  def _answer(self, code: int, data: bytes = b'', **headers) -> None:
    self.send_response(code)
    for key, value in headers.items():
      self.send_header(key.replace('_', '-'), str(value))
    self.send_header('Content-Length', str(len(data)))
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(data)

  def _json(self, values: dict, code: int = 200) -> None:
    data = json.dumps(values).encode()
    self._answer(code, data, Content_Type='application/json')

  def _fault(self, code: int, words: str) -> None:
    self._json({'error': {'code': code, 'message': words}}, code)

  def do_GET(self):  # noqa: N802
    """An object, what is known of it, or a list."""
    path, query = self._ask()
    found = re.fullmatch(
      r'(?:/download)?/storage/v1/b/([^/]+)(/o(/.*)?)?', path
    )
    if not found or found[1] != BUCKET:
      return self._fault(404, 'The specified bucket does not exist.')
    if not found[2]:
      return self._json(
        {'kind': 'storage#bucket', 'id': BUCKET, 'name': BUCKET}
      )
    if not found[3]:
      return self._list(query)
    name = urllib.parse.unquote(found[3][1:])
    if any(re.search(pattern, name) for pattern in self.of.hides):
      return self._fault(403, 'does not have storage.objects.get access')
    with self.of.lock:
      stored = self.of.objects.get(name)
    if stored is None:
      return self._fault(404, f'No such object: {BUCKET}/{name}')
    if query.get('ifGenerationNotMatch') == str(stored.generation):
      return self._answer(304)
    if query.get('ifGenerationMatch', str(stored.generation)) != str(
      stored.generation
    ):
      return self._fault(412, 'conditionNotMet')
    if query.get('alt') != 'media':
      return self._json(_facts(name, stored))
    return self._media(stored)

  def _media(self, stored: Stored) -> None:
    size = len(stored.data)
    headers = {
      'X_Goog_Generation': stored.generation,
      'X_Goog_Stored_Content_Length': size,
      'Last_Modified': formatdate(stored.at, usegmt=True),
      'Content_Type': 'application/octet-stream',
    }
    asked = re.fullmatch(r'bytes=(\d*)-(\d*)', self.headers.get('Range', ''))
    if not asked:
      return self._answer(200, stored.data, **headers)
    first, last = asked.groups()
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if begin >= size:
      return self._fault(416, 'The requested range cannot be satisfied.')
    headers['Content_Range'] = f'bytes {begin}-{end - 1}/{size}'
    return self._answer(206, stored.data[begin:end], **headers)

  def _list(self, query: dict) -> None:
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter', '')
    most = int(query.get('maxResults', 1000))
    items, folders, token = [], {}, None
    for name in self.of.names(prefix):
      if name <= query.get('pageToken', ''):
        continue
      if name < query.get('startOffset', ''):
        continue
      if name >= query.get('endOffset', '\U0010ffff'):
        break
      inside, found, _ = name[len(prefix) :].partition(delimiter or '\0')
      if len(items) + len(folders) >= most:
        break
      token = name
      with self.of.lock:
        stored = self.of.objects.get(name)
      if found:
        folders[prefix + inside + delimiter] = True
      elif stored:
        items.append(_facts(name, stored))
    else:
      token = None
    more = {'nextPageToken': token} if token else {}
    self._json({'items': items, 'prefixes': list(folders)} | more)

  def do_DELETE(self):  # noqa: N802
    """Removes an object."""
    path, query = self._ask()
    name = urllib.parse.unquote(path.removeprefix(f'/storage/v1/b/{BUCKET}/o/'))
    with self.of.lock:
      stored = self.of.objects.get(name)
      asked = query.get('ifGenerationMatch')
      if stored and asked and asked != str(stored.generation):
        return self._fault(412, 'conditionNotMet')
      if stored:
        del self.of.objects[name]
    if not stored:
      return self._fault(404, f'No such object: {BUCKET}/{name}')
    return self._answer(204)

  def do_POST(self):  # noqa: N802
    """A put, in one request or several; or a copy."""
    (path, query), body = self._ask(), self._body()
    if 'upload_id' in query:
      return self._more(query['upload_id'], body)
    copy = re.fullmatch(
      r'/storage/v1/b/[^/]+/o/(.+)/rewriteTo/b/[^/]+/o/(.+)', path
    )
    if copy:
      source, to = map(urllib.parse.unquote, copy.groups())
      with self.of.lock:
        stored = self.of.objects.get(source)
      if not stored:
        return self._fault(404, f'No such object: {BUCKET}/{source}')
      made = self.of.put(to, stored.data)
      return self._json({'done': True, 'resource': _facts(to, made)})
    upload = re.fullmatch(r'/upload/storage/v1/b/([^/]+)/o', path)
    if not upload:  # to rename an object, or to change what is known of it
      return self._fault(501, 'not implemented')
    if upload[1] != BUCKET:
      return self._fault(404, 'The specified bucket does not exist.')
    return self._upload(query, body)

  do_PUT = do_POST  # noqa: N815

  def _upload(self, query: dict, body: bytes) -> None:
    kind, name = query.get('uploadType'), query.get('name')
    if kind == 'resumable':
      name = name or json.loads(body)['name']
      number = str(next(self.of.numbers))
      self.of.uploads[number] = [name, query.get('ifGenerationMatch'), b'']
      where = f'{self.of.address}/upload/storage/v1/b/{BUCKET}/o'
      asked = f'uploadType=resumable&upload_id={number}'
      return self._answer(200, Location=f'{where}?{asked}')
    if kind == 'multipart':
      mark = re.search(r'boundary="?([^";]+)', self.headers['Content-Type'])[1]
      _, facts, data = body.split(b'--' + mark.encode(), 2)
      name = json.loads(re.split(rb'\r?\n\r?\n', facts, maxsplit=1)[1])['name']
      data = re.split(rb'\r?\n\r?\n', data, maxsplit=1)[1]
      body = data[: data.rindex(b'\n--' + mark.encode())]
    return self._put(name, body, query.get('ifGenerationMatch'))

  def _put(self, name: str, data: bytes, absent: str | None) -> None:
    if any(re.search(pattern, name) for pattern in self.of.refuses):
      return self._fault(403, 'does not have storage.objects.create access')
    stored = self.of.put(name, data, absent)
    if stored is None:
      return self._fault(412, 'conditionNotMet')
    return self._json(_facts(name, stored))

  def _more(self, number: str, body: bytes) -> None:
    """A piece of an object; it is there when the last one has come."""
    upload = self.of.uploads[number]
    upload[2] += body
    total = self.headers['Content-Range'].rpartition('/')[2]
    if total == '*' or len(upload[2]) < int(total):
      return self._answer(308, Range=f'bytes=0-{len(upload[2]) - 1}')
    name, absent, data = self.of.uploads.pop(number)
    return self._put(name, data, absent)


def _facts(name: str, stored: Stored) -> dict:
  """What the API says of an object."""
  when = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(stored.at))
  when += f'.{int(stored.at % 1 * 1000):03d}Z'
  return {
    'kind': 'storage#object',
    'name': name,
    'bucket': BUCKET,
    'generation': str(stored.generation),
    'metageneration': '1',
    'size': str(len(stored.data)),
    'md5Hash': base64.b64encode(hashlib.md5(stored.data).digest()).decode(),
    'timeCreated': when,
    'updated': when,
  }
