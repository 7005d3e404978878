#!/bin/sh
# rsynclist LABEL INCLUDES EXCLUDES, in the source: brings the target, which it is told
# of by no word, in step. Its rsync compares what is there (--ignore-times: a file that
# was written may have the same size and time as before), but for a whole pass, in which
# size and time decide.
set -eu
[ "$1" = rsynclist ] || exit 64
if [ "$CLSYNC_STATUS" = initsync ]; then
	compare=--modify-window=-1
else
	compare=--ignore-times
fi
exec rsync -aH --delete "$compare" --exclude-from="$4" --include-from="$3" --exclude='*' ./ /backup/www/
