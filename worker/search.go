package worker

import (
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/worker/deliver"
	"lockstep/worker/tree"
)

// search looks for the other names of inodes with several links. The kernel
// tells of a new name but not of the old ones, so that the first time a file
// gets a second name every directory is listed once, for all inodes in
// question together.
type search struct {
	r      *root
	task   *deliver.Task
	want   map[uint64]uint32 // inode → links
	dirs   []string
	flying int
	broken bool // a directory was refused: what was not found may be there
}

// Find begins a search for a task, which is planned again when it has ended.
func (r *root) Find(k *deliver.Task, inodes []uint64) {
	want := make(map[uint64]uint32, len(inodes))
	for _, ino := range inodes {
		want[ino] = k.Nlink(ino)
	}
	s := &search{r: r, task: k, want: want, dirs: r.dirs()}
	s.ask()
}

func (s *search) ask() {
	for len(s.dirs) > 0 && s.flying < maxWalks {
		n := deliver.FitRels(s.dirs)
		rels := s.dirs[:n:n]
		s.dirs = s.dirs[n:]
		s.flying++
		s.r.e.ask(&ipc.Watch{Root: s.r.id, Rels: rels}, nil, s.listed(rels))
	}
	if s.flying == 0 && len(s.dirs) == 0 {
		s.end()
	}
}

func (s *search) listed(rels []string) deliver.Flight {
	return func(h ipc.Header, payload []byte) error {
		a, err := wire.Decode[ipc.WatchAnswer](payload)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			d := &a.Dirs[i]
			if int(d.Index) >= len(rels) {
				return fmt.Errorf("a listing with index %d of %d", d.Index, len(rels))
			}
			switch unix.Errno(d.Status) {
			case 0, unix.ENOENT, unix.ENOTDIR, unix.ELOOP: // there, or gone
			default:
				s.broken = true
			}
			for _, en := range d.Entries {
				if en.Kind == ipc.KindDir || en.Nlink < 2 {
					continue
				}
				rel := en.Name
				if dir := rels[d.Index]; dir != "" {
					rel = dir + "/" + en.Name
				}
				s.r.links.Set(rel, en.Ino, en.Nlink)
				if en.Kind != ipc.KindFile {
					s.r.links.Share(rel, en.Ino)
				}
			}
		}
		if h.Final {
			s.flying--
			s.ask()
		}
		return nil
	}
}

func (s *search) end() {
	if s.broken {
		s.task.Requeue()
		return
	}
	for ino, nlink := range s.want {
		s.r.links.Searched(ino, nlink)
	}
	s.task.Replan()
}

// dirs lists every directory of the tree as it is now.
func (r *root) dirs() []string {
	t := r.track.Tree()
	out := make([]string, 0, t.Len())
	t.Walk(t.Root(), func(id tree.ID) {
		if rel, ok := t.Path(id); ok && len(rel) <= rsync.MaxRel {
			out = append(out, rel)
		}
	})
	return out
}
