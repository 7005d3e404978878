package pump

import (
	"encoding/binary"
	"io"

	"lockstep/ipc/status"
)

// ReadCommands passes the supervisor's commands on. It ends when the supervisor is gone, which ends this process too.
func ReadCommands(r io.Reader, out chan<- status.Command) {
	var b [8]byte
	for {
		n, err := r.Read(b[:])
		if err != nil {
			return
		}
		if n == len(b) {
			out <- status.Command(binary.LittleEndian.Uint64(b[:]))
		}
	}
}
