#!/bin/sh
# The handler of owner.toml: a mirror in which what is root's in the source is
# www-data's. rsync gives away what it has made itself, below the target alone; chown(1)
# on a tree that others write to gives away whatever they have put a link to.
exec rsync -aH --delete --modify-window=-1 --ignore-times --usermap=root:www-data --groupmap=root:www-data \
	--exclude-from="$4" --include-from="$3" --exclude='*' ./ /backup/www/
