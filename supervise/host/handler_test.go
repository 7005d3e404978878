package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/internal/buildinfo"
	"lockstep/internal/testenv"
)

// putter is a directory without links on the way to it, and what makes files there.
func putter(t *testing.T) (dir string, put func(name, text string, mode os.FileMode) string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir, func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

func TestInspectHandler(t *testing.T) {
	testenv.NeedRoot(t)
	dir, put := putter(t)
	good := put("good", "#!/bin/sh -e\n", 0o755)
	h, err := InspectHandler(config.Sync{Mode: "shell", Handler: good})
	if err != nil {
		t.Fatal(err)
	}
	if h.Ino == 0 || !slices.Contains(h.Dirs, "/usr") || h.Within(good) || !h.Within("/usr/bin/x") || h.Within("/usrx") || !slices.Contains(h.Devices, "/dev/null") {
		t.Errorf("%+v", h)
	}
	for _, d := range slices.Concat(h.Dirs, h.Files, h.Devices) {
		if info, err := os.Lstat(d); err != nil || info.Mode()&os.ModeSymlink != 0 {
			t.Errorf("%s: %v", d, err)
		}
	}
	stranger := put("stranger", "#!/bin/sh\n", 0o755)
	if err := os.Chown(stranger, 12345, 0); err != nil {
		t.Fatal(err)
	}
	own := put("own-interpreter", "", 0o755)
	for path, want := range map[string]string{
		put("open", "#!/bin/sh\n", 0o777):                "written by others",
		put("not", "#!/bin/sh\n", 0o644):                 "not an executable",
		put("setid", "#!/bin/sh\n", os.ModeSetuid|0o755): "set-id",
		stranger:                            "belongs to uid",
		put("far", "#!"+own+"\n", 0o755):    "none of the directories",
		put("rel", "#!bin/sh\n", 0o755):     "absolute path",
		put("none", "#!\n", 0o755):          "absolute path",
		put("gone", "#!/usr/nope\n", 0o755): "its interpreter",
		filepath.Join(dir, "nowhere"):       "no such file",
		dir:                                 "not an executable",
	} {
		if _, err := InspectHandler(config.Sync{Mode: "shell", Handler: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := InspectHook(path, config.IDs{}); err == nil || !strings.Contains(err.Error(), want) || strings.HasPrefix(err.Error(), "handler") {
			t.Errorf("as a hook: %s: %v", path, err)
		}
	}
	if hook, err := InspectHook(good, config.IDs{}); err != nil || hook.Program != h.Program || hook.Ino != h.Ino || !slices.Equal(hook.Dirs, h.Dirs) || !slices.Equal(hook.Files, h.Files) {
		t.Errorf("a hook: %+v, %v", hook, err)
	}
}

// A module is root's alone to write, and what calls its functions is of this build.
func TestInspectModule(t *testing.T) {
	testenv.NeedRoot(t)
	dir, put := putter(t)
	var h Handler
	// There is no such program beside a test.
	if err := h.module(put("good.so", "", 0o644)); err == nil || !strings.Contains(err.Error(), "what calls modules") || h.Module.Path != dir+"/good.so" || h.Module.Ino == 0 {
		t.Errorf("%v %+v", err, h.Module)
	}
	for path, want := range map[string]string{put("open.so", "", 0o664): "others can write to it", dir + "/nowhere.so": "no such file", dir: "no regular file"} {
		h := Handler{}
		if err := h.module(path); err == nil || !strings.Contains(err.Error(), want) || h.Module.Path != "" {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := InspectHandler(config.Sync{Mode: "rsyncso", Handler: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	script := func(id string, mode os.FileMode) {
		put("lockstep-plugin", "#!/bin/sh\n[ \"$*\" = build-id ] && echo "+id+"\n", mode)
	}
	script(buildinfo.ID, 0o755)
	if err := h.caller(dir, 0); err != nil || h.Program != dir+"/lockstep-plugin" || h.Ino == 0 {
		t.Errorf("%v %+v", err, h)
	}
	script("another", 0o755)
	if err := h.caller(dir, 0); err == nil || !strings.Contains(err.Error(), "is of build another") {
		t.Errorf("%v", err)
	}
	script(buildinfo.ID, 0o777)
	if err := h.caller(dir, 0); err == nil || !strings.Contains(err.Error(), "not safe to run") {
		t.Errorf("%v", err)
	}
	script(buildinfo.ID, 0o755)
	if err := os.Chown(dir+"/lockstep-plugin", 12345, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.caller(dir, 0); err == nil || !strings.Contains(err.Error(), "uid 12345") {
		t.Errorf("%v", err)
	}
	if err := h.caller(dir, 12345); err != nil {
		t.Errorf("who has lockstep has what calls modules: %v", err)
	}
}
