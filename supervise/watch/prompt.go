package watch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"lockstep/internal/escape"
	"lockstep/ipc/status"
)

const promptHelp = `list            the directories of the tree, as they are known
write FILE      the same, to a file
verify          compare the tree with the file system, both ways, and tell the numbers
rebuild         forget the tree, and begin again
roots           what is watched
add DIR         watch a directory as well
remove DIR      watch it no longer
trace           begin, or end, to tell each event and each walk
quit            end
`

// prompt obeys what a person types, until the end.
func (b *board) prompt(in io.Reader) {
	<-b.print.Gate
	lines := bufio.NewScanner(in)
	b.say("lockstep> ")
	for lines.Scan() {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if word == "quit" || word == "q" {
			break
		}
		if err := b.obey(word, strings.TrimSpace(rest)); err != nil {
			b.say(escape.Name(err.Error()) + "\n")
		}
		b.say("lockstep> ")
	}
	b.call(func() error { b.stop(); return nil })
}

func (b *board) say(text string) { b.print.Send([]byte(text), nil) }

// call has step call f, and waits for its end.
func (b *board) call(f func() error) error {
	answer := make(chan error, 1)
	b.calls <- func() error { answer <- f(); return nil }
	return <-answer
}

// each is every root that is watched at the moment.
func (b *board) each(f func(*root) error) error {
	var roots []*root
	_ = b.call(func() error { roots = append(roots, b.roots...); return nil }) // it returns none
	var err error
	for _, r := range roots {
		err = errors.Join(err, f(r))
	}
	return err
}

// obey does one command.
func (b *board) obey(word, rest string) error {
	switch word {
	case "":
		return nil
	case "list", "l":
		return b.each(func(r *root) error { return b.show(r) })
	case "write", "w":
		return b.writeFile(rest)
	case "verify", "v":
		return b.each((*root).verifyNow)
	case "rebuild":
		return b.each((*root).rebuildNow)
	case "trace", "t":
		return b.each(func(r *root) error {
			r.do(func() error { return r.order(status.CommandTrace) })
			return nil
		})
	case "roots":
		return b.each(func(r *root) error { b.say(escape.Name(r.path) + "\n"); return nil })
	case "add":
		return b.call(func() error { return b.more(rest) })
	case "remove":
		return b.less(rest)
	case "help", "h", "?":
		b.say(promptHelp)
		return nil
	}
	return fmt.Errorf("%s is no command; help lists them", word)
}

// show writes a root's list for a person.
func (b *board) show(r *root) error {
	var text bytes.Buffer
	err := r.write(&text)
	b.say(text.String())
	return err
}

// writeFile writes all lists to a file, which must be a new one or a plain one.
func (b *board) writeFile(path string) error {
	if path == "" {
		return errors.New("write: name a file")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	to := bufio.NewWriter(f)
	err = b.each(func(r *root) error { return r.write(to) })
	return errors.Join(err, to.Flush(), f.Close())
}

// more watches a directory as well.
func (b *board) more(dir string) error {
	if dir == "" {
		return errors.New("add: name a directory that is not watched yet")
	}
	var others []string
	for _, r := range b.roots {
		others = append(others, r.path)
	}
	path, err := b.opt.resolve(dir, others)
	if err != nil {
		return fmt.Errorf("add: %w", err)
	}
	b.print.Expect()
	return b.add(path)
}

// less watches a directory no longer.
func (b *board) less(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	found := false
	err = b.each(func(r *root) error {
		if r.path == path || r.path == dir {
			found = true
			r.shutDown()
		}
		return nil
	})
	if !found {
		return errors.Join(err, fmt.Errorf("remove: %s is not watched; roots lists what is", dir))
	}
	return err
}
