#!/bin/sh
# rsynclist LABEL INCLUDES EXCLUDES, in the source: a container to its other server.
set -eu
[ "$1" = rsynclist ] || exit 64
label=$2
case $CLSYNC_STATUS in
initsync) set -- --exclude-from="$4" --exclude=/rootfs/var/log/ --bwlimit=20m ;;
*) set -- --exclude-from="$4" --exclude=/rootfs/var/log/ --include-from="$3" --exclude='*' ;;
esac
exec rsync -aH --numeric-ids --delete --modify-window=-1 --timeout=300 "$@" \
	-e 'ssh -F /etc/lockstep/brother/ssh_config -o BatchMode=yes -o ConnectTimeout=10' ./ "brother:/srv/lxc/$label/"
