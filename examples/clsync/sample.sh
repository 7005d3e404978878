#!/bin/sh
# The example to play with: ./testdir/from is mirrored into ./testdir/to, but for a
# directory called dontSync.
set -eu
mkdir -p testdir/from testdir/to
exec lockstep clsync -M rsyncdirect -w2 -t5 -p safe -W testdir/from -D testdir/to -R rules/sample
