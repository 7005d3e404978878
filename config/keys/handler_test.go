package keys

import (
	"strings"
	"testing"

	"lockstep/config"
)

// A handler may have no target, if none of its words is one; an rsync needs one. What
// is for handlers alone is refused beside rsync.
func TestHandlerWithoutTarget(t *testing.T) {
	for _, c := range []struct{ pairs, want string }{
		{"mode shell handler /h", ""},
		{"mode rsyncshell handler /h", ""},
		{"mode simple handler /h network true handler_reads /r handler_writes /w", ""},
		{"mode so handler /h.so", ""},
		{"mode rsyncso handler /h.so", ""},
		{"mode direct handler /h handler_args %INCLUDE-LIST%", ""},
		{"mode direct handler /h handler_args %%destination-dir%%", ""},
		{"mode direct handler /h", "DST: missing, and the words of the handler name it"},
		{"mode shell handler /h handler_args to:%destination-dir%", "DST: missing, and the words of the handler name it"},
		{"mode shell handler /h handler_args %%%destination-dir%", "DST: missing, and the words of the handler name it"},
		{"mode direct handler /h targets /t", ""},
		{"mode shell handler /h targets u@h:/x", "DST: a handler's target is a directory of this host"},
		{"mode rsync", "DST: missing"},
		{"", "DST: missing"},
		{"mode shell", "--handler: missing"},
		{"targets /t network true", "--network: nothing would use it"},
		{"targets /t handler_reads /r", "--handler-reads: nothing would use it"},
		{"targets /t handler_writes /r", "--handler-writes: nothing would use it"},
		{"mode shell handler /h handler_reads r", `--handler-reads: "r" is not an absolute path; name it by its absolute path`},
		{"mode shell handler /h handler_reads /r handler_reads /r", `--handler-reads: "/r" is named twice`},
		{"mode shell handler /h handler_recursive true handler_recursive_args x handler_plain_lists true handler_keep_lists true", ""},
		{"mode so handler /h handler_keep_lists true", "--handler-keep-lists: is about files with lists"},
		{"mode direct handler /h handler_args %INCLUDE-LIST% handler_recursive true", ""},
		{"mode so handler /h.so handler_recursive true", ""},
		{"mode so handler /h.so handler_recursive true handler_recursive_args x", "--handler-recursive-args: are words"},
		{"mode shell handler /h handler_recursive_args x", "--handler-recursive-args: are words"},
		{"mode shell handler /h handler_recursive true handler_recursive_args %destination-dir%", "DST: missing, and the words"},
		{"mode simple handler /h handler_recursive true", "--handler-recursive: asks for calls for whole directories, and mode simple"},
		{"mode rsyncso handler /h.so handler_recursive true", "--handler-recursive: asks for calls for whole directories, and rsync's lists"},
		{"mode shell handler /h handler_recursive true exclude *.o", "--handler-recursive: asks for calls for whole directories, which could not say"},
		{"mode shell handler /h handler_recursive true rules -f^x$", "--handler-recursive: asks for calls for whole directories, which could not say"},
		{"mode direct handler /h handler_args %INCLUDE-LIST% handler_plain_lists true", "--handler-plain-lists: is about the lists of mode shell"},
		{"targets /t handler_recursive true", "--handler-recursive: nothing would use it"},
		{"mode shell handler /h handler_changes uid handler_changes gid", ""},
		{"mode shell handler /h handler_changes color", `--handler-changes: "color" is unknown; use words of lstat(2): dev, ino,`},
		{"mode rsyncshell handler /h handler_changes uid", "--handler-changes: chooses what is told"},
		{"targets /t first_pass skip", ""},
		{"mode shell handler /h first_pass skip", ""},
		{"targets /t first_pass never", `--first-pass: "never" is unknown; use whole or skip`},
		{"targets /t first_pass skip once true", "--once: ends when a whole pass has brought the targets in step, and s has none"},
		{"targets /t first_pass skip dry_run true", "--dry-run: shows what the first pass would do, and s has none"},
		{"mode shell handler /h handler_user www-data", ""},
		{"mode shell handler /h handler_user u.1:g-2", ""},
		{"mode shell handler /h handler_user root", `--handler-user: "root" cannot be the user of a handler; name a user of this host`},
		{"mode shell handler /h handler_user u:root", `--handler-user: "u:root" cannot be the user of a handler`},
		{"mode shell handler /h handler_user nobody", `--handler-user: "nobody" cannot be`},
		{"mode shell handler /h handler_user 0", `--handler-user: "0" cannot be`},
		{"mode shell handler /h handler_user u:", `--handler-user: "u:" cannot be`},
		{"mode shell handler /h handler_user :g", `--handler-user: ":g" cannot be`},
		{"mode shell handler /h handler_user u:g:h", `--handler-user: "u:g:h" cannot be`},
		{"targets /t handler_user u", "--handler-user: nothing would use it"},
		{"targets /t backup_dir decrement", ""},
		{"targets /t backup_dir .old", ""},
		{"targets /t backup_dir ..", `--backup-dir: ".." is not one name`},
		{"targets /t backup_dir .", `--backup-dir: "." is not one name`},
		{"targets /t backup_dir ../old", `--backup-dir: "../old" is not one name`},
		{"targets /t backup_dir /old", `--backup-dir: "/old" is not one name`},
		{"targets /t backup_dir a/b", `--backup-dir: "a/b" is not one name`},
		{"targets /t backup_dir -old", `--backup-dir: "-old" is not one name`},
		{"targets /t backup_dir old*", `--backup-dir: "old*" is not one name`},
		{"mode shell handler /h backup_dir old", "--backup-dir: is about lockstep's own rsync"},
		{"targets /t rsync_args --backup-dir=x", `--rsync-args: "--backup-dir" is refused: it has a key of its own, backup_dir`},
		{"mode shell handler /h run_as x", "--run-as: there is no remote target"},
	} {
		s, err := build(t, append([]string{"source", "/s"}, strings.Fields(c.pairs)...)...)
		got := ""
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), "\n")
		}
		if (c.want == "") != (err == nil) || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.pairs, got, c.want)
		}
		if err == nil && !strings.Contains(c.pairs, "targets") {
			one := s.Sync
			if len(one.Targets) != 1 || one.Targets[0].Kind != config.None || one.Targets[0].Remote() || !one.Untargeted() {
				t.Errorf("%s: %+v", c.pairs, one.Targets)
			}
			k, _ := Lookup("targets")
			if v := k.Values(config.Config{Sync: one}); len(v) != 0 {
				t.Errorf("%s: written as %q", c.pairs, v)
			}
		}
	}
}
