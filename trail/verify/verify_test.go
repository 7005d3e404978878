package verify

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/trail"
)

// written is a trail of many lines, in files, as store would write it.
type written struct {
	birth trail.Birth
	state trail.State
	files [][][]byte // lines
}

// write makes a trail of n records, with a checkpoint each few and a file each perFile.
func write(t testing.TB, seed uint64, n, perFile int) *written {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	var name [16]byte
	var a, b trail.Secret
	for i := range a {
		a[i], b[i], name[i%16] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
	}
	w := &written{}
	w.state, w.birth = trail.New(name, a, b)
	at := time.Unix(1_700_000_000, 0).UTC()
	add := func(rec trail.Record) {
		at = at.Add(time.Duration(r.IntN(1e9)))
		rec.TS, rec.Mono, rec.Boot, rec.Run = at.Format(time.RFC3339Nano), uint64(at.UnixNano()), "boot", "run"
		line, next, err := w.state.Seal(rec)
		if err != nil {
			t.Fatal(err)
		}
		w.state = next
		w.files[len(w.files)-1] = append(w.files[len(w.files)-1], line)
	}
	for i := 0; i < n; i++ {
		switch {
		case i%perFile == 0:
			w.files = append(w.files, nil)
			add(w.state.Head(trail.Record{}, uint64(len(w.files)), nil))
		case i%perFile == perFile-1 && i < n-1:
			add(trail.Record{Event: trail.Event{Type: trail.Rotate}})
		case i%64 == 63:
			add(trail.Record{Event: trail.Event{Type: trail.Checkpoint, Outcome: trail.Success}})
		default:
			code := r.IntN(30)
			add(trail.Record{Event: trail.Event{Type: trail.CommandEnd, Outcome: trail.Failure, Actor: trail.Actor{Role: "runner", PID: i},
				Object: trail.Object{Sync: "www", Target: "/backup/\x1b[31m\n\xff\u202e\"res=success\""}, Why: trail.Why{Rule: "r"}, Facts: trail.Facts{Code: &code}}})
		}
	}
	return w
}

// anchor is the last record, as it would be told elsewhere.
func (w *written) anchor() map[uint64]string {
	return map[uint64]string{w.state.Seq - 1: w.state.Prev}
}

func text(lines [][]byte) []byte {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return b
}

// run verifies files.
func run(o Options, files ...[]byte) (Result, error) {
	v := New(o)
	for i, f := range files {
		if err := v.Read(fmt.Sprint("file", i+1), bytes.NewReader(f)); err != nil {
			break
		}
	}
	return v.End()
}

func (w *written) texts() [][]byte {
	var out [][]byte
	for _, f := range w.files {
		out = append(out, text(f))
	}
	return out
}

func TestGoodTrail(t *testing.T) {
	w := write(t, 1, 1000, 300)
	for name, o := range map[string]Options{
		"file only": {}, "public key": {Public: w.birth.Public}, "seed": {Seed: &w.birth.Seed, Public: w.birth.Public, Anchors: w.anchor()},
	} {
		r, err := run(o, w.texts()...)
		if err != nil || r.Records != 1000 || r.First != 0 || r.Last != 999 || r.Files != 4 || r.Sum != w.state.Prev || r.Signed != 960 || r.Trail != w.birth.Trail {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// A part of it can be verified, by the same seed.
	r, err := run(Options{Seed: &w.birth.Seed, Public: w.birth.Public}, w.texts()[2:]...)
	if err != nil || r.First != 600 || r.Records != 400 {
		t.Errorf("its end alone: %+v, %v", r, err)
	}
}

// forge is a line as somebody without the keys would make it.
func forge(t testing.TB, line []byte, change func(*trail.Record)) []byte {
	t.Helper()
	p, err := trail.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	r := p.Record
	change(&r)
	var fake trail.State
	fake.Seq, fake.Prev = r.Seq, r.Prev
	sig := r.Sig
	out, _, err := fake.Seal(r)
	if err != nil {
		t.Fatal(err)
	}
	if sig != "" { // with the key and the signature that were there
		q, err := trail.Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		q.Key, q.Sig = r.Key, sig
		out, _ = q.Line()
		return resum(out)
	}
	return out
}

// resum puts the right hash behind a line.
func resum(line []byte) []byte {
	cut := bytes.LastIndex(line, []byte(`,"sum":"`))
	return trail.Summed(line[:cut])
}

// caught feeds lines to a copy of a verifier that has seen all before them, and says
// at which record it fails; -1 if it does not.
func caught(v Verifier, lines [][]byte) int {
	for _, l := range lines {
		if v.Line(l) != nil {
			return int(v.bad.Seq)
		}
	}
	return -1
}

// Every record of 10,000 is changed in every way that there is, and the verifier names
// the first that is not as it was.
func TestEveryMutation(t *testing.T) {
	n := 10_000
	if testenv.Small() {
		n = 2_000
	}
	w := write(t, 2, n, n)
	lines := w.files[0]
	other := write(t, 3, n, n).files[0] // another trail
	r := rand.New(rand.NewPCG(4, 4))
	seen := New(Options{Seed: &w.birth.Seed, Public: w.birth.Public, Anchors: w.anchor()})
	plain := New(Options{})
	seen.File("trail")
	plain.File("trail")
	counts := map[string]int{}
	for i, line := range lines {
		rest := lines[i+1 : min(i+3, n)]
		check := func(kind string, want int, withoutKeys bool, mutated ...[]byte) {
			counts[kind]++
			all := slices.Concat(mutated, rest)
			if got := caught(seen, all); got != want {
				t.Fatalf("%s of record %d: caught at %d, want %d", kind, i, got, want)
			}
			if !withoutKeys || i%4 != 0 {
				return
			}
			if got := caught(plain, all); got != want {
				t.Fatalf("%s of record %d, without keys: caught at %d, want %d", kind, i, got, want)
			}
		}
		check("flip of a bit", i, true, flip(line, r.IntN(len(line)*8)))
		check("flip of a bit in the hashes", i, true, flip(line, (len(line)-1-r.IntN(148))*8+r.IntN(8)))
		check("a byte less", i, true, slices.Delete(slices.Clone(line), i%len(line), i%len(line)+1))
		check("an empty line before", i, true, nil, line)
		if i > 0 {
			check("a line of another trail", i, len(rest) > 0 && i%64 != 0, other[i])
			check("repetition", i, true, lines[i-1], line)
			check("record of an earlier time", i, true, lines[r.IntN(i)], line)
			check("a forged line put in", i, false, forge(t, line, func(q *trail.Record) { q.Actor.PID++ }), line)
			check("forgery in its place", i, false, forge(t, line, func(q *trail.Record) { q.Why.Reason = "nothing" }))
		}
		if i > 0 && len(rest) > 0 {
			check("deletion", i, true)
			check("exchange with the next", i, true, rest[0], line)
		}
		if err := errors.Join(seen.Line(line), plain.Line(line)); err != nil {
			t.Fatal(err)
		}
		if i < n-1 {
			cut := seen
			if err := cut.Rest(nil); err != nil {
				t.Fatal(err)
			}
			if _, err := cut.End(); err == nil {
				t.Fatalf("cut after record %d: not noticed, although there is an anchor", i)
			}
			torn := plain
			if err := torn.Rest(lines[i+1][:1+r.IntN(len(lines[i+1]))]); err != nil {
				t.Fatal(err)
			}
			if _, err := torn.End(); err == nil {
				t.Fatalf("torn after record %d: not noticed", i)
			}
			counts["cut"]++
			counts["torn"]++
		}
	}
	if _, err := seen.End(); err != nil {
		t.Fatal(err)
	}
	t.Log(counts)
}

func flip(line []byte, bit int) []byte {
	out := slices.Clone(line)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

// What concerns whole files: exchanged, left out, of another trail, of an earlier time.
func TestFilesMutated(t *testing.T) {
	w := write(t, 5, 1000, 200)
	good, other := w.texts(), write(t, 6, 1000, 200).texts()
	old := write(t, 5, 1000, 200).texts()
	o := Options{Seed: &w.birth.Seed, Public: w.birth.Public, Anchors: w.anchor()}
	for name, c := range map[string]struct {
		files [][]byte
		seq   uint64
	}{
		"exchanged":               {[][]byte{good[0], good[2], good[1], good[3], good[4]}, 200},
		"one is missing":          {[][]byte{good[0], good[1], good[3], good[4]}, 400},
		"the last is missing":     {good[:4], 800},
		"one of another trail":    {[][]byte{good[0], good[1], other[2], good[3], good[4]}, 400},
		"another trail":           {other, 0},
		"rolled back":             {old[:1], 200},
		"twice":                   {[][]byte{good[0], good[0]}, 200},
		"without its first line":  {[][]byte{good[0], good[1][bytes.IndexByte(good[1], '\n')+1:]}, 200},
		"two as one":              {[][]byte{slices.Concat(good[0], good[1])}, 200},
		"bytes behind":            {[][]byte{append(slices.Clone(good[0]), "x"...), good[1], good[2], good[3], good[4]}, 200},
		"empty":                   {[][]byte{good[0], nil}, 200},
		"nothing":                 {nil, 0},
		"a newline less":          {[][]byte{good[0][:len(good[0])-1], good[1]}, 199},
		"cut at the last newline": {append(slices.Clone(good[:4]), good[4][:len(good[4])-1]), 999},
	} {
		_, err := run(o, c.files...)
		var bad *Bad
		if !errors.As(err, &bad) || bad.Seq != c.seq {
			t.Errorf("%s: %v, want record %d", name, err, c.seq)
		}
	}
}

// Who takes the keys at some time cannot make, with them, what was before; what comes
// after he can.
func TestForwardSecure(t *testing.T) {
	const before, theft = 90, 100
	w := write(t, 7, 130, 1000)
	lines := w.files[0]
	stolen, _ := trail.New([16]byte{}, w.birth.Seed, trail.Secret{})
	v := New(Options{Seed: &w.birth.Seed, Public: w.birth.Public})
	v.File("trail")
	var early Verifier
	for i, line := range lines[:theft] {
		if i == before {
			early = v
		}
		if err := v.Line(line); err != nil {
			t.Fatal(err)
		}
		stolen.Mac = stolen.Mac.Next()
	}
	forge := func(at int) []byte {
		thief := stolen
		thief.Seq, thief.Prev = uint64(at), mustParse(t, lines[at]).Prev
		line, _, err := thief.Seal(trail.Record{Event: trail.Event{Type: trail.Start, Outcome: trail.Success}})
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	if err := early.Line(forge(before)); !errors.Is(err, trail.ErrMac) {
		t.Errorf("a record of before the theft was forged: %v", err)
	}
	if err := v.Line(forge(theft)); err != nil {
		t.Errorf("the twin: with the key of its place a record is taken: %v", err)
	}
}

// The key of an epoch signs its own checkpoint, and no earlier one.
func TestEpochKeys(t *testing.T) {
	w := write(t, 8, 200, 1000)
	lines := w.files[0]
	v := New(Options{})
	v.File("trail")
	for _, line := range lines[:63] {
		if err := v.Line(line); err != nil {
			t.Fatal(err)
		}
	}
	thief := w.state // of epoch 3
	thief.Seq, thief.Prev, thief.Epoch = 63, mustParse(t, lines[63]).Prev, 0
	line, _, err := thief.Seal(trail.Record{Event: trail.Event{Type: trail.Checkpoint, Outcome: trail.Success}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Line(line); !errors.Is(err, trail.ErrSig) {
		t.Errorf("a checkpoint by the key of a later epoch: %v", err)
	}
}

func mustParse(t testing.TB, line []byte) trail.Parsed {
	t.Helper()
	p, err := trail.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// One event is one line of JSON, whatever its names hold.
func TestOneEventOneLine(t *testing.T) {
	for _, hostile := range []string{"a\nb", "\x1b]0;t\x07", "\x9b", "\u202e", `","mac":"`, "\xff\xfe", "res=success", "\u2028\u0085", strings.Repeat("\n", 1<<20)} {
		s, _ := trail.New([16]byte{}, trail.Secret{1}, trail.Secret{2})
		e := trail.Event{Type: trail.Type(hostile), Outcome: trail.Outcome(hostile), Actor: trail.Actor{Role: hostile}, Object: trail.Object{Sync: hostile, Target: hostile, Name: hostile},
			Why: trail.Why{Rule: hostile, Reason: hostile}, Facts: trail.Facts{Files: []trail.File{{Path: hostile}}, Kind: hostile}}
		line, _, err := s.Seal(trail.Record{Event: e})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(line, "\n\x1b\x07\u202e\u2028\u0085") || len(line) > 1<<20 {
			t.Errorf("%.20q: a line of %d bytes: %.200q", hostile, len(line), line)
		}
		p, err := trail.Parse(line)
		if err != nil || p.Type == trail.Open {
			t.Errorf("%.20q: %v", hostile, err)
		}
	}
}

// FuzzVerify: whatever a file holds, the verifier ends, and takes nothing twice that
// it would not write.
func FuzzVerify(f *testing.F) {
	w := write(f, 9, 70, 40)
	for _, one := range w.texts() {
		f.Add(one)
	}
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v := New(Options{})
		err := v.Read("x", bytes.NewReader(data))
		r, end := v.End()
		if err == nil && end == nil && (r.Records == 0 || int(r.Records) != bytes.Count(data, []byte("\n"))) {
			t.Fatalf("%d records of %q", r.Records, data)
		}
		if err != nil && end == nil {
			t.Fatal("an error was forgotten")
		}
		for line := range bytes.Lines(data) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			p, err := trail.Parse(line)
			if err != nil {
				continue
			}
			if again, err := p.Line(); err != nil || !bytes.Equal(again, line) {
				t.Fatalf("%q is taken, and written as %q", line, again)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	w := write(b, 1, 1000, 1000)
	all := w.texts()
	for b.Loop() {
		if _, err := run(Options{Seed: &w.birth.Seed}, all...); err != nil {
			b.Fatal(err)
		}
	}
}

// What a forger writes into a trail does not reach a terminal as it is.
func TestReportIsPrintable(t *testing.T) {
	w := write(t, 11, 100, 100)
	lines := w.files[0]
	lines[1] = resummed(lines[1], func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"sync":"www"`), []byte(`"sync":"\u001b[31m\nx"`), 1)
	})
	v := New(Options{})
	var c Counts
	v.Each = c.Add
	_ = v.Read("x", bytes.NewReader(text(lines))) // it is found to be bad, one record later
	r, _ := v.End()
	out := c.Report(r).Text()
	if strings.ContainsAny(out, "\x1b\u202e") || !strings.Contains(out, `\x1b[31m\x0ax`) {
		t.Errorf("%q", out)
	}
	for _, want := range []string{"command-end", "failure", "SYNC"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}

// Who begins another trail cannot have it pass for one whose public key is known, by
// claiming that its first record comes after checkpoints.
func TestForgedBeginning(t *testing.T) {
	ask := batch(t)
	dir := t.TempDir()
	known := write(t, 12, 3, 10).birth.Public
	for epoch := range uint64(3) {
		forged, birth := trail.New([16]byte{1}, trail.Secret{2}, trail.Secret{3})
		forged.Epoch = epoch
		var lines [][]byte
		for _, r := range []trail.Record{forged.Head(trail.Record{}, 1, nil), {Event: trail.Event{Type: trail.Start}}, {Event: trail.Event{Type: trail.Checkpoint}}} {
			line, next, err := forged.Seal(r)
			if err != nil {
				t.Fatal(err)
			}
			forged, lines = next, append(lines, line)
		}
		data := text(lines)
		path := put(t, dir, int(epoch), data)
		for public, fine := range map[string]bool{known: false, birth.Public: epoch == 0, "": epoch == 0} {
			_, err := run(Options{Public: public}, data)
			var bad *Bad
			if errors.As(err, &bad); (bad == nil) != fine || bad != nil && bad.Seq != 0 {
				t.Errorf("epoch %d, key %.8q: %v", epoch, public, err)
			}
			words, want := []string{path}, "bad 0: another trail"
			if public != "" {
				words = append(words, "--public", public)
			}
			if fine {
				want = "ok 3"
			}
			if got := ask(words...); got != want {
				t.Errorf("epoch %d, key %.8q: the other says %q, want %q", epoch, public, got, want)
			}
		}
	}
}

// Whoever asks without an anchor is told that an end may have been cut off, whatever it
// ends with.
func TestLimits(t *testing.T) {
	w := write(t, 13, 10, 100)
	add := func(kind trail.Type) {
		line, next, err := w.state.Seal(trail.Record{Event: trail.Event{Type: kind, Outcome: trail.Success}})
		if err != nil {
			t.Fatal(err)
		}
		w.state, w.files[0] = next, append(w.files[0], line)
	}
	for _, c := range []struct {
		kind trail.Type
		note string
	}{{trail.Start, "ends without a stop"}, {trail.Stop, "ends with a stop"}, {trail.Checkpoint, "ends with a stop"}, {trail.Control, "ends without a stop"}} {
		add(c.kind)
		for _, anchors := range []map[uint64]string{nil, w.anchor()} {
			o := Options{Seed: &w.birth.Seed, Public: w.birth.Public, Anchors: anchors}
			r, err := run(o, w.texts()...)
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(Limits(r, o), "\n")
			if anchors != nil && notes != "" || anchors == nil && (!strings.Contains(notes, c.note) || !strings.Contains(notes, "only an anchor shows")) {
				t.Errorf("after a %s, with %d anchors: %q", c.kind, len(anchors), notes)
			}
		}
	}
}
