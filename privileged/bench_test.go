package privileged

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"lockstep/ipc"
)

// BenchmarkStat is the cost of one path in batches of MaxRels, with as many
// requests on their way as fit the sockets.
func BenchmarkStat(b *testing.B) {
	r := newRig(b)
	var rels []string
	must(b, os.MkdirAll(filepath.Join(r.dir, "some/where"), 0o700))
	for i := range ipc.MaxRels {
		rel := fmt.Sprintf("some/where/%d", i)
		must(b, os.WriteFile(filepath.Join(r.dir, rel), nil, 0o600))
		rels = append(rels, rel)
	}
	r.connect()
	r.hello()
	b.ReportAllocs()
	b.ResetTimer()
	under := 0
	for n := 0; n < b.N || under > 0; {
		for n < b.N && under < 4 {
			r.ask(&ipc.Stat{Root: theRoot, Rels: rels})
			n += len(rels)
			under++
		}
		r.next()
		under--
	}
}

// BenchmarkWatch is the cost of watching and listing one directory that holds
// one file, in batches.
func BenchmarkWatch(b *testing.B) {
	r := newRig(b, func(c *ipc.HelperConfig) { c.Roots[0].MaxWatches = 0 })
	const dirs = 20_000
	all := make([]string, dirs)
	for i := range all {
		all[i] = fmt.Sprintf("%d/%d", i/200, i%200)
		must(b, os.MkdirAll(filepath.Join(r.dir, all[i]), 0o700))
		must(b, os.WriteFile(filepath.Join(r.dir, all[i], "file"), nil, 0o600))
	}
	r.connect()
	r.hello()
	b.ReportAllocs()
	b.ResetTimer()
	under := 0
	for n := 0; n < b.N || under > 0; {
		for n < b.N && under < 4 {
			at := n % dirs / ipc.MaxRels * ipc.MaxRels
			rels := all[at:min(at+ipc.MaxRels, dirs)]
			r.ask(&ipc.Watch{Root: theRoot, Watch: true, All: true, Rels: rels})
			n += len(rels)
			under++
		}
		if r.next().Header.Final {
			under--
		}
	}
}
