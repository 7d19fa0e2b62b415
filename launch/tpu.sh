#!/usr/bin/env bash
# A run on a Cloud TPU, of one host or a pod.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/options.bash"

usage() {
  cat <<'TEXT'
Usage: launch/tpu.sh create|install|run|logs|stop|delete --name=N --zone=Z ...

  launch/tpu.sh create --name=a --zone=us-east5-b --type=v5litepod-16 --spot
  launch/tpu.sh install --name=a --zone=us-east5-b --repo=https://... --at=main
  launch/tpu.sh run --name=a --zone=us-east5-b -- \
      --config=configs/sgan_cifar.py:n=16 --workdir=gs://bucket/sgan
  launch/tpu.sh logs --name=a --zone=us-east5-b

  create    --type=T (v5litepod-16, v6e-8, ...)  --version=V of the software,
            default v2-alpha-tpuv5-lite  --spot: cheaper, taken away at any time
            --queued: waits until there is room
  install   --repo=URL  --at=BRANCH, TAG OR COMMIT: on every host, to ~/gan_jax
  run       the command on every host, in the background; one that runs already
            is left alone
  logs      what process 0 has said, and goes on to say (Ctrl-C ends it)
  stop      SIGTERM to every host: the run is saved, `run` goes on with it
  delete    the TPU (and its queued request: --queued)

  --project=P  gcloud's own default    --dry-run  prints what would be run

The run's folder must be one that all hosts see: in a bucket, gs://BUCKET/FOLDER,
or on a mounted file share.
Credentials are those of gcloud and of the TPU's service account: nothing secret
is passed or written here.
TEXT
}

[ $# -gt 0 ] || { usage >&2 && exit 2; }
job=$1 && shift
name='' zone='' project='' type='' version=v2-alpha-tpuv5-lite spot='' queued=''
repo='' at=main dry_run='' arguments=()
take "name zone project type version repo at" 'spot queued dry-run' "$@"

case $job in
  -h | --help | help) usage && exit ;;
  create | install | run | logs | stop | delete) ;;
  *) fail "no $job; see --help" ;;
esac
[ -n "$name" ] || fail "$job needs --name=N"
[ -n "$zone" ] || fail "$job needs --zone=Z"
where=("--zone=$zone")
[ -z "$project" ] || where+=("--project=$project")

call() {
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@" && echo
  else
    "$@"
  fi
}

# on_hosts WORKERS COMMAND: on all of them, or on one.
on_hosts() {
  call gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" "--worker=$1" \
    "--command=$2"
}

quoted() { printf '%q ' "$@"; }

case $job in
  create)
    [ -n "$type" ] || fail 'create needs --type=T, such as v5litepod-16'
    if [ -n "$queued" ]; then
      call gcloud compute tpus queued-resources create "$name" "${where[@]}" \
        "--node-id=$name" "--accelerator-type=$type" \
        "--runtime-version=$version" ${spot:+--spot}
    else
      call gcloud compute tpus tpu-vm create "$name" "${where[@]}" \
        "--accelerator-type=$type" "--version=$version" ${spot:+--spot}
    fi
    ;;
  install)
    [ -n "$repo" ] || fail 'install needs --repo=URL'
    on_hosts all "set -e; test -d gan_jax || git clone -q $(quoted "$repo") gan_jax; \
cd gan_jax; git fetch -q; git checkout -q $(quoted "$at"); \
python3 -m venv venv; venv/bin/pip install -q -e '.[tpu,gcs]'"
    ;;
  run)
    [ ${#arguments[@]} -gt 0 ] || fail 'run needs -- ARGUMENTS OF python -m gan_jax.main'
    # The lock lasts as long as the process does.
    on_hosts all "cd gan_jax; nohup flock -n run.lock \
venv/bin/python -m gan_jax.main --processes=auto $(quoted "${arguments[@]}")\
>>run.log 2>&1 </dev/null &"
    ;;
  logs) on_hosts 0 'tail -n 100 -F gan_jax/run.log' ;;
  stop) on_hosts all "pkill -TERM -f '[g]an_jax.main'" ;;
  delete)
    if [ -n "$queued" ]; then
      call gcloud compute tpus queued-resources delete "$name" "${where[@]}" \
        --force --quiet
    else
      call gcloud compute tpus tpu-vm delete "$name" "${where[@]}" --quiet
    fi
    ;;
esac
