// Package disk gives each scenario a file system of its own: ext4 in a sparse
// file, made anew.
//
// On one that is used again, what came before changes what is measured: for
// five minutes after an inode was freed, ext4 passes it over when it makes
// another one (recently_deleted in fs/ext4/ialloc.c), and looks at each such
// inode again for every file that it makes. After 20,000 removals, one rsync of
// 20,000 files takes six times its time.
//
// Trust: linked into the benchmark only; runs as root.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// size is of the sparse image, inodes of its file system: enough for a large
// tree and its copy.
const (
	size   = 16 << 30
	inodes = 2_000_000
)

// Disk is a mounted file system.
type Disk struct {
	Dir   string // where it is mounted
	image string
}

// Make makes a file system in an image beside dir and mounts it at dir, which
// it makes too.
func Make(ctx context.Context, dir string) (_ *Disk, err error) {
	d := &Disk{Dir: dir, image: dir + ".ext4"}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(d.image), os.RemoveAll(dir))
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, size); err != nil {
		return nil, err
	}
	// Nothing is left to be done in the background while something is measured.
	if err := command(ctx, "mkfs.ext4", "-q", "-F", "-N", fmt.Sprint(inodes), "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image); err != nil {
		return nil, err
	}
	if err := command(ctx, "mount", "-o", "loop", d.image, dir); err != nil {
		return nil, err
	}
	return d, nil
}

// Remove unmounts it and removes it. What still holds it has a few seconds to
// let go: a daemon that was ended by a signal closes its files a little later.
func (d *Disk) Remove() error {
	var err error
	for range 50 {
		if err = unix.Unmount(d.Dir, unix.UMOUNT_NOFOLLOW); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", d.Dir, err)
	}
	return errors.Join(os.Remove(d.Dir), os.Remove(d.image))
}

func command(ctx context.Context, words ...string) error {
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", words[0], filepath.Base(words[len(words)-1]), err, bytes.TrimSpace(out))
	}
	return nil
}
