package generation

import (
	"fmt"
	"os"
	"syscall"

	"lockstep/internal/sys"
	"lockstep/ipc/witness"
	"lockstep/supervise/proc"
	"lockstep/supervise/slots"
)

// guard serves a runner that asks for leave to start commands: conn is ours. A
// runner that breaks the protocol, or does not read what it hears, is killed.
func (m *Maker) guard(p *proc.Process, conn *os.File, host string, records *ledger) {
	client := m.Slots.Join(host, func(word byte) {
		if err := grant(conn, word); err != nil {
			m.stray(p, err)
		}
	})
	p.Refuse = client.Refuse
	standby := m.Standby.Join(client.Hold, client.Waits)
	p.Go(func() {
		defer client.Leave()
		defer standby.Leave()
		defer conn.Close()
		defer records.close()
		records.pid = p.PID
		word := make([]byte, witness.MaxPacket)
		for {
			n, err := conn.Read(word)
			if err != nil {
				return // it has gone
			}
			switch hear := func() error { return client.Hear(word[0]) }; {
			case n != 1:
				err = records.hear(word[:n], m.goes(p, conn))
			case word[0] == slots.Done:
				err = hear()
			default:
				err = standby.Ask(hear)
			}
			if err != nil {
				m.stray(p, err)
				return
			}
		}
	})
}

// grant sends one word and never waits.
func grant(conn *os.File, word byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = sys.SendPacket(int(fd), []byte{word}, -1, syscall.MSG_DONTWAIT) })
	if err != nil || sent == syscall.EPIPE || sent == syscall.ECONNRESET {
		return nil // it has gone, which its reader sees
	}
	return sent
}

// stray ends a runner that is not what it was.
func (m *Maker) stray(p *proc.Process, err error) {
	m.Starter.Lost(p.Role, fmt.Errorf("violation: %w; it is killed", err))
	m.Starter.Trail.Violation(m.Starter.Sync, p.Role, err)
	_ = p.Kill() // its end comes by Exits
}
