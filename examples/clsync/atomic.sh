#!/bin/sh
# Copies a tree that still changes, and what changes meanwhile, until nothing is left
# to copy, but in no more than twenty rounds: then it ends, with 0.
#
# clsync's own line lacks -D, without which clsync did not start.
exec lockstep clsync --exit-on-no-events --max-iterations=20 -M rsyncdirect -W /var/www_new -D /var/www
