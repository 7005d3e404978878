//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
)

// A handler that is told of whole directories by one call keeps a target in step,
// whatever fails meanwhile.
func TestHandlerOfWholeDirectories(t *testing.T) {
	beside(t)
	m := newMirror(t)
	text := `#!/bin/sh
case $((CLSYNC_ITERATION % 5)) in 3) exit 77;; esac
if [ "$1" = initialsync ]; then
	path=${3#SRC}
	[ -d "$3" ] && [ ! -L "$3" ] || exit 0
	[ ! -L "DST$path" ] && [ -d "DST$path" ] || rm -rf "DST$path"
	mkdir -p "DST$path" || exit 1
	exec rsync -a --delete "$3/" "DST$path/"
fi
while IFS= read -r path; do
	[ -n "$path" ] || continue
	mask=0
` + bring + `done <"$3"
`
	m.flags = append(handler(t, "shell", strings.NewReplacer("DST", m.dst, "SRC", m.src).Replace(text)), "--handler-recursive", "--handler-plain-lists")
	m.tells()
	m.stop()
}

// The same of a tree that moves into the source.
func TestHandlerIsToldOfWholeDirectories(t *testing.T) {
	beside(t)
	m := untargeted(t, "shell", "#!/bin/sh\necho \"called $1 $3.\"\n[ \"$1\" = initialsync ] || cat \"$3\"\n")
	m.flags = append(m.flags, "--handler-recursive")
	write(t, m.src+"/f", "x")
	m.start("--delay", "50ms")
	m.await(0, "the whole source", limit, says("called initialsync "+m.src+"."))
	m.await(0, "readiness", limit, m.isReady)
	mkdir(t, m.src+" beside/deep")
	write(t, m.src+" beside/deep/f", "x")
	if err := os.Rename(m.src+" beside", m.src+"/new"); err != nil {
		t.Fatal(err)
	}
	m.await(0, "the new directory", limit, says("called initialsync "+m.src+"/new."))
	write(t, m.src+"/after", "x")
	m.await(0, "what came after", limit, says(" after"))
	m.stop()
}

// A handler that asks for changes of owners is told of a file once, and then when its
// owner is another.
func TestHandlerChanges(t *testing.T) {
	beside(t)
	m := untargeted(t, "simple", "#!/bin/sh\necho \"told $4.\"\n")
	m.flags = append(m.flags, "--handler-changes", "uid", "--handler-changes", "gid")
	m.start("--delay", "50ms")
	m.await(0, "readiness", limit, m.isReady)
	write(t, m.src+"/f", "1")
	m.await(0, "what came", limit, says("told "+m.src+"/f."))
	write(t, m.src+"/g", "1")
	m.await(0, "what came after", limit, says("told "+m.src+"/g."))
	count := func() int { return strings.Count(m.output(), "told "+m.src+"/f.") }
	before := count()
	write(t, m.src+"/f", "22")
	write(t, m.src+"/h", "1")
	m.await(0, "what came later", limit, says("told "+m.src+"/h."))
	if now := count(); now != before {
		t.Errorf("told %d times, was %d:\n%s", now, before, m.output())
	}
	place := m.mark()
	if err := os.Chown(m.src+"/f", 12345, -1); err != nil {
		t.Fatal(err)
	}
	m.await(place, "another owner", limit, says("told "+m.src+"/f."))
	m.stop()
}
