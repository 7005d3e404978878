package desk

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/ipc/control"
	asked "lockstep/supervise/control"
)

// service takes down what it is told.
type service struct {
	dir  string
	told []string
}

func (s *service) Told() config.Set {
	return config.Set{Service: config.Service{RuntimeDir: s.dir}, Syncs: []config.Sync{{Name: "a"}, {Name: "b"}}}
}
func (s *service) Parts() []console.Part { return []console.Part{{Name: "a"}, {Name: "b"}} }
func (s *service) Signal(sig os.Signal, sync string) {
	s.told = append(s.told, fmt.Sprintf("%v %s", sig, sync))
}
func (s *service) Pause(on bool, sync string) {
	s.told = append(s.told, fmt.Sprintf("pause %v %s", on, sync))
}

func TestAnswer(t *testing.T) {
	term, again := fmt.Sprintf("%v ", syscall.SIGTERM), fmt.Sprintf("%v ", syscall.SIGINT)
	for _, k := range control.Commands() {
		var log strings.Builder
		s := &service{dir: t.TempDir()}
		d := &Desk{Log: slog.New(slog.NewTextHandler(&log, nil)), Service: s, Later: func(_ time.Duration, f func()) { f() }}
		replies := make(chan string, 2)
		q := asked.Request{Command: k.Command, UID: 1000, Reply: func(text []byte, refused error) {
			if refused != nil || !json.Valid(text) {
				t.Errorf("%s: %q, %v", k.Name, text, refused)
			}
			replies <- string(text)
		}}
		if k.Sync {
			q.Sync = "b"
		}
		d.Answer(q)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if len(replies) != 1 {
			t.Fatalf("%s: %d answers", k.Name, len(replies))
		}
		want := map[control.Command][]string{
			control.Resync: {fmt.Sprintf("%v b", syscall.SIGUSR2)}, control.Reload: {fmt.Sprintf("%v ", syscall.SIGHUP)},
			control.Pause: {"pause true b"}, control.Resume: {"pause false b"}, control.Quit: {term}, control.Die: {term, again},
		}[k.Command]
		if !slices.Equal(s.told, want) {
			t.Errorf("%s: %q, want %q", k.Name, s.told, want)
		}
		if said := strings.Contains(log.String(), k.Name+`" uid=1000`); said == k.Command.Reads() {
			t.Errorf("%s: the log says %s", k.Name, log.String())
		}
		answer := <-replies
		if reads := k.Command == control.Status || k.Command == control.Info; reads && (strings.Contains(answer, `"name":"a"`) || !strings.Contains(answer, `"name":"b"`)) {
			t.Errorf("%s of b: %s", k.Name, answer)
		}
	}
}

// One dump at a time; what cannot be written is said.
func TestDumps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	d := &Desk{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Service: &service{dir: dir}}
	refused := func(c control.Command, sync string) {
		t.Helper()
		d.Answer(asked.Request{Command: c, Sync: sync, Reply: func(_ []byte, refused error) {
			if refused == nil {
				t.Errorf("%s of %q is not refused", c.Kind().Name, sync)
			}
		}})
	}
	refused(control.Resync, "gone")
	d.dumping.Store(true)
	refused(control.Dump, "")
	d.dumping.Store(false)
	refused(control.Dump, "") // into nothing
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Dump()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if all, err := filepath.Glob(dir + "/dump-*/b/instance"); err != nil || len(all) != 1 {
		t.Errorf("%q, %v", all, err)
	}
}
