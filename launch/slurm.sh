#!/usr/bin/env bash
# A run as a Slurm job, requeued when it is preempted or its time is over.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/options.bash"

usage() {
  cat <<'TEXT'
Usage: launch/slurm.sh [OPTIONS] -- ARGUMENTS OF python -m gan_jax.main

  launch/slurm.sh --nodes=2 --gpus=8 -- --config=configs/progan_celebahq.py \
      --workdir=/shared/runs/faces

  --nodes=N        default 1
  --gpus=N         of a node; default 0: CPUs
  --per=node|gpu   a process for each node, which sees all its GPUs (default),
                   or for each GPU
  --cpus=N         CPUs of a process, default 8
  --time=T         of one run of the job, default 24:00:00
  --partition=P    --account=A    --name=N (default gan_jax)
  --python=FILE    default venv/bin/python of this folder
  --dry-run        prints the batch script and submits nothing

Submit it from the folder of the clone, which all nodes must see, as they must
the run's folder (--workdir). Two minutes before the time is over, and before a
preemption, Slurm sends SIGTERM: the run is saved, ends with 75 and the job is
put back into the queue, where it goes on. The log is gan_jax-JOB.log.
TEXT
}

nodes=1 gpus=0 per=node cpus=8 time=24:00:00 partition='' account=''
name=gan_jax python=venv/bin/python dry_run='' arguments=()
take "nodes gpus per cpus time partition account name python" 'dry-run' "$@"
need_arguments
case $per in
  node) tasks=1 ;;
  gpu) tasks=$gpus ;;
  *) fail "--per=$per is neither node nor gpu" ;;
esac
[ "$tasks" -gt 0 ] || fail '--per=gpu needs --gpus=N'

script() {
  echo '#!/usr/bin/env bash'
  echo "#SBATCH --job-name=$name"
  echo "#SBATCH --nodes=$nodes"
  echo "#SBATCH --ntasks-per-node=$tasks"
  echo "#SBATCH --cpus-per-task=$cpus"
  [ "$gpus" = 0 ] || echo "#SBATCH --gpus-per-node=$gpus"
  echo "#SBATCH --time=$time"
  [ -z "$partition" ] || echo "#SBATCH --partition=$partition"
  [ -z "$account" ] || echo "#SBATCH --account=$account"
  echo '#SBATCH --output=gan_jax-%j.log'
  echo '#SBATCH --open-mode=append'
  echo '#SBATCH --requeue'
  echo '#SBATCH --signal=TERM@120'
  # JAX finds number, count and coordinator in what srun sets. A process a node
  # must see all of its GPUs: JAX takes one a task where srun is not told.
  devices=''
  if [ "$per" = node ] && [ "$gpus" -gt 1 ]; then
    devices="JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((gpus - 1))) "
  fi
  printf '%ssrun --kill-on-bad-exit=1 %q -m gan_jax.main' "$devices" "$python"
  printf ' %q' "${arguments[@]}"
  cat <<'TEXT'

code=$?
# 75: stopped by a signal and saved, or another process was lost or did not come;
# 134: JAX has noticed that it was lost; 143: ended by a signal before a step.
case $code in
  75 | 134 | 143) scontrol requeue "$SLURM_JOB_ID" ;;
esac
exit $code
TEXT
}

if [ -n "$dry_run" ]; then
  script
else
  script | sbatch
fi
