#!/usr/bin/env bash
# A grid on a Cloud TPU: asks for the machines, waits, copies this repository, runs on all hosts,
# fetches the results and gives the machines back.
#
#   launch/tpu_vm.sh --project P --zone us-west4-a --accelerator_type v5litepod-16 \
#       --workdir gs://BUCKET/run [--name jaxseg] [--runtime_version V] [--spot] [--keep] \
#       [--results DIR] [--dry_run] -- --config configs/padding_ablation.py
#
# What follows -- goes to launch/grid.py. Starting the same command again continues: existing
# machines are used, lost ones are requested again, finished cells are kept. --keep leaves the machines,
# --dry_run prints the commands. Requires gcloud; the hosts' service account must write to the bucket.
set -euo pipefail

project="" zone="" type="" workdir="" name=jaxseg version=v2-alpha-tpuv5-lite
results="" spot=0 keep=0 dry_run=0

die() {
  echo "tpu_vm.sh: error: $1" >&2
  exit 2
}

while (($#)); do
  case $1 in
    --spot) spot=1 ;;
    --keep) keep=1 ;;
    --dry_run) dry_run=1 ;;
    --)
      shift
      break
      ;;
    --project | --zone | --accelerator_type | --workdir | --name | --runtime_version | --results)
      (($# > 1)) || die "$1: requires a value"
      case $1 in
        --project) project=$2 ;;
        --zone) zone=$2 ;;
        --accelerator_type) type=$2 ;;
        --workdir) workdir=$2 ;;
        --name) name=$2 ;;
        --runtime_version) version=$2 ;;
        --results) results=$2 ;;
      esac
      shift
      ;;
    *) die "argument '$1': not understood; see the head of this file" ;;
  esac
  shift
done
[[ -n $project ]] || die "--project: is required"
[[ -n $zone ]] || die "--zone: is required"
[[ -n $type ]] || die "--accelerator_type: is required, such as v5litepod-16"
[[ $workdir == gs://?* ]] || die "--workdir '$workdir': must be gs://…, which all hosts can reach"
(($#)) || die "--: must be followed by the arguments of launch/grid.py"
results=${results:-runs/${workdir##*/}}
place=(--project="$project" --zone="$zone")

run() {
  if ((dry_run)); then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

state() {
  gcloud compute tpus queued-resources describe "$name" "${place[@]}" \
    --format='value(state.state)' 2>/dev/null || true
}

delete() {
  run gcloud compute tpus queued-resources delete "$name" "${place[@]}" --force --quiet
}

create() {
  local options=()
  if ((spot)); then options+=(--spot); fi
  run gcloud compute tpus queued-resources create "$name" "${place[@]}" --node-id="$name" \
    --accelerator-type="$type" --runtime-version="$version" "${options[@]}"
}

acquire() {
  if ((dry_run)); then
    create
    return
  fi
  while true; do
    case $(state) in
      ACTIVE) return ;;
      "") create ;;
      FAILED | SUSPENDED) delete ;; # preempted, or never given
    esac
    sleep "${TPU_POLL_S:-30}"
  done
}

copy() {
  local archive
  archive=$(mktemp -d)/jaxseg.tgz
  run tar --exclude=.git --exclude=runs --exclude=.venv -czf "$archive" -C "$(dirname "$0")/.." .
  run gcloud compute tpus tpu-vm scp "$archive" "$name:jaxseg.tgz" "${place[@]}" --worker=all
  rm -rf "$(dirname "$archive")"
}

train() {
  local arguments setup
  arguments=$(printf '%q ' "--workdir=$workdir" "$@")
  setup='mkdir -p jaxseg && tar -xzf jaxseg.tgz -C jaxseg && cd jaxseg'
  setup+=' && python3 -m pip install --quiet uv'
  setup+=' && python3 -m uv venv --quiet --allow-existing --python 3.11 .venv'
  setup+=" && python3 -m uv pip install --quiet -c constraints/3.11.txt -e '.[tpu]'"
  run gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" --worker=all \
    --command="$setup && JAXSEG_DISTRIBUTED=1 .venv/bin/python launch/grid.py $arguments"
}

acquire
copy
if ! train "$@"; then
  echo "tpu_vm.sh: the run ended early (machines: $(state)); the same command continues it" >&2
  exit 1
fi
run mkdir -p "$results"
run gcloud storage rsync --recursive --exclude='^checkpoints/' "$workdir" "$results"
if ((keep == 0)); then delete; fi
