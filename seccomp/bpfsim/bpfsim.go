// Package bpfsim runs compiled seccomp filters in user space, for tests.
//
// Trust: tests only; no program links it. Imports: the standard library.
//
// Invariants: only what the kernel's seccomp_check_filter (kernel/seccomp.c)
// admits is run; everything else is an error, never a guess.
package bpfsim

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Data is struct seccomp_data of <linux/seccomp.h>.
type Data struct {
	NR   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// dataSize is the size of struct seccomp_data in bytes.
const dataSize = 64

func (d Data) bytes() []byte {
	b := make([]byte, 0, dataSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(d.NR))
	b = binary.LittleEndian.AppendUint32(b, d.Arch)
	b = binary.LittleEndian.AppendUint64(b, d.IP)
	for _, a := range d.Args {
		b = binary.LittleEndian.AppendUint64(b, a)
	}
	return b
}

type insn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Codes of classic BPF (<linux/bpf_common.h>) that seccomp filters use.
const (
	ldAbs  = 0x20
	ldImm  = 0x00
	aluAnd = 0x54
	jmpJA  = 0x05
	jmpEq  = 0x15
	jmpGT  = 0x25
	jmpGE  = 0x35
	jmpSet = 0x45
	retK   = 0x06
)

// Program is a filter that remembers which of its instructions have run.
type Program struct {
	insns []insn
	runs  []uint64
}

// Parse reads an array of little-endian struct sock_filter.
func Parse(raw []byte) (*Program, error) {
	if len(raw) == 0 || len(raw)%8 != 0 {
		return nil, fmt.Errorf("%d bytes are no filter", len(raw))
	}
	p := &Program{runs: make([]uint64, len(raw)/8)}
	for ; len(raw) > 0; raw = raw[8:] {
		p.insns = append(p.insns, insn{
			code: binary.LittleEndian.Uint16(raw),
			jt:   raw[2],
			jf:   raw[3],
			k:    binary.LittleEndian.Uint32(raw[4:]),
		})
	}
	return p, nil
}

// Len is the number of instructions.
func (p *Program) Len() int { return len(p.insns) }

// Unreached lists the instructions that no Run has executed.
func (p *Program) Unreached() []int {
	var out []int
	for i, n := range p.runs {
		if n == 0 {
			out = append(out, i)
		}
	}
	return out
}

// Run returns the value that the filter answers for a call.
func (p *Program) Run(d Data) (uint32, error) {
	data := d.bytes()
	var acc uint32
	for pc := 0; pc < len(p.insns); pc++ {
		in := p.insns[pc]
		p.runs[pc]++
		jump := func(taken bool) {
			if taken {
				pc += int(in.jt)
			} else {
				pc += int(in.jf)
			}
		}
		switch in.code {
		case ldAbs:
			if in.k%4 != 0 || in.k > dataSize-4 {
				return 0, fmt.Errorf("instruction %d loads offset %d", pc, in.k)
			}
			acc = binary.LittleEndian.Uint32(data[in.k:])
		case ldImm:
			acc = in.k
		case aluAnd:
			acc &= in.k
		case jmpJA:
			pc += int(in.k)
		case jmpEq:
			jump(acc == in.k)
		case jmpGT:
			jump(acc > in.k)
		case jmpGE:
			jump(acc >= in.k)
		case jmpSet:
			jump(acc&in.k != 0)
		case retK:
			return in.k, nil
		default:
			return 0, fmt.Errorf("instruction %d has the unknown code %#x", pc, in.code)
		}
	}
	return 0, errors.New("the filter ends without an answer")
}
