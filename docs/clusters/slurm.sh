#!/bin/bash
# sbatch --array=1-20 slurm.sh FOLDER     20 tasks share the runs that `calmix compare ... --plan` listed in FOLDER
#SBATCH --job-name=calmix
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=calmix-%A-%a.log

# exec: SLURM's SIGTERM, two minutes before the time is up, reaches calmix, which keeps a checkpoint of each run;
# the same sbatch line goes on from there
exec calmix work "$1" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --workers "$SLURM_CPUS_PER_TASK"
