package transfer

import (
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/words"
	"lockstep/config"
	"lockstep/config/field"
)

// exclude takes a pattern of rsync's that means the same to gitignore.
func (r *reader) exclude(pattern string) {
	if pattern == "*" && r.lists {
		return // what stands in no list, as clsync's lists need it
	}
	text, why := gitignore(pattern)
	if why != "" {
		r.fail("--exclude="+pattern, why, "write it as a rule in --rules-file")
		return
	}
	r.Late = r.Late || r.lists
	if !slices.Contains(r.Excludes, text) {
		r.Excludes = append(r.Excludes, text)
	}
}

// gitignore writes a pattern of rsync's as one of gitignore's, or says why there is
// none.
func gitignore(p string) (text, why string) {
	inner := strings.TrimSuffix(p, "/")
	switch {
	case inner == "" || inner == "*":
		return "", "leaves out everything"
	case strings.ContainsAny(p, "\\[]\x00\n"):
		return "", "has a backslash or a bracket, which the two kinds of patterns read in two ways"
	case strings.Contains(p, "**") || strings.Contains(p, "//"):
		return "", "has ** or two slashes, which the two kinds of patterns read in two ways"
	case strings.ContainsAny(p[:1], "!#;+-: ") || strings.HasSuffix(p, " "):
		return "", "begins or ends with a character that has a meaning of its own"
	case strings.Contains(inner, "/") && p[0] != '/':
		return "**/" + p, "" // for rsync it is the end of any path
	}
	return p, ""
}

// limit reads --bwlimit: KiB a second, or with a unit.
func (r *reader) limit(text string) {
	digits := strings.TrimRight(text, "kKmMgGiBb")
	n, err := strconv.ParseUint(digits, 10, 40)
	unit := strings.ToLower(text[len(digits):])
	var factor uint64
	for i, letter := range []string{"k", "m", "g"} {
		switch base := strings.TrimPrefix(unit, letter); {
		case base == unit:
		case base == "" || base == "ib":
			factor = 1 << (10 * (i + 1))
		case base == "b":
			factor = []uint64{1e3, 1e6, 1e9}[i]
		}
	}
	if unit == "" {
		factor = 1 << 10
	}
	if unit == "b" {
		factor = 1
	}
	if err != nil || factor == 0 {
		r.fail("--bwlimit="+text, "is not a whole number with a unit", "write one such as 500 (KiB), 10m or 1g")
		return
	}
	r.BWLimit = n * factor
}

// AdviseSSH is how ssh is to be told its key.
const AdviseSSH = "write -e 'ssh -i KEY -o UserKnownHostsFile=FILE', with absolute paths, among the words for rsync: %RSYNC-ARGS% -e '…' %watch-dir%/ %destination-dir%/"

// shell reads the ssh of -e. lockstep starts ssh itself, so that its words are
// taken apart.
func (r *reader) shell(text string) {
	list, err := words.Split(text)
	if err != nil || len(list) == 0 || list[0] != "ssh" && list[0] != "/usr/bin/ssh" {
		r.fail("-e "+text, "names a program that is not ssh; lockstep starts ssh alone", AdviseSSH)
		return
	}
	r.SSH.Given = true
	for list = list[1:]; len(list) > 0; {
		w := list[0]
		list = list[1:]
		if slices.Contains([]string{"-a", "-x", "-T", "-q"}, w) {
			continue // so in any case
		}
		if len(w) < 2 || !slices.Contains([]string{"-i", "-p", "-o"}, w[:2]) {
			r.fail("-e ssh "+w, "is no word that lockstep's own ssh is given", "take it out; "+AdviseSSH)
			continue
		}
		letter, value := w[1], w[2:]
		if value == "" && len(list) > 0 {
			value, list = list[0], list[1:]
		}
		r.sshOption(letter, value)
	}
}

func (r *reader) sshOption(letter byte, value string) {
	name, rest, _ := strings.Cut(value, "=")
	switch name = strings.ToLower(name); {
	case letter == 'i':
		r.SSH.Identity = value
	case letter == 'p':
		r.SSH.Port = value
	case name == "identityfile":
		r.SSH.Identity = rest
	case name == "userknownhostsfile":
		r.SSH.KnownHosts = rest
	case name == "port":
		r.SSH.Port = rest
	case name == "stricthostkeychecking" && rest == "yes", name == "batchmode" && rest == "yes", name == "identitiesonly" && rest == "yes",
		name == "passwordauthentication" && rest == "no":
	default:
		r.fail("-e ssh -o "+value, "is not what lockstep's own ssh is told: a key that is named, and a host key that is known", "take it out")
	}
}

const adviseBackups = "write --backup --backup-dir=NAME: a directory in the target, that is kept"

// backups is a directory for what is replaced or deleted: a name in the target, which
// the jail of a copy has, and not a place beside it, which it has not.
func (r *reader) backups(name string) {
	name = strings.TrimRight(strings.TrimPrefix(name, "./"), "/")
	if err := field.ReadBackupDir(&config.Config{}, name); err != nil {
		r.badBackups = true
		r.fail("--backup-dir="+name, "is no name of a directory in the target itself, and nothing else can be written to", adviseBackups)
		return
	}
	r.BackupDir = name
}

// IsRsync takes rsync, rsync3, rsync-3.4.1.
func IsRsync(base string) bool {
	version, ok := strings.CutPrefix(base, "rsync")
	return ok && strings.Trim(version, "0123456789.-") == ""
}
