#!/bin/sh
# Calls echo(1) for each path, so that the log shows what a handler would be told, and
# changes nothing: clsync's dry run, in the jail that a handler has.
exec lockstep clsync -M simple -S /bin/echo -W /opt/global
