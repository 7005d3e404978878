package churn

import (
	"slices"
	"strings"
)

// Canary is the name of a program that names try to have executed.
const Canary = "lockstep-canary"

// commands are names that execute the canary wherever a name becomes a part of a
// command line, of a shell's or of rsync's.
func commands() []string {
	return []string{
		"$(" + Canary + ")", "`" + Canary + "`", ";" + Canary, ";" + Canary + ";", "|" + Canary, "&" + Canary + "&", "&& " + Canary, "x\n" + Canary + "\n", "x;" + Canary + " #",
		"-e " + Canary, "--rsh=" + Canary, "--rsync-path=" + Canary, "--early-input=" + Canary, "host:$(" + Canary + ")", "<(" + Canary + ")", "'$(" + Canary + ")'",
		"\"`" + Canary + "`\"", "';" + Canary + ";'", "\";" + Canary + ";\"", "%label%$(" + Canary + ")", "-exec " + Canary + " ;",
	}
}

// said are names that something between a kernel and a disk could take for another
// thing than a name.
func said() []string {
	return []string{
		"-e sh", "--rsh=x", "$(id)", "`id`", ";reboot", "host:x", "a::b", "rsync:||x", "rsync:", " leading", "trailing ", "  ", "\t", ".x", "..x", "...", "x.", "..", "-", "--", "-rf",
		"#x", ";x", "!", "- *", "+ x", ". x", ": x", "- x", "P x", "R x", "H x", "S x", "merge x", "dir-merge x", ".rsync-filter", ".cvsignore", ".gitignore",
		"\n", "x\ny", "\r", "x\r\ny", "\x1b[31m", "\x1b]0;t\a", "\x9b31m", "\u202e", "\u2066x\u2069", "\u200b", "\ufeff", "\xff", "\xc3\x28", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "é", "e\u0301",
		"back\\slash", "x\\*", "[!a]", "[a-z]", "**", "***", "?", "\\", "\\#012", "%s%n", "%00", "%destination-dir%", "~", "~root", "$HOME", "{a,b}", "lost+found", ".~tmp~", "con", "aux.txt",
	}
}

// Names makes n names out of a seed, no two the same: all that Hostile's names are
// made of, alone; each byte that can be in one, alone and between others; each order of
// what patterns are made of; names of 255 bytes; and chance. Of fewer names than there
// are of these, the seed chooses.
func Names(seed uint64, n int) []string {
	r := Rand(seed, 310)
	out := slices.Concat(commands(), said(), hostileParts(), orders("*?[]\\"))
	for c := 1; c < 256; c++ {
		if c != '/' {
			one := string([]byte{byte(c)})
			out = append(out, one, "a"+one+"z", one+"z", "a"+one, strings.Repeat(one, 255))
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	had := map[string]bool{"": true, ".": true, "..": true}
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], "/", "|")
	}
	fresh := func(name string) bool {
		is := !had[name]
		had[name] = true
		return is
	}
	out = slices.DeleteFunc(out, func(name string) bool { return !fresh(name) })
	for len(out) < n {
		if name := HostileName(r); fresh(name) {
			out = append(out, name)
		}
	}
	return out[:n]
}

// orders are all orders of one or more of some characters.
func orders(of string) []string {
	var out []string
	for i, c := range of {
		rest := of[:i] + of[i+len(string(c)):]
		out = append(out, string(c))
		for _, more := range orders(rest) {
			out = append(out, string(c)+more)
		}
	}
	return out
}
