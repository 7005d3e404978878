#!/usr/bin/python3
# Asks a running lockstep: ask.py SOCKET COMMAND [SYNC]. The protocol: docs/control.md.
import json, socket, sys

request = {"v": 1, "command": sys.argv[2]}
if len(sys.argv) > 3:
    request["sync"] = sys.argv[3]
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.sendall(json.dumps(request).encode() + b"\n")
    answer = json.loads(s.makefile().readline())
print(json.dumps(answer.get("result"), indent=2) if answer["ok"] else answer["error"]["message"])
sys.exit(not answer["ok"])
