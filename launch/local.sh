#!/usr/bin/env bash
# Several processes on this machine that train one run.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/local.sh [--processes=N] [--port=P] [--python=FILE] [--dry-run]
                       -- ARGUMENTS OF python -m gan_jax.main

  launch/local.sh --processes=2 -- --config=configs/dcgan_cifar.py

Starts N processes (default 2) that find each other at localhost:P (default
12355). Where there are NVIDIA GPUs each process sees one, process I the I-th.
Ctrl-C and SIGTERM are passed on: all stop at the same step, saved, and the same
command goes on. If one process fails the others are stopped.

Exit code: 0 when the run is done, 75 when a signal has stopped it, else that of
the process that failed. Output of process I > 0 is marked [I].
TEXT
}

processes=2 port=12355 python=python dry=
while [ $# -gt 0 ]; do
  case $1 in
    --processes=*) processes=${1#*=} ;;
    --port=*) port=${1#*=} ;;
    --python=*) python=${1#*=} ;;
    --dry-run) dry=1 ;;
    -h | --help) usage && exit ;;
    --) shift && break ;;
    *) echo "launch/local.sh: unknown $1; see --help" >&2 && exit 2 ;;
  esac
  shift
done
[ $# -gt 0 ] || { usage >&2 && exit 2; }
[[ $processes =~ ^[1-9][0-9]*$ ]] ||
  { echo "launch/local.sh: --processes=$processes is no number" >&2 && exit 2; }

declare -A living=() # by process id
command=("$python" -m gan_jax.main "$@"
  "--coordinator=localhost:$port" "--processes=$processes")
gpus=
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  gpus=1
fi
for ((i = 0; i < processes; i++)); do
  one=("${command[@]}" "--process=$i")
  [ -z "$gpus" ] || one=(env "CUDA_VISIBLE_DEVICES=$i" "${one[@]}")
  if [ -n "$dry" ]; then
    printf '%q ' "${one[@]}" && echo
  elif [ "$i" = 0 ]; then
    "${one[@]}" &
    living[$!]=1
  else
    "${one[@]}" > >(sed -u "s/^/[$i] /") 2>&1 &
    living[$!]=1
  fi
done
[ -z "$dry" ] || exit 0

stop() { kill -TERM "${!living[@]}" 2>/dev/null || true; }
trap stop TERM INT
code=0
while [ ${#living[@]} -gt 0 ]; do
  ended=0 who=
  wait -n -p who "${!living[@]}" || ended=$?
  [ -n "${who:-}" ] || continue # a signal came, and was passed on
  unset "living[$who]"
  if [ "$ended" != 0 ] && [ "$code" = 0 ]; then
    code=$ended
    # After a signal the others are saving, just as far. After a fault they
    # would wait for the one that is gone.
    [ "$ended" = 75 ] || stop
  fi
done
exit "$code"
