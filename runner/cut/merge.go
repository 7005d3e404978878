package cut

import (
	"lockstep/ipc"
	"lockstep/rsync"
)

// Merge makes one end of those of the parts: the worst says how it went, and
// what it printed comes last, so that it is kept first.
func Merge(ends []ipc.RunExited) ipc.RunExited {
	worst := 0
	for i := range ends {
		if badness(ends[i]) > badness(ends[worst]) {
			worst = i
		}
	}
	out := ends[worst]
	out.CPU, out.MaxRSS, out.Tail = 0, 0, nil
	for i, e := range ends {
		out.CPU += e.CPU
		out.MaxRSS += e.MaxRSS
		if i != worst {
			out.Tail = lines(out.Tail, e.Tail)
		}
	}
	out.Tail = lines(out.Tail, ends[worst].Tail)
	out.Tail = out.Tail[max(0, len(out.Tail)-ipc.MaxTail):]
	return out
}

// lines adds what one command printed, on lines of its own.
func lines(all, more []byte) []byte {
	if n := len(all); n > 0 && len(more) > 0 && all[n-1] != '\n' {
		all = append(all, '\n')
	}
	return append(all, more...)
}

// vanished is rsync's exit code when files went while it ran.
const vanished = 24

// badness puts ends in an order: what leaves more in doubt is worse.
func badness(x ipc.RunExited) int {
	m := rsync.ExitMeaning(int(x.Code))
	switch {
	case x.End == ipc.EndRefused:
		return 6
	case x.End != ipc.EndExited:
		return 7
	case x.Code == 0 && len(x.Tail) == 0:
		return 0
	case x.Code == 0:
		return 1 // a warning
	case x.Code == vanished:
		return 2
	case m.Class == rsync.Partial:
		return 3
	case m.Debris:
		return 5
	}
	return 4
}
