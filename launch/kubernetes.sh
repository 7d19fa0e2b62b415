#!/usr/bin/env bash
# A run on Kubernetes, as a JobSet (jobset.sigs.k8s.io).
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/options.bash"

usage() {
  cat <<'TEXT'
Usage: launch/kubernetes.sh [OPTIONS] -- ARGUMENTS OF python -m gan_jax.main

  launch/kubernetes.sh --name=faces --image=REGISTRY/gan_jax --claim=runs \
      --hosts=2 --gpus=8 -- --config=configs/progan_celebahq.py \
      --workdir=/runs/faces

  --name=N      of the JobSet
  --image=I     a container with gan_jax installed and python on its PATH
  --claim=C     a PersistentVolumeClaim that all pods may write to; it is /runs.
                Without, the run's folder is in a bucket: --workdir=gs://...
  --hosts=N     pods, a process each; default 1
  --gpus=N      of a pod (nvidia.com/gpu); or, on GKE,
  --tpus=N      chips of a pod (google.com/tpu), with --accelerator=A, such as
                tpu-v5-lite-podslice, and --topology=T, such as 4x4
  --restarts=N  how often all pods are started again when one of them is taken
                away, lost, or ends otherwise than by a mistake or fault that it
                tells (exit code 1), which ends them all; default 100
  --grace=S     seconds from SIGTERM to the end of a pod, default 120
  --dry-run     prints the manifest and applies nothing

The run goes on where its folder says; so --workdir lies below /runs, or in a
bucket. What process 0 says: kubectl logs -f -l
jobset.sigs.k8s.io/jobset-name=N,batch.kubernetes.io/job-completion-index=0
To end it: kubectl delete jobset N. It takes JobSet 0.6 and later. Secrets (of a
registry, a bucket) are the service account's.
TEXT
}

name='' image='' claim='' hosts=1 gpus=0 tpus=0 accelerator='' topology=''
restarts=100 grace=120 dry_run='' arguments=()
take "name image claim hosts gpus tpus accelerator topology restarts grace" 'dry-run' "$@"
need_arguments
for needed in name image; do
  [ -n "${!needed}" ] || fail "--$needed=... is missing"
done

if [ "$tpus" != 0 ]; then
  arguments+=(--processes=auto) # GKE tells each pod of a slice who it is
elif [ "$hosts" != 1 ]; then
  # Kubernetes puts the pod's own number in place of $(...).
  arguments+=("--coordinator=$name-host-0-0.$name:12355"
    "--processes=$hosts" "--process=\$(JOB_COMPLETION_INDEX)")
fi

# A word as a YAML string.
string() { printf "'%s'" "${1//\'/\'\'}"; }

manifest() {
  cat <<YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
spec:
  failurePolicy:
    maxRestarts: $restarts
    rules:
    - name: toldByThePod
      action: FailJobSet
      onJobFailureReasons: [PodFailurePolicy]
  network:
    enableDNSHostnames: true
  replicatedJobs:
  - name: host
    replicas: 1
    template:
      spec:
        completionMode: Indexed
        completions: $hosts
        parallelism: $hosts
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: gan-jax
              operator: In
              values: [1, 2]
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: $grace
YAML
  if [ "$tpus" != 0 ]; then
    cat <<YAML
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: $(string "$accelerator")
              cloud.google.com/gke-tpu-topology: $(string "$topology")
YAML
  fi
  if [ -n "$claim" ]; then
    cat <<YAML
            volumes:
            - name: runs
              persistentVolumeClaim:
                claimName: $claim
YAML
  fi
  cat <<YAML
            containers:
            - name: gan-jax
              image: $(string "$image")
YAML
  if [ -n "$claim" ]; then
    cat <<YAML
              volumeMounts:
              - name: runs
                mountPath: /runs
YAML
  fi
  if [ "$gpus" != 0 ]; then
    printf '              resources:\n                limits:\n'
    printf '                  nvidia.com/gpu: %s\n' "$gpus"
  elif [ "$tpus" != 0 ]; then
    printf '              resources:\n                limits:\n'
    printf '                  google.com/tpu: %s\n' "$tpus"
  fi
  printf '              command: [python, -m, gan_jax.main]\n              args:\n'
  for argument in "${arguments[@]}"; do
    printf '              - %s\n' "$(string "$argument")"
  done
}

if [ -n "$dry_run" ]; then
  manifest
else
  manifest | kubectl apply -f -
fi
