#!/bin/sh
# Copies the file .ssh/authorized_keys of each user from a master to /home, and nothing
# else; what else is in /home stays as it is.
#
# clsync called cp for each file, which is a handler of one's own. rsync does it as
# well: --no-delete is what keeps the rest of /home. A user's directory and .ssh are
# made where they are missing. clsync's own rules permit only to go into directories;
# here what is not synced is left out with all that is in it, so that the directories
# on the way have to be permitted as a whole (d).
exec lockstep clsync -M rsyncdirect -W /mnt/master/home -D /home -R /etc/clsync/rules/authorized_keys -- \
	%RSYNC-ARGS% --no-delete %watch-dir%/ %destination-dir%/
