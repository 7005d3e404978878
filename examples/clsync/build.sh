#!/bin/sh
# Builds a program anew when one of its sources changes, a second later, in a directory
# of its own: the source cannot be written to.
#
# clsync had --have-recursive-sync for one call of make(1) at its start; a list of lines
# (mode shell, and a word with its path) does so for each batch. The Makefile is of the
# source, and so of whoever can write there: in the jail, it reaches the build alone.
exec lockstep clsync -M shell -S /usr/bin/make -W /srv/src -D /srv/build -t1 -w1 -- \
	-C %destination-dir% -f %watch-dir%/Makefile SRC=%watch-dir% CHANGED=%INCLUDE-LIST-PATH%
