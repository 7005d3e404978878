#!/bin/sh
# rsynclist LABEL INCLUDES EXCLUDES, in the source: brings what changed to every node of
# the list, to all at the same time. One that fails has all of them told again, which
# costs those that have it a comparison.
set -eu
[ "$1" = rsynclist ] || exit 64
dir=/etc/lockstep/nodes
pids=''
while read -r node; do
	rsync -aH --delete --modify-window=-1 --timeout=60 --exclude-from="$4" --include-from="$3" --exclude='*' \
		-e "ssh -F $dir/ssh_config -o BatchMode=yes -o ConnectTimeout=10" ./ "$node" </dev/null &
	pids="$pids $!"
done <"$dir/list"
failed=0
for pid in $pids; do
	wait "$pid" || failed=$?
done
exit "$failed"
