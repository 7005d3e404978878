package brief

import (
	"testing"

	"lockstep/config"
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
