package seccomp

import (
	"testing"

	"lockstep/internal/testenv/record"
	"lockstep/seccomp/bpfsim"
)

// expect waits for the record of a process's death, which must name the call.
func expect(t *testing.T, log *record.Log, pid int, d bpfsim.Data) {
	t.Helper()
	if err := log.Expect(pid, d.Arch, d.NR); err != nil {
		t.Fatal(err)
	}
}

// data is the attack as the filter sees it.
func (a attack) data(t *testing.T, arch string) bpfsim.Data {
	d := bpfsim.Data{NR: nr(t, a.name, arch), Arch: auditArch[arch]}
	copy(d.Args[:], a.args)
	return d
}
