package verify

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/trail"
)

// python is the second verifier, which shares no code with this one.
const python = "../../examples/audit/verify.py"

// batch runs it once for many trails.
func batch(t *testing.T) func(words ...string) string {
	t.Helper()
	cmd := exec.Command(testenv.NeedTool(t, "python3"), python, "--batch")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	out, e := cmd.StdoutPipe()
	if err := errors.Join(err, e, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	return func(words ...string) string {
		t.Helper()
		if _, err := io.WriteString(in, strings.Join(words, " ")+"\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			t.Fatalf("the second verifier ended: %v", err)
		}
		return strings.TrimSpace(answer)
	}
}

func put(t *testing.T, dir string, i int, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprint("f", i))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mutate changes a trail in one way, at random.
func mutate(t *testing.T, r *rand.Rand, w, other *written) (kind string, files [][]byte) {
	t.Helper()
	all := make([][][]byte, len(w.files))
	for i := range w.files {
		all[i] = slices.Clone(w.files[i])
	}
	f := r.IntN(len(all))
	lines := all[f]
	i := r.IntN(len(lines))
	kinds := []string{"none", "flip", "delete", "insert", "swap", "repeat", "cut", "tear", "splice", "old", "order", "clock", "forge", "unkeyed", "torn middle", "upper", "twice a member"}
	kind = kinds[r.IntN(len(kinds))]
	switch kind {
	case "flip":
		lines[i] = flip(lines[i], r.IntN(len(lines[i])*8))
	case "delete":
		all[f] = slices.Delete(lines, i, i+1)
	case "insert":
		all[f] = slices.Insert(lines, i, other.files[0][r.IntN(len(other.files[0]))])
	case "swap":
		j := r.IntN(len(lines))
		lines[i], lines[j] = lines[j], lines[i]
	case "repeat":
		all[f] = slices.Insert(lines, i, lines[r.IntN(len(lines))])
	case "cut":
		all = append(all[:f], lines[:i])
	case "splice":
		all[f] = slices.Concat(lines[:i], other.files[min(f, len(other.files)-1)][i:])
	case "old":
		all = all[:1+r.IntN(len(all))]
	case "order":
		j := r.IntN(len(all))
		all[f], all[j] = all[j], all[f]
	case "clock":
		lines[i] = resummed(lines[i], func(b []byte) []byte { return bytes.Replace(b, []byte(`"ts":"20`), []byte(`"ts":"19`), 1) })
	case "forge":
		lines[i] = forge(t, lines[i], func(q *trail.Record) { q.Actor.PID++ })
	case "unkeyed":
		lines[i] = resummed(lines[i], func(b []byte) []byte { return bytes.Replace(b, []byte(`"outcome":"`), []byte(`"outcome":"x`), 1) })
	case "upper":
		lines[i] = resummed(lines[i], func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":`), []byte(`"SEQ":`), 1) })
	case "twice a member":
		lines[i] = resummed(lines[i], func(b []byte) []byte { return bytes.Replace(b, []byte(`{"v":1,`), []byte(`{"v":1,"v":1,`), 1) })
	}
	for _, lines := range all {
		files = append(files, text(lines))
	}
	last := len(files) - 1
	switch kind {
	case "tear":
		files[last] = files[last][:len(files[last])-1-r.IntN(min(300, len(files[last])-1))]
	case "torn middle":
		files[f] = files[f][:len(files[f])-1-r.IntN(min(300, len(files[f])-1))]
	}
	return kind, files
}

func resummed(line []byte, change func([]byte) []byte) []byte {
	return resum(change(bytes.Clone(line)))
}

// The second verifier says the same of random mutations: sound or not, and where.
func TestPythonAgrees(t *testing.T) {
	ask := batch(t)
	n := 300
	if testenv.Small() {
		n = 100
	}
	if os.Getenv("SIM_SEEDS") != "" { // make test-long
		n = 10_000
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(20, 26))
	bad := map[string]int{}
	for round := range n {
		w, other := write(t, uint64(round), 70, 20+r.IntN(60)), write(t, uint64(round+n), 70, 70)
		kind, files := mutate(t, r, w, other)
		o, words := Options{}, []string{}
		if r.IntN(3) > 0 {
			o.Public, words = w.birth.Public, append(words, "--public", w.birth.Public)
		}
		if r.IntN(3) > 0 {
			o.Seed, words = &w.birth.Seed, append(words, "--seed", hex.EncodeToString(w.birth.Seed[:]))
		}
		if r.IntN(3) > 0 {
			o.Anchors, words = w.anchor(), append(words, "--anchor", fmt.Sprintf("%d:%s", w.state.Seq-1, w.state.Prev))
		}
		for i, data := range files {
			words = append(words, put(t, dir, i, data))
		}
		res, err := run(o, files...)
		want := fmt.Sprintf("ok %d", res.Records)
		var b *Bad
		if errors.As(err, &b) {
			want = fmt.Sprintf("bad %d:", b.Seq)
			bad[kind]++
		}
		if got := ask(words...); got != want && !strings.HasPrefix(got, want+" ") {
			t.Fatalf("round %d, %s: this one says %v (%s), the other %q; %q", round, kind, err, want, got, words)
		}
	}
	if len(bad) < 10 {
		t.Errorf("hardly any mutation was caught: %v", bad)
	}
	t.Log(bad)
}

// It agrees as well about each place of a trail of 10,000 records, of which it verifies
// the whole.
func TestPythonAgreesAboutMany(t *testing.T) {
	ask := batch(t)
	dir := t.TempDir()
	w := write(t, 77, 10_000, 4_000)
	files := w.texts()
	seed := hex.EncodeToString(w.birth.Seed[:])
	var words []string
	for i, data := range files {
		words = append(words, put(t, dir, i, data))
	}
	if got := ask(append([]string{"--public", w.birth.Public, "--seed", seed}, words...)...); got != "ok 10000" {
		t.Fatalf("a good trail: %s", got)
	}
	lines := w.files[1]
	lines[1234] = flip(lines[1234], 999)
	words[1] = put(t, dir, 1, text(lines))
	if got := ask(append([]string{"--seed", seed}, words...)...); !strings.HasPrefix(got, "bad 5234:") {
		t.Errorf("a flipped bit in record 5234: %s", got)
	}
}
