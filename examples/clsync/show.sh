#!/bin/sh
# Copies nothing, and shows what would be done, as a lockstep.toml; written to a file,
# `lockstep check -c FILE` shows rsync's whole command lines.
#
# clsync's own line has echo as the handler for that.
exec lockstep clsync --print-config -M rsyncdirect -W /srv/www -D /backup/www
