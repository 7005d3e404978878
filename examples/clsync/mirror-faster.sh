#!/bin/sh
# Mirrors a directory, five seconds after a change; big files too.
exec lockstep clsync -w5 -t5 -T5 -M rsyncdirect -W /srv/www -D /backup/www
