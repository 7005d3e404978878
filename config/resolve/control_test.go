package resolve

import (
	"strings"
	"testing"

	"lockstep/config"
)

func TestControl(t *testing.T) {
	for _, c := range []struct {
		path    string // of the file
		control config.Control
		want    string // the socket
		wrong   string
	}{
		{"", config.Control{}, config.NoControl, ""},
		{"/etc/x.toml", config.Control{}, "/run/x/control", ""},
		{"/etc/x.toml", config.Control{Socket: config.NoControl}, config.NoControl, ""},
		{"", config.Control{Socket: "/run/y"}, "/run/y", ""},
		{"", config.Control{Socket: "/run/" + strings.Repeat("y", 103)}, "/run/" + strings.Repeat("y", 103), "has 108 bytes"},
		{"", config.Control{Socket: "/run/y", Owner: "no-such-user"}, "/run/y", `there is no user "no-such-user"`},
		{"", config.Control{Socket: "/run/y", Owner: "0:no-such-group"}, "/run/y", `there is no group "no-such-group"`},
		{"", config.Control{Socket: "/run/y", Owner: "4294967295"}, "/run/y", "there is no user"},
		{"", config.Control{Socket: "/run/y", Owner: "60998", Mode: 0o600}, "/run/y", ""},
		{"/etc/x.toml", config.Control{Owner: "60998", Mode: 0o600}, "/run/x/control", "root alone can enter"},
		{"/etc/x.toml", config.Control{Owner: ":60998", Mode: 0o660}, "/run/x/control", "root alone can enter"},
		{"/etc/x.toml", config.Control{Owner: ":60998", Mode: 0o600}, "/run/x/control", ""},
	} {
		r := resolver{Set: config.Set{Path: c.path, Service: config.Service{RuntimeDir: "/run/x", Control: c.control}}, in: config.InService}
		r.control()
		text := ""
		if len(r.problems) > 0 {
			text = r.problems.Error()
		}
		if r.Control.Socket != c.want || c.wrong == "" && text != "" || !strings.Contains(text, c.wrong) {
			t.Errorf("%q, %+v: %s, %q; want %s, %q", c.path, c.control, r.Control.Socket, text, c.want, c.wrong)
		}
	}
}

// A client of a file finds the socket that its service makes.
func TestControlSocket(t *testing.T) {
	for dir, want := range map[string]string{"": "/run/lockstep/control", "/run/x": "/run/x/control"} {
		if got := ControlSocket(config.Set{Service: config.Service{RuntimeDir: dir}}); got != want {
			t.Errorf("%q: %s", dir, got)
		}
	}
	for socket, want := range map[string]string{config.NoControl: "", "/run/y": "/run/y"} {
		if got := ControlSocket(config.Set{Service: config.Service{Control: config.Control{Socket: socket}}}); got != want {
			t.Errorf("%q: %s", socket, got)
		}
	}
}
