#!/bin/sh
# Mirrors a directory to a backup disk, as clsync's configuration hpc-backup does, and
# keeps the last version of what is replaced or deleted there in /mnt/backup/home/decrement.
#
# One directory of the system for each: / itself is no source. There decrement was beside
# the mirror; here it is in it, since a command can write to its target alone.
exec lockstep clsync -M rsyncdirect -W /home -D /mnt/backup/home -X -t 10 \
	-- %RSYNC-ARGS% --acls --sparse --backup --backup-dir=decrement %watch-dir%/ %destination-dir%/
