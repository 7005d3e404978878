package brief

import (
	"slices"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// The program of a handler is the person's, by its own path; of a module it is ours,
// where the jail shows it, and the module is what was looked at.
func TestHandlerRunner(t *testing.T) {
	cfg := config.Config{Sync: config.Sync{Name: "lab", Source: "/s", Mode: "shell", Handler: "/h", IgnoreExit: []uint8{3}}}
	h := host.Handler{Program: "/h", Dev: 1, Ino: 2}
	got := HandlerRunner(cfg, config.Target{Path: "/t"}, h, true)
	if got.Program != "/h" || got.ProgDev != 1 || got.ProgIno != 2 || got.Handler.Module != (settings.Module{}) || got.Handler.Ignore != "\x03" || !got.Accept {
		t.Errorf("%+v", got)
	}
	cfg.Mode = "rsyncso"
	h = host.Handler{Program: "/usr/libexec/lockstep/lockstep-plugin", Dev: 1, Ino: 2, Module: host.Module{Path: "/x.so", Dev: 3, Ino: 4}}
	got = HandlerRunner(cfg, config.Target{Path: "/t"}, h, false)
	if got.Program != jail.PluginPath || got.ProgDev != 1 || got.ProgIno != 2 || got.Handler.Module != (settings.Module{Path: "/x.so", Dev: 3, Ino: 4}) ||
		got.Handler.Mode != "rsyncso" || got.Source != "/s" || got.Handler.Destination != "/t" || got.Handler.Lists != jail.Scratch || got.Accept {
		t.Errorf("%+v", got)
	}
}

// A hook gets two words and what clsync's hooks are told; it has one kind of job, a
// limit of its own, and nothing of a pass.
func TestHookRunner(t *testing.T) {
	cfg := config.Config{Sync: config.Sync{Name: "lab", Source: "/s", Timeout: time.Hour, Mode: "shell", Handler: "/h", End: config.End{HookTimeout: time.Minute}}}
	got := HookRunner(cfg, host.Handler{Program: "/hook", Dev: 1, Ino: 2}, "preexit")
	if got.Program != "/hook" || got.ProgDev != 1 || got.ProgIno != 2 || got.Timeout != time.Minute || got.Handler.Mode != "" || got.Probe != nil || got.Later != nil || got.Compare != 0 {
		t.Errorf("%+v", got)
	}
	for kind, argv := range got.Argv {
		if want := ipc.JobKind(kind) == HookJob; want != (len(argv) > 0) || want && !slices.Equal(argv, []string{"/hook", "lab"}) {
			t.Errorf("job %d: %q", kind, argv)
		}
	}
	if !slices.Contains(got.Env, "CLSYNC_STATUS=preexit") || HookPatience(cfg) <= got.Timeout+got.Grace {
		t.Errorf("%q, %v", got.Env, HookPatience(cfg))
	}
}
