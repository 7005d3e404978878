package seccomp

import (
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/seccomp/bpfsim"
)

// x32Bit marks the x32 numbers of amd64 (<asm/unistd.h>, __X32_SYSCALL_BIT).
const x32Bit = 0x4000_0000

var auditArch = map[string]uint32{
	AMD64: unix.AUDIT_ARCH_X86_64,
	ARM64: unix.AUDIT_ARCH_AARCH64,
}

const (
	retKill  = unix.SECCOMP_RET_KILL_PROCESS
	retAllow = unix.SECCOMP_RET_ALLOW
	retNoSys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// model answers from the data alone, as slowly and plainly as can be.
type model struct {
	filter Filter
	allow  map[int32][]Call
	deny   map[int32][]Call
}

func newModel(t *testing.T, f Filter) model {
	t.Helper()
	m := model{filter: f, allow: map[int32][]Call{}, deny: map[int32][]Call{}}
	for _, c := range f.Allow {
		m.allow[nr(t, c.Name, f.Arch)] = append(m.allow[nr(t, c.Name, f.Arch)], c)
	}
	for _, c := range f.Deny {
		m.deny[nr(t, c.Name, f.Arch)] = append(m.deny[nr(t, c.Name, f.Arch)], c)
	}
	return m
}

func nr(t *testing.T, name, arch string) int32 {
	t.Helper()
	n, err := number(name, arch)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

func (m model) verdict(d bpfsim.Data) uint32 {
	if d.Arch != auditArch[m.filter.Arch] {
		return retKill
	}
	// -1 is not an x32 number: the kernel itself uses it for "no call".
	if m.filter.Arch == AMD64 && uint32(d.NR) >= x32Bit && d.NR != -1 {
		return retKill
	}
	allowed, denied := matches(m.allow[d.NR], d.Args), matches(m.deny[d.NR], d.Args)
	switch {
	case allowed && denied:
		panic("a call is both allowed and denied") // disjointness is asserted below
	case allowed:
		return retAllow
	case denied:
		return retKill
	case m.filter.Default == NoSys:
		return retNoSys
	default:
		return retKill
	}
}

func matches(rules []Call, args [6]uint64) bool {
	for _, r := range rules {
		ok := true
		for _, c := range r.If {
			if c.Not {
				ok = ok && args[c.Arg] != c.Value
			} else {
				ok = ok && args[c.Arg]&c.Mask == c.Value
			}
		}
		if ok {
			return true
		}
	}
	return false
}

// variants are arguments that meet the conditions of one rule, and their near
// misses: every single bit of every condition's argument turned over.
func variants(c Call, rng *rand.Rand) [][6]uint64 {
	var base [6]uint64
	for i := range base {
		base[i] = rng.Uint64()
	}
	for _, cond := range c.If {
		if cond.Not {
			base[cond.Arg] = cond.Value ^ 1<<rng.UintN(64)
		} else {
			base[cond.Arg] = base[cond.Arg]&^cond.Mask | cond.Value
		}
	}
	out := [][6]uint64{base}
	for _, cond := range c.If {
		for _, from := range []uint64{base[cond.Arg], cond.Value} {
			exact := base
			exact[cond.Arg] = from
			out = append(out, exact)
			for bit := range 64 {
				miss := exact
				miss[cond.Arg] ^= 1 << bit
				out = append(out, miss)
			}
		}
	}
	return out
}

func program(t *testing.T, f Filter) *bpfsim.Program {
	t.Helper()
	file, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := bpfsim.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFilterEqualsTable runs what libseccomp made of each table over all
// numbers and many arguments, and wants what the table says; and every
// instruction must have run.
func TestFilterEqualsTable(t *testing.T) {
	for _, role := range Roles() {
		for _, arch := range []string{AMD64, ARM64} {
			t.Run(string(role)+"-"+arch, func(t *testing.T) {
				f := Table(role, arch)
				m, p := newModel(t, f), program(t, f)
				for _, d := range samples(t, f) {
					got, err := p.Run(d)
					if err != nil {
						t.Fatal(err)
					}
					if want := m.verdict(d); got != want {
						t.Fatalf("nr %d arch %#x args %#x: filter says %#x, table %#x", d.NR, d.Arch, d.Args, got, want)
					}
				}
				if dead := p.Unreached(); len(dead) != 0 {
					t.Errorf("of %d instructions these were never reached: %v", p.Len(), dead)
				}
				t.Logf("%d calls, %d instructions", f.Count(), p.Len())
			})
		}
	}
}

// samples are the calls of TestFilterEqualsTable.
func samples(t *testing.T, f Filter) []bpfsim.Data {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(f.Allow))))
	arch := auditArch[f.Arch]
	randomArgs := func() (a [6]uint64) {
		for i := range a {
			switch rng.UintN(3) {
			case 0:
				a[i] = rng.Uint64()
			case 1:
				a[i] = uint64(rng.UintN(256))
			default:
				a[i] = uint64(rng.Uint32())
			}
		}
		return a
	}
	var out []bpfsim.Data
	for n := int32(-1); n < 1100; n++ {
		for range 40 {
			out = append(out, bpfsim.Data{NR: n, Arch: arch, Args: randomArgs(), IP: rng.Uint64()})
		}
		out = append(out, bpfsim.Data{NR: n, Arch: arch})
		for _, foreign := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_RISCV64, 0, rng.Uint32()} {
			out = append(out, bpfsim.Data{NR: n, Arch: foreign, Args: randomArgs()})
		}
		out = append(out, bpfsim.Data{NR: n | x32Bit, Arch: arch, Args: randomArgs()})
	}
	for range 20_000 {
		out = append(out, bpfsim.Data{NR: int32(rng.Uint32()), Arch: arch, Args: randomArgs()})
	}
	for _, c := range append(append([]Call{}, f.Allow...), f.Deny...) {
		for range 4 {
			for _, args := range variants(c, rng) {
				out = append(out, bpfsim.Data{NR: nr(t, c.Name, f.Arch), Arch: arch, Args: args})
			}
		}
	}
	return out
}

// TestX32AndForeign pins the first checks by name: whatever a number or its
// arguments, another architecture and the x32 numbers end the process.
func TestX32AndForeign(t *testing.T) {
	for _, role := range Roles() {
		p := program(t, Table(role, AMD64))
		for _, d := range []bpfsim.Data{
			{NR: 0 | x32Bit, Arch: unix.AUDIT_ARCH_X86_64},
			{NR: 1 | x32Bit, Arch: unix.AUDIT_ARCH_X86_64},
			{NR: 520 | x32Bit, Arch: unix.AUDIT_ARCH_X86_64}, // execve of x32
			{NR: -2, Arch: unix.AUDIT_ARCH_X86_64},
			{NR: 11, Arch: unix.AUDIT_ARCH_I386}, // execve there, munmap here
			{NR: 3, Arch: unix.AUDIT_ARCH_I386},
		} {
			got, err := p.Run(d)
			if err != nil {
				t.Fatal(err)
			}
			if got != retKill {
				t.Errorf("%s: nr %#x arch %#x: %#x, want the process killed", role, uint32(d.NR), d.Arch, got)
			}
		}
	}
}
