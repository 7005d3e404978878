#!/bin/sh
# Mirrors a directory, at once.
#
# clsync slept for a second between any two passes all the same; here nothing waits.
exec lockstep clsync -w0 -t0 -T0 -M rsyncdirect -W /srv/www -D /backup/www
