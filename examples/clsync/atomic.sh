#!/bin/sh
# Copies a tree that still changes, and what changes meanwhile, until nothing is left
# to copy: then it ends, with 0 when the target is what the source is.
#
# clsync's own line lacks -D, without which clsync did not start. --max-iterations is
# not there yet: to give up on a tree that never rests, put timeout(1) before it.
exec lockstep clsync --exit-on-no-events -M rsyncdirect -W /var/www_new -D /var/www
