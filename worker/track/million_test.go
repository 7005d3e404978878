package track

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"lockstep/worker/doubt"
	"lockstep/worker/listing"
)

// plain is a helper of a tree of directories, 100 in each of the first level.
type plain struct {
	walks []Walk
	wd    int32
	wide  int
}

func (p *plain) Dirty(string, Change, *Entry)  {}
func (p *plain) Suspect(string, []doubt.Doubt) {}
func (p *plain) Forgotten(time.Time)           {}
func (p *plain) Seen(string, Entry, bool)      {}
func (p *plain) Walk(w Walk)                   { p.walks = append(p.walks, w) }
func (p *plain) Unwatch(int32)                 {}
func (p *plain) Rescan(string)                 {}
func (p *plain) RootGone(string)               {}
func (p *plain) Skip(string, uint8)            {}
func (p *plain) Failed(rel string, s uint16)   { panic(fmt.Sprint(rel, s)) }
func (p *plain) TooLong(rel string)            { panic(rel) }
func (p *plain) names(format string, n int) (es []Entry) {
	for i := range n {
		es = append(es, Entry{Kind: listing.KindDir, Name: fmt.Sprintf(format, i)})
	}
	return es
}

// serve answers all walks.
func (p *plain) serve(t *Tracker) {
	for len(p.walks) > 0 {
		w := p.walks[0]
		p.walks = p.walks[1:]
		p.wd++
		l := Listing{Serial: w.Serial, WD: p.wd}
		switch {
		case w.Rel == "":
			l.Entries = p.names("project-%07d", p.wide)
		case !strings.Contains(w.Rel, "/"):
			l.Entries = p.names("directory-%07d", 100)
		}
		t.Listing(l, time.Unix(1, 0))
	}
	p.walks = nil
}

func alive() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBudget: all that is kept of a directory that is watched, once it is, fits
// into 120 bytes of heap: the tree and what is around it.
func TestBudget(t *testing.T) {
	p := &plain{wide: 10_000}
	if testing.Short() {
		p.wide = 1000
	}
	before := alive()
	tr := New(Config{}, p)
	tr.Start(false, 0)
	p.serve(tr)
	if !tr.Idle() {
		t.Fatal("walks are under way")
	}
	dirs := tr.Counters().Watched
	per := float64(alive()-before) / float64(dirs)
	t.Logf("%d directories: %.1f bytes of heap each", dirs, per)
	if dirs != uint64(p.wide)*101+1 || per > 120 {
		t.Errorf("%d directories, %.1f bytes each, at most 120", dirs, per)
	}
	runtime.KeepAlive(tr)
}
