package track

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/worker/doubt"
)

// TestScripts runs testdata/*.txt: commands, a line "Output:", and the effects
// that are to follow. A new case is a new file. UPDATE=1 writes the output of
// all anew: read what changed.
//
//	mkdir create chmod rm PATH         what a person does; OUT/… is beside the root
//	write PATH [silent]                silent: size and time do not show it
//	mv exchange FROM TO
//	lose PATH                          the kernel ends the watch
//	paths                              first: events come by path, as from fanotify's resolver
//	told DIR NAME WORD|WORD [COOKIE]   one such event; "." is the root, or no name
//	limit N                            watches there may be
//	queue N                            events that fit into the queue
//	refuse PATH STATUS                 the helper's answer; 0: none
//	start, verify, retry, rewatch, pass on|off  what the loop does
//	emit N, events N, helper N, answers N   the next steps of each party
//	tick DURATION                      time goes by
//	settle                             everything that is left to do is done
//	check                              tree and mirror are what the file system is
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, found := strings.Cut(string(text), "\nOutput:\n")
			if !found {
				t.Fatal("no Output:")
			}
			got := runScript(t, script)
			if got == want {
				return
			}
			if os.Getenv("UPDATE") == "1" {
				if err := os.WriteFile(file, []byte(script+"\nOutput:\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("got\n%swant\n%s", got, want)
		})
	}
}

// scripted is a sim whose parties do only what they are told.
type scripted struct {
	*sim
	lines []string
}

func runScript(t *testing.T, script string) string {
	s := &scripted{sim: newSim(t, func(int) int { return 0 })}
	s.k.maxQueue, s.k.maxMarks, s.h.flaky = 1<<20, 1<<20, 0
	s.t = New(Config{Excluded: excludedName, Mounts: []string{"mnt"}}, s)
	s.all[0].excluded = func(rel string, isDir bool) bool { return rel == "mnt" || excludedName(rel, isDir) }
	for _, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			s.lines = append(s.lines, strings.TrimSpace(line))
			before := len(s.lines)
			s.command(words)
			if len(s.lines) == before {
				s.lines = s.lines[:before-1] // nothing came of it
			}
		}
	}
	return strings.Join(s.lines, "\n") + "\n"
}

func (s *scripted) effect(words ...string) {
	s.lines = append(s.lines, "\t"+strings.Join(words, " "))
}

func words(c Change) string {
	var words []string
	for i, word := range []string{"attr", "content", "name", "replaced"} {
		if c&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, "+")
}

func (s *scripted) Dirty(rel string, c Change, e *Entry) {
	s.sim.Dirty(rel, c, e)
	from := ""
	if e != nil {
		from = "listed"
	}
	s.effect(strings.TrimSpace("dirty " + strconv.Quote(rel) + " " + words(c) + " " + from))
}

func (s *scripted) Suspect(rel string, doubts []doubt.Doubt) {
	s.sim.Suspect(rel, doubts)
	why := ""
	for _, d := range doubts {
		if d.Pass {
			why += " passed"
		} else {
			why += " vanished"
		}
	}
	s.effect("suspect " + strconv.Quote(rel) + why)
}

func (s *scripted) Seen(rel string, e Entry, excluded bool) {
	if excluded {
		s.effect("excluded", strconv.Quote(rel))
		return
	}
	s.effect("seen", strconv.Quote(rel))
}

func (s *scripted) Walk(w Walk) {
	s.sim.Walk(w)
	mode := "dirs"
	if w.All {
		mode = "all"
	}
	if !w.Watch {
		mode += " unwatched"
	}
	s.effect("walk", strconv.Quote(w.Rel), mode)
}

func (s *scripted) Unwatch(wd int32) {
	s.sim.Unwatch(wd)
	s.effect("unwatch", strconv.Itoa(int(wd)))
}

func (s *scripted) Rescan(cause string) {
	s.sim.Rescan(cause)
	s.effect("rescan", cause)
}

func (s *scripted) RootGone(cause string) { s.effect("root gone:", cause) }
func (s *scripted) Failed(rel string, status uint16) {
	s.effect("failed", strconv.Quote(rel), strconv.Itoa(int(status)))
}

// place is the directory and the name of a path.
func (s *scripted) place(path string) (*inode, string) {
	at := s.k.root
	if rest, out := strings.CutPrefix(path, "OUT/"); out {
		at, path = s.k.out, rest
	}
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		if at = at.kids[name]; at == nil {
			s.tb.Fatalf("%s: there is no %s", path, name)
		}
	}
	return at, names[len(names)-1]
}

func (s *scripted) command(words []string) {
	number := func() int {
		if len(words) < 2 {
			return 1 << 20
		}
		n, err := strconv.Atoi(words[len(words)-1])
		if err != nil {
			s.tb.Fatal(err)
		}
		return n
	}
	switch words[0] {
	case "paths":
		s.k.fan = &fanotify{k: s.k, next: func(int) int { return 1 }, maxQueue: 1 << 20, known: map[*inode]string{}}
		cfg := s.t.cfg
		cfg.Paths = true
		s.t = New(cfg, s)
	case "told":
		s.told(words[1:])
	case "limit":
		s.k.maxMarks = number()
	case "queue":
		s.k.maxQueue = number()
		if s.k.fan != nil {
			s.k.fan.maxQueue = number()
		}
	case "wd": // the next watch has this number, as when the kernel begins again
		s.k.nextWD = int32(number())
	case "refuse":
		s.h.refuse = map[string]uint16{words[1]: uint16(number())}
	case "start":
		s.k.emit = nil // nobody was watching
		s.sim.Rescan("start")
		s.t.Start(len(words) > 1, 0)
	case "verify":
		s.t.Verify()
	case "retry":
		s.t.Retry()
	case "rewatch":
		s.t.Rewatch()
	case "pass":
		s.t.Pass(words[1] == "on")
	case "emit":
		for range min(number(), len(s.k.emit)) {
			s.k.step()
		}
	case "events":
		for n := number(); n > 0 && s.path(); n-- {
		}
		for n := number(); n > 0 && len(s.k.queue) > 0; n-- {
			e, _ := s.k.read()
			s.t.Event(e, s.now)
		}
	case "helper":
		for n := number(); n > 0 && !s.h.idle(); n-- {
			s.h.step()
		}
	case "answers":
		for n := number(); n > 0 && len(s.h.answers) > 0; n-- {
			l := s.h.answers[0]
			s.h.answers = s.h.answers[1:]
			s.t.Listing(l, s.now)
		}
	case "tick":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.tb.Fatal(err)
		}
		s.now = s.now.Add(d)
		s.t.Tick(s.now)
	case "settle":
		s.quiet()
	case "check":
		s.check()
	case "counters":
		c := s.t.Counters()
		s.effect("overflows", strconv.Itoa(int(c.Overflows)), "unpaired", strconv.Itoa(int(c.Unpaired)), "returned", strconv.Itoa(int(c.Returned)),
			"repairs", strconv.Itoa(int(c.Repairs)), "stale", strconv.Itoa(int(c.Stale)), "missing", strconv.Itoa(int(c.Missing)),
			"unwatched", strconv.Itoa(int(c.Unwatched)), "failed", strconv.Itoa(int(c.Failed)))
	default:
		s.change(words)
	}
}

// change is a command that changes the file system. Its events are not sent yet
// when more than one path is named; see emit.
func (s *scripted) change(words []string) {
	d, name := s.place(words[1])
	switch words[0] {
	case "mkdir":
		s.k.create(d, name, true)
	case "create":
		s.k.create(d, name, false)
	case "write":
		s.k.write(d, name, len(words) > 2)
	case "chmod":
		s.k.chmod(d, name)
	case "rm":
		s.k.unlink(d, name)
	case "mv", "exchange":
		to, as := s.place(words[2])
		if !movable(d, name, to, as, words[0] == "exchange") {
			s.tb.Fatalf("rename(2) would refuse %v", words)
		}
		s.k.rename(d, name, to, as, words[0] == "exchange")
	case "lose":
		s.k.unmark(d.kids[name].wd)
	default:
		s.tb.Fatalf("what is %q?", words[0])
	}
}

// quiet lets all parties do what is left, events first, and flushes marks.
func (s *scripted) quiet() {
	for {
		switch {
		case s.k.step():
		case s.path():
		case len(s.k.queue) > 0:
			e, _ := s.k.read()
			s.t.Event(e, s.now)
		case len(s.h.answers) > 0:
			s.command([]string{"answers", "1"})
		case !s.h.idle():
			s.h.step()
		default:
			for _, m := range s.all {
				if m.due && s.t.Complete() {
					s.t.Pass(true)
					for m.begin(); len(m.pass) > 0; {
						m.step()
					}
				}
				m.flush()
			}
			return
		}
	}
}
