#!/bin/sh
# A configuration file with blocks that inherit: each container is mirrored to the
# other server within fifteen seconds and to a backup within half an hour, by a
# process of its own. The label names the container, and so its directories.
lockstep clsync -H /etc/clsync/containers.conf -K brother -l web1 &
lockstep clsync -H /etc/clsync/containers.conf -K backup -l web1 &
wait
