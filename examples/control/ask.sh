#!/bin/sh
# Asks a running lockstep: ask.sh SOCKET COMMAND [SYNC]; it needs socat(1). The
# protocol: docs/control.md.
printf '{"v":1,"command":"%s","sync":"%s"}\n' "$2" "$3" | socat -t 30 - "UNIX-CONNECT:$1"
