#!/bin/sh
# The functions of a shared object in place of a program: examples/so/copy.c, compiled
# against include/clsync/clsync.h (include/README.md) and installed where only root can
# write.
exec lockstep clsync -M so -S /usr/local/lib/clsync/copy.so -W /srv/www -D /backup/www -t1
