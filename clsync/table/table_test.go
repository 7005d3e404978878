package table

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lockstep/clsync/cmdline"
)

// The options as they were found: name, letter, argument, default, class.
const found = `
watch-dir -W req - E
destination-dir -D req - E
sync-handler -S req - E
-- - - - E
--- - - - U
mode -M req - E
rules-file -R req - E
label -l req nolabel E
background -b opt - L
pid-file -z req - U
status-file - req - U
config-file -H req - E
config-block -K req default E
config-block-inherits - req - E
custom-signals - req - U
retries -r req 1 E
ignore-failures - opt - E
exit-on-sync-skipping - opt - N
threading -p req off E
output -Y req stderr E
debug -d opt 0 U
verbose -v opt 3 U
quiet -q opt 0 U
one-file-system - opt - E
exclude-mount-points -X opt - E
socket -s req - U
socket-own - req - U
socket-mod - req - U
socket-auth - req - U
standby-file - req - U
max-iterations - req 0 U
modification-signature - req - U
timeout-sync -k req 86400 E
delay-sync -w req 30 E
delay-collect -t req 30 E
delay-collect-bigfile -T req 1800 E
threshold-bigfile -B req 134217728 E
cancel-syscalls - req - L
lists-dir -L req - U
have-recursive-sync - opt - U
synclist-simplify - opt - U
rsync-inclimit - req 20000 E
rsync-prefer-include - opt - U
auto-add-rules-w -A opt - N
ignore-exitcode -x req - E
dont-unlink-lists -U opt - U
fts-experimental-optimization - opt - N
full-initialsync -F opt - E
only-initialsync - opt - E
skip-initialsync - opt - E
exit-on-no-events - opt - E
sync-on-quit - opt - U
pre-exit-hook - req - U
exit-hook - req - U
dump-dir - req /tmp/clsync-dump-%label% U
monitor - req inotify E
uid -u req - E
gid -g req - E
privileged-uid - req - U
privileged-gid - req - U
sync-handler-uid - req - E
sync-handler-gid - req - E
preserve-capabilities -C req DAC_READ_SEARCH,SETUID,SETGID,KILL U
inherit-capabilities - opt empty L
splitting - req off E
secure-splitting - none - E
check-execvp-arguments - opt - E
add-permitted-hook-files - req - U
seccomp-filter - opt - E
permit-mprotect - opt - L
shm-mprotect - opt - L
forget-privthread-info - opt - L
chroot - req - U
pivot-root - req off U
mountpoints - req - U
detach-network - req off U
detach-ipc - req 1 U
detach-miscellanea - opt - U
forbid-devices - opt - U
cgroup-group-name - req clsync/%PID% L
cluster-iface -c req - N
cluster-ip -m req 227.108.115.121 N
cluster-port -P req 40079 N
cluster-timeout -G req 1000 N
cluster-node-name -n req - N
cluster-hash-dl-min -o req 1 N
cluster-hash-dl-max -O req 16 N
cluster-scan-dl-max - req 32 N
help -h opt - E
version -V opt - E
lenient - none - O
print-config - none - O
`

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestTable(t *testing.T) {
	var got []string
	names, letters := map[string]bool{}, map[byte]bool{}
	for _, o := range All() {
		letter, arg := "-", map[cmdline.Arg]string{cmdline.None: "none", cmdline.Optional: "opt", cmdline.Required: "req"}[o.Arg]
		if o.Short != 0 {
			letter = "-" + string(o.Short)
		}
		if o.Place == InFile {
			arg = "-"
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %c", o.Name, letter, arg, dash(o.Default), "EULNO"[o.Class]))
		if names[o.Name] || o.Short != 0 && letters[o.Short] {
			t.Errorf("%s is there twice", o.Name)
		}
		names[o.Name], letters[o.Short] = true, true
		if (o.Class == Legacy || o.Class == NoOp) != (o.Instead != "") {
			t.Errorf("%s: class %c, instead %q", o.Name, "EULNO"[o.Class], o.Instead)
		}
		if (o.Type == Choice || o.Type == Choices) != (o.Words != "") {
			t.Errorf("%s: words %q", o.Name, o.Words)
		}
	}
	want := strings.Split(strings.TrimSpace(found), "\n")
	slices.Sort(got)
	slices.Sort(want)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("lacks %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("has %s", g)
		}
	}
	for other, name := range Aliases() {
		if !names[name] || names[other] {
			t.Errorf("%s stands for %s", other, name)
		}
	}
}

func TestLookup(t *testing.T) {
	if o, ok := Lookup("retries"); !ok || o.Spec() != (cmdline.Spec{Name: "retries", Short: 'r', Arg: cmdline.Required}) {
		t.Errorf("%+v", o)
	}
	if _, ok := Lookup("nosuch"); ok {
		t.Error("nosuch is there")
	}
	if got := Specs(); len(got) != len(All())-2 {
		t.Errorf("%d of %d", len(got), len(All()))
	}
}
