package track

import "testing"

// FuzzTracker lets the fuzzer, instead of chance, decide what happens when.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("\x00\x05\x05\x01\x02\x00\x03\x10\x10\x10\x10\x10\x10 a life of some length, to begin with"))
	f.Add([]byte("0123456789012345678901234567890123456789012345678901234567890123456789"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 4096 {
			return
		}
		newSim(t, choose(choices)).run(2, max(len(choices), 1))
	})
}

// choose takes its choices from bytes.
func choose(choices []byte) func(int) int {
	n := 0
	return func(below int) int {
		n++
		if n > len(choices) { // something must go on happening
			return n * 7919 % 65521 % below
		}
		return int(choices[n-1]) % below
	}
}
