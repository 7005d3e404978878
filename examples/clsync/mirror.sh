#!/bin/sh
# Mirrors a directory: /backup/www becomes and stays what /srv/www is.
#
# With clsync's own delays: a change is copied half a minute after it.
exec lockstep clsync -M rsyncdirect -W /srv/www -D /backup/www
