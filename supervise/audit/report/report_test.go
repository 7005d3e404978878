package report

import (
	"regexp"
	"strings"
	"testing"

	"lockstep/supervise/audit"
	"lockstep/supervise/audit/judge"
)

const hostile = `</svg><script>alert("x")</script>'>&`

func sample() audit.Report {
	same := judge.Result{Check: "ids", State: judge.Declared, What: "uid 0"}
	return audit.Report{Version: "1", Build: "b", Result: string(judge.Deviates), Deviations: 1, Looks: 2, Instances: []audit.Instance{{
		RuntimeDir: "/run/" + hostile, Group: "mirror-1", Notes: []string{hostile},
		Processes: []audit.Process{
			{PID: 10, Parent: 1, Role: "supervisor", Checks: []judge.Result{same}},
			{PID: 11, Parent: 10, Role: "worker", Sync: hostile, Checks: []judge.Result{same,
				{Check: "limits", State: judge.Deviates, What: "open files 32", Deviations: []string{"limit of open files is 33 " + hostile}},
				{Check: "landlock", State: judge.Unseen, What: "nothing tells"}}},
			{PID: 12, Parent: 10, Role: "runner", Target: strings.Repeat("ü", 100), Checks: []judge.Result{same}},
			{PID: 13, Parent: 12, Role: "command", Checks: []judge.Result{same}},
		},
	}}, Notes: []string{hostile}}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, sample(), false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"     10  supervisor             ids            as declared: uid 0\n", "limits         DEVIATES; declared: open files 32\n",
		"limit of open files is 33 </svg>", "landlock       not observable: nothing tells\n", "1 instance(s), 4 processes, 6 groups of checks, 2 look(s), 0.0 ms: 1 DEVIATION(S)\n",
		"     12  runner üü",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("there is a colour")
	}
	b.Reset()
	if err := Text(&b, audit.Report{Looks: 1}, true); err != nil || !strings.Contains(b.String(), "no lockstep runs on this host as root") || !strings.Contains(b.String(), "all as declared") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// The page shows what it is given, obeys none of it, and loads nothing.
func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<script") || strings.Count(page, "</svg>") != 1 || strings.Contains(page, "ZgotmplZ") {
		t.Errorf("a name is obeyed:\n%s", page)
	}
	if m := regexp.MustCompile(`(?i)( src=|href|url\(|@import|https?:)`).FindString(page); m != "" {
		t.Errorf("the page loads something: %s", m)
	}
	for _, want := range []string{"&lt;script&gt;", "<svg ", `class="deviates"`, "limit of open files is 33", "pid 13", "<details open>", "default-src &#39;none&#39;"} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

// A child is to the right of its parent, and below it.
func TestDraw(t *testing.T) {
	v := draw(sample().Instances[0])
	for i, want := range []int{0, 1, 1, 2} {
		if b := v.Boxes[i]; b.X != margin+want*stepX || b.Y != margin+i*stepY || b.HasParent != (i > 0) {
			t.Errorf("%d: %+v", i, b)
		}
	}
	if v.Width < margin+2*stepX+boxWide || v.Height < 4*stepY {
		t.Errorf("%d × %d", v.Width, v.Height)
	}
}
