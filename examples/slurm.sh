#!/bin/bash
# Pretraining on 4 machines of 8 GPUs under Slurm, over as many time limits as it needs: sbatch examples/slurm.sh recipe.toml
#
# srun starts one process a GPU, so that Slurm's signals reach every rank: two minutes before the time limit all save and
# leave with exit code 130, and the job puts itself back into the queue. After a crash of a machine --requeue does that too;
# the newest whole checkpoint is found in either case.
#SBATCH --job-name=genus
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

recipe=${1:?name a recipe: sbatch examples/slurm.sh recipe.toml}
export MASTER_ADDR MASTER_PORT
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))

# One copy of the model a machine and 8 shards in it: change to fit the model (docs/scale.md).
srun --kill-on-bad-exit=1 bash -c '
    export WORLD_SIZE=$SLURM_NTASKS RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
    exec genus pretrain "$0" --parallel.replicate "$SLURM_NNODES"' "$recipe"
code=$?

[ "$code" -eq 130 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
