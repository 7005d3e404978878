//go:build faults

package faults

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/observe"
)

const mode = ",mode=755"

// disks: file systems that are full, read-only, or not what they were.
func disks() []fault {
	return []fault{
		{name: "source's disk full",
			prepare: func(s *scene) { s.small(s.src, "size=1m"+mode); dirs(s) },
			happen:  func(s *scene) string { return s.ballast(s.src + "/ballast") },
			mend:    func(s *scene) { must(s.t, os.Remove(s.src+"/ballast")) }},
		{name: "target's disk full",
			prepare: func(s *scene) { s.small(s.dst, "size=2m"+mode) },
			happen: func(s *scene) string {
				s.put("huge", strings.Repeat("0123456789abcdef", 4<<20/16))
				shown := s.said(0, "disk full")
				s.put("fits", "x")
				s.arrives("fits", "x")
				return shown
			},
			mend: func(s *scene) { must(s.t, os.Truncate(s.src+"/huge", 1<<10)) }},
		{name: "target's inodes used up",
			prepare: func(s *scene) { s.small(s.dst, "nr_inodes=40"+mode) },
			happen: func(s *scene) string {
				for i := range 40 {
					s.put("one-of-many-"+string(rune('A'+i)), "x")
				}
				return s.said(0, "disk full")
			},
			mend: func(s *scene) { s.remount(s.dst, 0, "nr_inodes=1000") }},
		{name: "target read-only",
			prepare: func(s *scene) { s.small(s.dst, "size=2m"+mode) },
			happen: func(s *scene) string {
				s.remount(s.dst, unix.MS_RDONLY, "")
				return s.changed("meanwhile", "read-only")
			},
			mend: func(s *scene) { s.remount(s.dst, 0, "") }},
		{name: "a file in the target's place", long: true,
			happen: func(s *scene) string { return s.replaced(func(at string) { must(s.t, os.WriteFile(at, nil, 0o644)) }) },
			mend:   func(s *scene) { s.back() }},
		{name: "another directory in the target's place", long: true,
			happen: func(s *scene) string {
				at := s.Mark()
				must(s.t, os.Rename(s.dst, s.dst+"-away"))
				must(s.t, os.Mkdir(s.dst, 0o755))
				must(s.t, s.cmd.Process.Signal(unix.SIGUSR2)) // or the next look
				shown := s.said(at, "starting afresh")
				s.equal() // it is filled: what was made for the old one is for that path
				if lost := s.lost(s.dst + "-away"); len(lost) > 0 {
					s.t.Errorf("lost where it went: %q", lost)
				}
				return shown
			}},
		{name: "another directory in the source's place", long: true,
			happen: func(s *scene) string {
				at := s.Mark()
				must(s.t, os.Rename(s.src, s.src+"-away"))
				must(s.t, os.Mkdir(s.src, 0o755))
				return s.said(at, "held", "not the directory it was")
			},
			mend: func(s *scene) {
				must(s.t, os.Remove(s.src))
				must(s.t, os.Rename(s.src+"-away", s.src))
			}},
		{name: "audit trail's disk full, strict", flags: []string{"--audit", "strict"},
			prepare: func(s *scene) { s.trail() },
			happen: func(s *scene) string {
				shown := s.fill("no command is begun")
				s.put("meanwhile", "x")
				if !strings.HasPrefix(s.report().Str("msg"), "state: ") || s.there("meanwhile") {
					s.t.Error("a change was copied without a record")
				}
				return shown
			},
			mend: func(s *scene) { s.gap() }},
		{name: "audit trail's disk full, best-effort", long: true, flags: []string{"--audit", "best-effort"},
			prepare: func(s *scene) { s.trail() },
			happen: func(s *scene) string {
				shown := s.fill("the audit trail cannot be written")
				s.put("meanwhile", "x")
				s.arrives("meanwhile", "x")
				return shown
			},
			mend: func(s *scene) { s.gap() }},
		{name: "state directory's disk full",
			prepare: func(s *scene) { s.small(s.base+"/state", "size=8m,mode=700") },
			happen: func(s *scene) string {
				shown := s.ballast(s.base + "/state/ballast")
				s.put("meanwhile", "x")
				s.arrives("meanwhile", "x")
				must(s.t, s.cmd.Process.Signal(unix.SIGUSR2)) // a whole pass, of which something is remembered
				return shown
			},
			mend: func(s *scene) { must(s.t, os.Remove(s.base+"/state/ballast")) }},
	}
}

// dirs makes again the directories of what is kept, over which something was mounted.
func dirs(s *scene) {
	for rel := range s.kept {
		must(s.t, os.MkdirAll(s.src+"/"+rel[:strings.IndexByte(rel, '/')], 0o755))
	}
}

// replaced has something else in the target's place.
func (s *scene) replaced(put func(at string)) string {
	s.t.Helper()
	at := s.Mark()
	must(s.t, os.Rename(s.dst, s.dst+"-away"))
	put(s.dst)
	s.put("meanwhile", "x")
	must(s.t, s.cmd.Process.Signal(unix.SIGUSR2)) // or the next look
	shown := s.said(at, "held", "not the directory it was", "not a directory")
	if lost := s.lost(s.dst + "-away"); len(lost) > 0 {
		s.t.Errorf("lost where it went: %q", lost)
	}
	if now, err := os.ReadDir(s.dst); err == nil && len(now) > 0 {
		s.t.Errorf("something was written to what is in its place: %v", now)
	}
	s.kept, s.state = map[string]string{}, s.kept // it is not there to be looked at
	return shown
}

func (s *scene) back() {
	s.t.Helper()
	s.kept = s.state.(map[string]string)
	must(s.t, os.Remove(s.dst))
	must(s.t, os.Rename(s.dst+"-away", s.dst))
}

// trail has an audit trail on a small disk.
func (s *scene) trail() {
	s.small(s.base+"/trail", "size=256k,mode=700")
	s.words = append(s.words, "--audit-dir", s.base+"/trail")
}

// fill has the disk of the trail full, and changes recorded until nothing fits any
// more: a last record or two have room in what the trail's file has already.
func (s *scene) fill(word string) string {
	s.t.Helper()
	at := s.Mark()
	s.ballast(s.base + "/trail/ballast")
	for i := 0; !s.hasSaid(at, word); i++ {
		name := fmt.Sprintf("filling%03d", i)
		s.put(name, "x")
		s.until("a copy, or a full trail", func() bool { return s.there(name) || s.hasSaid(at, word) })
	}
	return s.said(at, word)
}

// gap makes room for the trail, and wants it to tell that something is missing.
func (s *scene) gap() {
	s.t.Helper()
	at := s.Mark()
	must(s.t, os.Remove(s.base+"/trail/ballast"))
	for i := 0; !s.hasSaid(at, "can be written again"); i++ {
		s.put("busy", strings.Repeat("x", i%100)) // with best-effort, who records notices
		if i > 3000 {
			s.t.Fatal("the trail does not go on")
		}
		pause(20 * time.Millisecond)
	}
	s.equal()
	names, err := os.ReadDir(s.base + "/trail")
	must(s.t, err)
	for _, name := range names {
		if b, err := os.ReadFile(s.base + "/trail/" + name.Name()); err == nil && strings.Contains(string(b), `"type":"gap"`) {
			return
		}
	}
	s.t.Errorf("the trail does not tell of the gap: %v", names)
}

func (s *scene) hasSaid(at int, words ...string) bool {
	for _, r := range s.Since(at) {
		if observe.Says(words...)(r) {
			return true
		}
	}
	return false
}

func (s *scene) there(rel string) bool {
	_, err := os.Lstat(s.dst + "/" + rel)
	return err == nil
}

// report is the state of the one sync.
func (s *scene) report() observe.Record { s.t.Helper(); return s.lockstep.state("") }
