#!/bin/bash
# The loop that people write themselves: loop SRC DST. It runs rsync over the
# whole tree once per burst of events; a burst is what has come by the time the
# one before was copied.
src=$1 dst=$2
exec 3< <(exec inotifywait -m -r --format '' -e close_write,create,delete,move,attrib "$src" 2>&1)
watcher=$!
trap 'kill $watcher; exit 0' TERM INT
while read -r line <&3; do
	case $line in "Watches established."*) echo "$line"; break ;; esac
done
rsync -aH --delete "$src/" "$dst/"
# -N: by blocks, since bash otherwise reads a pipe byte by byte.
while read -r -N 1 _ <&3; do
	while read -r -N 65536 -t 0.001 _ <&3; do :; done
	rsync -aH --delete "$src/" "$dst/"
done
