#!/usr/bin/env bash
# Several processes on this machine that train one run.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/options.bash"

# shellcheck disable=SC2329 # options.bash calls it
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

processes=2 port=12355 python=python dry_run='' arguments=()
take "processes port python" 'dry-run' "$@"
need_arguments
[[ $processes =~ ^[1-9][0-9]*$ ]] ||
  fail "--processes=$processes is no number"

declare -A living=() # by process id
command=("$python" -m gan_jax.main "${arguments[@]}"
  "--coordinator=localhost:$port" "--processes=$processes")
gpus=
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  gpus=1
fi
for ((i = 0; i < processes; i++)); do
  one=("${command[@]}" "--process=$i")
  [ -z "$gpus" ] || one=(env "CUDA_VISIBLE_DEVICES=$i" "${one[@]}")
  if [ -n "$dry_run" ]; then
    printf '%q ' "${one[@]}" && echo
  elif [ "$i" = 0 ]; then
    "${one[@]}" &
    living[$!]=1
  else
    "${one[@]}" > >(sed -u "s/^/[$i] /") 2>&1 &
    living[$!]=1
  fi
done
[ -z "$dry_run" ] || exit 0

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
