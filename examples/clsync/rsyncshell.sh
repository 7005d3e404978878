#!/bin/sh
# A handler of one's own around rsync, told by rsync's lists: examples/handlers/rsyncshell.sh,
# installed where only root can write.
exec lockstep clsync -M rsyncshell -S /usr/local/lib/clsync/rsyncshell.sh -W /srv/www -D /backup/www -R /etc/clsync/rules/sample
