package host

import (
	"errors"
	"os"
	"slices"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
)

// What a person has named for a handler is shown as what it is now; what has become
// something else is an error. With a network come files of name services, and no key.
func TestInspectBeside(t *testing.T) {
	testenv.NeedRoot(t)
	dir, put := putter(t)
	good, key, status := put("good", "#!/bin/sh\n", 0o755), put("key", "", 0o600), dir+"/status"
	if err := errors.Join(os.Mkdir(status, 0o755), os.Symlink("key", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	s := config.Sync{Mode: "shell", Handler: good, Reads: []string{key, "/etc/passwd"}, Writes: []string{status}}
	h, err := InspectHandler(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Shows) != 1 || h.Shows[0].Path != key || h.Shows[0].Dir || h.Shows[0].Ino == 0 || len(h.Writes) != 1 || !h.Writes[0].Dir || h.Writes[0].Ino == 0 || h.Network || h.Names != "" {
		t.Errorf("%+v", h)
	}
	if !slices.Contains(h.Files, "/etc/passwd") {
		t.Errorf("/etc/passwd is not there in any case: %q", h.Files)
	}
	s.Network = true
	with, err := InspectHandler(s)
	if err != nil {
		t.Fatal(err)
	}
	if !with.Network || len(with.Files) <= len(h.Files) || with.Names == "" || slices.Contains(with.Files, "/etc/shadow") {
		t.Errorf("%+v", with)
	}
	for _, one := range with.Shows {
		if one.Path == "/etc/ssl" || one.Path == "/etc/ssl/private" || one.Path == "/etc/ssh" {
			t.Errorf("%s is shown, with its keys", one.Path)
		}
	}
	for _, path := range []string{dir + "/none", dir + "/link"} {
		for _, s := range []config.Sync{{Mode: "shell", Handler: good, Reads: []string{path}}, {Mode: "shell", Handler: good, Writes: []string{path}}} {
			if _, err := InspectHandler(s); err == nil {
				t.Errorf("%s is shown", path)
			}
		}
	}
}
