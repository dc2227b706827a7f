#!/bin/sh
# sh ssh.sh FOLDER HOST ...     hosts that share this directory take the runs listed in FOLDER, as each is free
folder=$1
shift
for host in "$@"; do
    ssh "$host" "cd '$PWD' && exec calmix work '$folder'" &
done
wait
calmix report "$folder"
