package deliver

import (
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// search looks for the other names of inodes with several links. The kernel
// tells of a new name but not of the old ones, so that the first time a file
// gets a second name every directory is listed once, for all inodes in
// question together.
type search struct {
	task   *Task
	want   map[uint64]uint32 // inode → links
	dirs   []string
	flying int
	broken bool // a directory was refused: what was not found may be there
}

// maxLists is how many requests of a search are under way at once.
const maxLists = 4

// find begins a search for a task, which is planned again when it has ended.
func (k *Task) find(inodes []uint64) {
	want := make(map[uint64]uint32, len(inodes))
	for _, ino := range inodes {
		want[ino] = k.plan.Nlink(ino)
	}
	s := &search{task: k, want: want, dirs: k.t.host.Dirs()}
	s.ask()
}

func (s *search) ask() {
	h := s.task.t.host
	for len(s.dirs) > 0 && s.flying < maxLists {
		n := FitRels(s.dirs)
		rels := s.dirs[:n:n]
		s.dirs = s.dirs[n:]
		s.flying++
		h.Ask(&ipc.Watch{Root: h.ID(), Rels: rels}, nil, s.listed(rels))
	}
	if s.flying == 0 && len(s.dirs) == 0 {
		s.end()
	}
}

func (s *search) listed(rels []string) Flight {
	return func(m ipc.Message, final bool) error {
		a, err := Answer[ipc.WatchAnswer](m)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			d := &a.Dirs[i]
			if int(d.Index) >= len(rels) {
				return fmt.Errorf("a listing with index %d of %d", d.Index, len(rels))
			}
			switch unix.Errno(d.Status) {
			case 0, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV: // there, gone, or none of ours
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
				s.task.t.host.Links().Set(rel, en.Ino, en.Nlink)
				if en.Kind != ipc.KindFile {
					s.task.t.host.Links().Share(rel, en.Ino)
				}
			}
		}
		if final {
			s.flying--
			s.ask()
		}
		return nil
	}
}

func (s *search) end() {
	if s.broken {
		s.task.requeue()
		return
	}
	for ino, nlink := range s.want {
		s.task.t.host.Links().Searched(ino, nlink)
	}
	s.task.Replan()
}
