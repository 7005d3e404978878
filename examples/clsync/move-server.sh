#!/bin/sh
# Moves a web server to another host: copies while it serves, stops it, copies what
# changed since, and starts it over there.
#
# clsync's own line has the stop and the start as hooks. lockstep's hooks run in a jail,
# where they can do neither, and need not: a copy that ends when it is in step can be
# called twice. It lacks -D, and a password for the rsync daemon of the other host.
set -eu
copy() {
	lockstep clsync --exit-on-no-events -M rsyncdirect -W /var/www -D rsync://clsync@another-host/var/www -- \
		%RSYNC-ARGS% --password-file=/etc/lockstep/another-host %watch-dir%/ %destination-dir%/
}
copy
systemctl stop apache2
copy
ssh another-host systemctl start apache2
