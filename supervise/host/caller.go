package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Caller is who started lockstep.
type Caller struct{ UID, GID int }

// Root says that it is root.
func (c Caller) Root() bool { return c.UID == 0 }

// WhoCalls reads it, and refuses rights that are lent: of a setuid or setgid
// program, of one with file capabilities, of ambient ones. Who has them is
// neither root, who confines by them, nor a user, who has none to lose.
func WhoCalls() (Caller, error) {
	ruid, euid, suid := unix.Getresuid()
	rgid, egid, sgid := unix.Getresgid()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return Caller{}, fmt.Errorf("capabilities cannot be read: %w", err)
	}
	return whoCalls([3]int{ruid, euid, suid}, [3]int{rgid, egid, sgid}, sets)
}

func whoCalls(uids, gids [3]int, sets [2]unix.CapUserData) (Caller, error) {
	c := Caller{UID: uids[0], GID: gids[0]}
	if uids != [3]int{c.UID, c.UID, c.UID} || gids != [3]int{c.GID, c.GID, c.GID} {
		return c, fmt.Errorf("lockstep was started with another's rights (uids %v, gids %v), as by a setuid or setgid program: "+
			"take these bits off the program, and start it as yourself or by sudo", uids, gids)
	}
	held := uint64(sets[1].Permitted|sets[1].Effective)<<32 | uint64(sets[0].Permitted|sets[0].Effective)
	if !c.Root() && held != 0 {
		return c, fmt.Errorf("lockstep was started with capabilities (%#x) and is not root, as by file or ambient capabilities: "+
			"take them off (setcap -r), and start it without, or by sudo", held)
	}
	return c, nil
}

// Instances is how many event queues of inotify a user may have; 0: unknown.
func Instances() uint64 { return number("/proc/sys/fs/inotify/max_user_instances") }

// owners are those of whom programs may be. As root: root, or who owns this
// program (in a checkout), who rules it anyway. As a user: root, or that user;
// another's could be exchanged by that other one at any time.
func (c Caller) owners(program uint32) []uint32 {
	if c.Root() {
		return []uint32{0, program}
	}
	return []uint32{0, uint32(c.UID)}
}
