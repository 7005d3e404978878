package config

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for spec, want := range map[string]struct {
		kind   TargetKind
		user   string
		host   string
		port   uint16
		path   string
		string string // "": as written
	}{
		"/backup/www":              {path: "/backup/www"},
		"backup":                   {path: "backup"},
		"./host:/x":                {path: "./host:/x"},
		"/a:b":                     {path: "/a:b"},
		"/odd\nname":               {path: "/odd\nname"},
		"web2:/srv/www":            {SSHTarget, "", "web2", 22, "/srv/www", ""},
		"mirror@web2:/srv/www/":    {SSHTarget, "mirror", "web2", 22, "/srv/www", "mirror@web2:/srv/www"},
		"web2:www//a/.":            {SSHTarget, "", "web2", 22, "www/a", "web2:www/a"},
		"web2:./:x":                {SSHTarget, "", "web2", 22, "./:x", ""},
		"web2:./~x":                {SSHTarget, "", "web2", 22, "./~x", ""},
		"WEB2.Example:./-x":        {SSHTarget, "", "web2.example", 22, "./-x", "web2.example:./-x"},
		"web2:/a:b@c":              {SSHTarget, "", "web2", 22, "/a:b@c", ""},
		"u@[2001:db8::1]:/x":       {SSHTarget, "u", "2001:db8::1", 22, "/x", ""},
		"[2001:DB8:0:0::1]:x":      {SSHTarget, "", "2001:db8::1", 22, "x", "[2001:db8::1]:x"},
		"nas::www":                 {Daemon, "", "nas", 873, "www", "rsync://nas/www"},
		"u@nas::www/a b/":          {Daemon, "u", "nas", 873, "www/a b", "rsync://u@nas/www/a b"},
		"[::1]::www":               {Daemon, "", "::1", 873, "www", "rsync://[::1]/www"},
		"rsync://nas/www":          {Daemon, "", "nas", 873, "www", ""},
		"RSYNC://u@nas:8873/www/x": {Daemon, "u", "nas", 8873, "www/x", "rsync://u@nas:8873/www/x"},
		"rsync://nas:873/www/":     {Daemon, "", "nas", 873, "www", "rsync://nas/www"},
		"rsync://[::1]:1/w":        {Daemon, "", "::1", 1, "w", ""},
	} {
		got, err := ParseTarget(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if got != (Target{Spec: spec, Kind: want.kind, User: want.user, Host: want.host, Port: want.port, Path: want.path}) {
			t.Errorf("%s: %+v", spec, got)
		}
		if want.string == "" {
			want.string = spec
		}
		if got.String() != want.string {
			t.Errorf("%s is written %s, want %s", spec, got, want.string)
		}
	}
}

func TestBadTargets(t *testing.T) {
	for spec, want := range map[string]string{
		"":                        "is empty",
		"a\x00b":                  "NUL",
		":/x":                     "cannot be a host",
		"host:":                   "no path",
		"-oProxyCommand=x:/y":     "cannot be a host",
		"-x@host:/y":              "cannot be a user",
		"@host:/y":                "cannot be a user",
		"a b@host:/y":             "cannot be a user",
		"ho st:/y":                "cannot be a host",
		"ho\tst:/y":               "cannot be a host",
		"host:-y":                 "begins with a dash",
		"host:/y\x1b[31m":         "control character",
		"host:/y\nz":              "control character",
		"host:/y\u009b":           "control character",
		"host:/a/../b":            "..",
		"host:~/x":                "begins with ~",
		"host:/":                  "root directory",
		"host:.":                  "login directory itself",
		"host:./":                 "login directory itself",
		"h..st:/x":                "cannot be a host",
		"host.:/x":                "cannot be a host",
		"münchen:/x":              "cannot be a host",
		"[::1:/x":                 "brackets",
		"[fe80::1%eth0]:/x":       "brackets",
		"[::1]x:/y":               "brackets",
		"[nas]:/y":                "brackets",
		"[::1]":                   "no path",
		"::1:/y":                  "cannot be a host",
		"host::":                  "no module",
		"host:::x":                "cannot be a module",
		"host::/x":                "cannot be a module",
		"host::-x":                "begins with a dash",
		"host::.":                 "cannot be a module",
		"host::./x":               "cannot be a module",
		"ssh://host/x":            "no kind of target",
		"http://host/x":           "no kind of target",
		"rsync://":                "cannot be a host",
		"rsync://host":            "no module",
		"rsync://host/":           "no module",
		"rsync://u:secret@host/x": "holds a password",
		"rsync://host//x":         "cannot be a module",
		"rsync://host:0/x":        "not a port",
		"rsync://host:65536/x":    "not a port",
		"rsync://host:/x":         "not a port",
		"rsync://host:+1/x":       "not a port",
		"rsync://-h/x":            "cannot be a host",
		"rsync:///x":              "cannot be a host",
		"rsync://a@b@c/x":         "cannot be a host",
		strings.Repeat("x", 4096): "longer than 4095",
	} {
		if got, err := ParseTarget(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %s", spec, got, err, want)
		}
	}
}

// FuzzTarget: what was read is written in one spelling, which reads as the same
// target; and nothing that ssh or rsync could take for an option comes through.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/a", "u@h:/x", "h:x", "[::1]:x", "h::m/p", "rsync://u@[::1]:873/m/p", "h:./-x", "./h:/x", "h:~", "rsync://h/m/../x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		first, err := ParseTarget(spec)
		if err != nil {
			return
		}
		second, err := ParseTarget(first.String())
		if err != nil {
			t.Fatalf("%q is written %q, which is none: %v", spec, first, err)
		}
		if again := second.String(); again != first.String() {
			t.Errorf("%q, %q, %q", spec, first, again)
		}
		second.Spec = first.Spec
		if second != first {
			t.Errorf("%q: %+v and %+v", spec, first, second)
		}
		if !first.Remote() {
			return
		}
		for _, part := range []string{first.User, first.Host, first.Path} {
			if strings.HasPrefix(part, "-") || isControl(part) || strings.ContainsRune(part, 0) {
				t.Errorf("%q: %+v", spec, first)
			}
		}
		if first.Host == "" || first.Path == "" || first.Port == 0 || strings.ContainsAny(first.Host+first.User, " /@[]'\"$`\\") || hasParent(first.Path) {
			t.Errorf("%q: %+v", spec, first)
		}
	})
}
