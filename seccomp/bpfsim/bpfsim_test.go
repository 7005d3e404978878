package bpfsim

import (
	"encoding/binary"
	"testing"
)

func assemble(insns ...insn) []byte {
	var raw []byte
	for _, in := range insns {
		raw = binary.LittleEndian.AppendUint16(raw, in.code)
		raw = append(raw, in.jt, in.jf)
		raw = binary.LittleEndian.AppendUint32(raw, in.k)
	}
	return raw
}

func run(t *testing.T, d Data, insns ...insn) (uint32, error) {
	t.Helper()
	p, err := Parse(assemble(insns...))
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(d)
}

// TestRun: each code does what bpf(4)'s classic machine does.
func TestRun(t *testing.T) {
	d := Data{NR: 7, Arch: 0xc000003e, IP: 9, Args: [6]uint64{0x1111_2222_3333_4444, 0, 0, 0, 0, 0xaaaa_bbbb_cccc_dddd}}
	for offset, want := range map[uint32]uint32{0: 7, 4: 0xc000003e, 8: 9, 12: 0, 16: 0x3333_4444, 20: 0x1111_2222, 56: 0xcccc_dddd, 60: 0xaaaa_bbbb} {
		got, err := run(t, d, insn{code: ldAbs, k: offset}, insn{code: jmpEq, jf: 1, k: want}, insn{code: retK, k: 1}, insn{code: retK, k: 2})
		if err != nil || got != 1 {
			t.Errorf("load of offset %d: %d, %v", offset, got, err)
		}
	}
	for _, c := range []struct {
		code   uint16
		acc, k uint32
		taken  bool
	}{
		{jmpEq, 5, 5, true}, {jmpEq, 5, 6, false}, {jmpGT, 5, 4, true}, {jmpGT, 5, 5, false}, {jmpGE, 5, 5, true},
		{jmpGE, 5, 6, false}, {jmpGE, 0xffff_ffff, 0x4000_0000, true}, {jmpSet, 6, 2, true}, {jmpSet, 6, 1, false},
	} {
		got, err := run(t, d, insn{code: ldImm, k: c.acc}, insn{code: c.code, jt: 1, k: c.k}, insn{code: retK, k: 0}, insn{code: retK, k: 1})
		if err != nil || (got == 1) != c.taken {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
	got, err := run(t, d, insn{code: ldImm, k: 0xff}, insn{code: aluAnd, k: 0x0f}, insn{code: jmpJA, k: 1},
		insn{code: retK, k: 9}, insn{code: jmpEq, jf: 1, k: 0x0f}, insn{code: retK, k: 1}, insn{code: retK, k: 2})
	if err != nil || got != 1 {
		t.Errorf("and, jump: %d, %v", got, err)
	}
}

// TestRunRefuses: what the kernel would not admit is no verdict.
func TestRunRefuses(t *testing.T) {
	for name, insns := range map[string][]insn{
		"runs off its end": {{code: ldAbs}},
		"odd offset":       {{code: ldAbs, k: 2}, {code: retK}},
		"beyond the data":  {{code: ldAbs, k: 64}, {code: retK}},
		"unknown code":     {{code: 0xff}, {code: retK}},
	} {
		if got, err := run(t, Data{}, insns...); err == nil {
			t.Errorf("%s: answered %#x", name, got)
		}
	}
	for _, raw := range [][]byte{nil, make([]byte, 7), make([]byte, 9)} {
		if _, err := Parse(raw); err == nil {
			t.Errorf("%d bytes were parsed", len(raw))
		}
	}
}

func TestUnreached(t *testing.T) {
	p, err := Parse(assemble(insn{code: jmpJA, k: 1}, insn{code: retK}, insn{code: retK, k: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(Data{}); err != nil {
		t.Fatal(err)
	}
	if dead := p.Unreached(); len(dead) != 1 || dead[0] != 1 || p.Len() != 3 {
		t.Errorf("unreached: %v of %d", dead, p.Len())
	}
}
