package seccomp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/seccomp/bpfsim"
)

// inputs are what a filter may be asked, at random, but rather at the edges of its
// table: its numbers and those beside them, and arguments that just meet a condition
// or just miss it.
type inputs struct {
	rng   *rand.Rand
	arch  uint32
	rules []Call
	nrs   []int32
}

func newInputs(t *testing.T, f Filter, seed uint64) *inputs {
	t.Helper()
	in := &inputs{rng: rand.New(rand.NewPCG(seed, 7)), arch: auditArch[f.Arch]}
	in.rules = append(append(in.rules, f.Allow...), f.Deny...)
	for _, c := range in.rules {
		in.nrs = append(in.nrs, nr(t, c.Name, f.Arch))
	}
	return in
}

func (in *inputs) next() bpfsim.Data {
	d := bpfsim.Data{Arch: in.arch, IP: in.rng.Uint64()}
	if in.rng.IntN(16) == 0 {
		d.Arch = [...]uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, in.arch + 1, in.arch ^ 1<<31, 0, in.rng.Uint32()}[in.rng.IntN(8)]
	}
	at := in.rng.IntN(len(in.rules))
	switch d.NR = in.nrs[at]; in.rng.IntN(16) {
	case 0:
		d.NR++
	case 1:
		d.NR--
	case 2:
		d.NR |= x32Bit
	case 3:
		d.NR ^= 1 << in.rng.IntN(31)
	case 4:
		d.NR = int32(in.rng.Uint32())
	case 5:
		d.NR = int32(in.rng.IntN(600))
	}
	for i := range d.Args {
		d.Args[i] = in.number()
	}
	for _, c := range in.rules[at].If {
		d.Args[c.Arg] = in.edge(c)
	}
	return d
}

// number is any argument.
func (in *inputs) number() uint64 {
	switch in.rng.IntN(5) {
	case 0:
		return in.rng.Uint64()
	case 1:
		return uint64(in.rng.Uint32())
	case 2:
		return uint64(in.rng.IntN(256))
	case 3:
		return 1 << in.rng.IntN(64)
	}
	return [...]uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}[in.rng.IntN(9)]
}

// edge is an argument at or beside what a condition asks for.
func (in *inputs) edge(c Cond) uint64 {
	v := c.Value
	if !c.Not {
		v |= in.number() &^ c.Mask // what the condition does not look at
	}
	switch in.rng.IntN(8) {
	case 0:
		return v ^ 1<<in.rng.IntN(64)
	case 1:
		return v + 1
	case 2:
		return v - 1
	case 3:
		return ^v
	case 4:
		return in.number()
	}
	return v
}

// TestMillionInputs runs each filter, as the kernel would, and its table over a
// million inputs: no difference, and no instruction that was not reached.
func TestMillionInputs(t *testing.T) {
	n := 50_000
	if os.Getenv("LOCKSTEP_SCALE") == "full" {
		n = 1_000_000
	}
	seed := testenv.Number(t, "LOCKSTEP_SEED", uint64(time.Now().UnixNano()))
	t.Logf("to repeat it: LOCKSTEP_SEED=%d", seed)
	begin, instructions := time.Now(), 0
	for _, role := range Roles() {
		for _, arch := range []string{AMD64, ARM64} {
			f := Table(role, arch)
			m, p, in := newModel(t, f), program(t, f), newInputs(t, f, seed)
			verdicts := map[uint32]int{}
			for range n {
				d := in.next()
				got, err := p.Run(d)
				if err != nil {
					t.Fatal(err)
				}
				if want := m.verdict(d); got != want {
					t.Fatalf("%s on %s: nr %d arch %#x args %#x: the filter says %#x, its table %#x", role, arch, d.NR, d.Arch, d.Args, got, want)
				}
				verdicts[got]++
			}
			if dead := p.Unreached(); len(dead) != 0 {
				t.Errorf("%s on %s: of %d instructions these were not reached: %v", role, arch, p.Len(), dead)
			}
			instructions += p.Len()
			t.Logf("%s on %s: %d rules, %d of %d instructions, %s", role, arch, len(in.rules), p.Len()-len(p.Unreached()), p.Len(), said(verdicts))
		}
	}
	t.Logf("%d inputs for each of %d filters, %d instructions in all, every one reached, 0 differences, %v", n, 2*len(Roles()), instructions, time.Since(begin).Round(time.Millisecond))
}

func said(verdicts map[uint32]int) string {
	return fmt.Sprintf("allowed %d, killed %d, ENOSYS %d", verdicts[retAllow], verdicts[retKill], verdicts[retNoSys])
}
