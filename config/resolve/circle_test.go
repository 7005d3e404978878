package resolve_test

import (
	"os"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/config/resolve"
	"lockstep/internal/testenv"
)

// Syncs that lead back to their own sources are refused, by whatever way, and told
// once; chains are not.
func TestCircles(t *testing.T) {
	testenv.NeedRoot(t)
	dir := resolve.Place(t)
	for _, d := range []string{"a", "b", "c", "d", "run", "state"} {
		if err := os.Mkdir(dir+"/"+d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", dir+"/to-a"); err != nil {
		t.Fatal(err)
	}
	for pairs, want := range map[string]string{
		"a-b":                 "",
		"a-b b-c":             "",
		"a-b,d b-c c-dst":     "",
		"a-b b-a":             "the sync 0: leads back to its own source, by way of the sync 1",
		"a-b b-to-a":          "the sync 0: leads back to its own source, by way of the sync 1",
		"src-dst a-b b-c c-a": "the sync 1: leads back to its own source, by way of the sync 3",
		"a-b b-c c-b,d":       `target D/b`, // which is a target of two as well
		"a-d,b b-dst,c c-a":   "the sync 0: leads back to its own source, by way of the sync 2",
	} {
		var set config.Set
		for i, pair := range strings.Fields(pairs) {
			b := keys.NewBuilder()
			source, targets, _ := strings.Cut(pair, "-")
			words := [][2]string{{"name", string(rune('0' + i))}, {"source", dir + "/" + source}, {"state_dir", dir + "/state"}, {"runtime_dir", dir + "/run"}}
			for _, target := range strings.Split(targets, ",") {
				words = append(words, [2]string{"targets", dir + "/" + target})
			}
			for _, kv := range words {
				b.Set(kv[0], kv[1])
			}
			one, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			one.Syncs = append(set.Syncs, one.Syncs...)
			set = one
		}
		got := ""
		if _, err := resolve.Set(set); err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "D")
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) || want != "" && strings.Count(got, "leads back") != 1 {
			t.Errorf("%s: %q, want %q", pairs, got, want)
		}
	}
}
