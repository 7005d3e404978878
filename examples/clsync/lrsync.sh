#!/bin/sh
# Mirrors a directory as told by rsync's own words, like clsync's lrsync.
exec lockstep lrsync -azX --delete --bwlimit=10m /srv/www /backup/www
