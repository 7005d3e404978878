package serve

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"lockstep/plugin/frame"
)

// fake writes down what is called.
type fake struct {
	calls   []string
	load    *frame.Fault
	refuses bool
}

func (f *fake) call(name string) frame.Result {
	f.calls = append(f.calls, name)
	return frame.Result{}
}

func (f *fake) Load(frame.Init) *frame.Fault {
	f.call("load")
	return f.load
}

func (f *fake) Init() frame.Result {
	f.call("init")
	if f.refuses {
		return frame.Result{Code: 5}
	}
	return frame.Result{}
}

func (f *fake) Sync(m *frame.Sync) frame.Result { return f.call(fmt.Sprint("sync ", len(m.Entries))) }
func (f *fake) Rsync(m *frame.Rsync) frame.Result {
	return f.call("rsync " + m.Include + " " + m.Exclude)
}
func (f *fake) Deinit() frame.Result { return f.call("deinit") }

// talk has the requests served and returns the answers.
func talk(t *testing.T, f *fake, requests ...frame.Message) ([]frame.Message, error) {
	t.Helper()
	var in []byte
	for i, r := range requests {
		var err error
		if in, err = frame.Append(in, frame.Sequence(i+1), r); err != nil {
			t.Fatal(err)
		}
	}
	return raw(t, f, in)
}

func raw(t *testing.T, f *fake, in []byte) ([]frame.Message, error) {
	t.Helper()
	var out bytes.Buffer
	served := Serve(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(in), &out}, f)
	var answers []frame.Message
	for {
		_, m, err := frame.ReadAnswer(&out)
		if err == io.EOF {
			return answers, served
		}
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, m)
	}
}

func TestOrder(t *testing.T) {
	start, startRsync := &frame.Init{WatchDir: "/s"}, &frame.Init{WatchDir: "/s", Mode: frame.ModeRsync}
	sync, rsync, end := &frame.Sync{Entries: make([]frame.Entry, 2)}, &frame.Rsync{Include: "i", Exclude: "e"}, &frame.Deinit{}
	cases := map[string]struct {
		fake     fake
		requests []frame.Message
		calls    string
		why      frame.Why // of the last answer
	}{
		"sync":           {fake{}, []frame.Message{start, sync, sync, end}, "load,init,sync 2,sync 2,deinit", 0},
		"rsync":          {fake{}, []frame.Message{startRsync, rsync, end}, "load,init,rsync i e,deinit", 0},
		"nothing first":  {fake{}, []frame.Message{sync}, "", frame.OutOfOrder},
		"deinit first":   {fake{}, []frame.Message{end}, "", frame.OutOfOrder},
		"init twice":     {fake{}, []frame.Message{start, start}, "load,init", frame.OutOfOrder},
		"the other mode": {fake{}, []frame.Message{start, rsync, end}, "load,init", frame.OutOfOrder},
		"and reverse":    {fake{}, []frame.Message{startRsync, sync, end}, "load,init", frame.OutOfOrder},
		"not loaded":     {fake{load: &frame.Fault{Why: frame.NoFunction, Text: "x\x00" + strings.Repeat("y", 2000)}}, []frame.Message{start, sync}, "load", frame.NoFunction},
		"it refuses":     {fake{refuses: true}, []frame.Message{start, sync}, "load,init", 0},
		"after the last": {fake{}, []frame.Message{start, end, sync}, "load,init,deinit", 0},
	}
	for name, c := range cases {
		answers, err := talk(t, &c.fake, c.requests...)
		if got := strings.Join(c.fake.calls, ","); got != c.calls {
			t.Errorf("%s: called %q, want %q", name, got, c.calls)
		}
		if len(answers) == 0 {
			t.Errorf("%s: no answer", name)
			continue
		}
		fault, _ := answers[len(answers)-1].(*frame.Fault)
		if (fault != nil) != (c.why != 0) || fault != nil && fault.Why != c.why {
			t.Errorf("%s: last answer %+v", name, answers[len(answers)-1])
		}
		if (err != nil) != (c.why != 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGarbageAndTheEnd(t *testing.T) {
	f := &fake{}
	answers, err := raw(t, f, []byte(strings.Repeat("x", 64)))
	if err == nil || len(answers) != 1 || answers[0].(*frame.Fault).Why != frame.Malformed || len(f.calls) != 0 {
		t.Errorf("garbage: %v, %v, %v", answers, err, f.calls)
	}
	// A runner that is gone has not asked for an orderly end.
	if _, err := talk(t, f, &frame.Init{WatchDir: "/s"}); err == nil || slices.Contains(f.calls, "deinit") {
		t.Errorf("the end: %v, %v", err, f.calls)
	}
}
