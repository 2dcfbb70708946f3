#!/bin/bash
# Runs the data stages of a recipe on all machines of a Slurm job, one replica a GPU.
#   sbatch docs/cluster/slurm.sh RECIPE [key=value ...]
# The folder that this is started from must be seen by all machines, and hold an environment .venv with
# constitutional-ai[ray,vllm,train,report,data]. The same line again goes on where the job ended.
#SBATCH --job-name=cai
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:INT@120
set -euo pipefail
set -m  # without job control, what runs in the background is deaf to Ctrl-C
source .venv/bin/activate
gpus_a_node=${SLURM_GPUS_ON_NODE:-8}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}'):6379"
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

srun --overlap --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --block --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus_a_node" &
until ray status --address="$address" >/dev/null 2>&1; do sleep 2; done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --block --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus_a_node" &
fi

# Two minutes before the time limit Slurm interrupts: the run stops as on Ctrl-C, and exits with 130.
cai run "$@" executor.type=ray executor.address="$address" executor.gpus=1 \
  executor.concurrency="[1,$((SLURM_JOB_NUM_NODES * gpus_a_node))]" &
run=$!
trap 'kill -INT "$run"' INT
wait "$run" || wait "$run"
