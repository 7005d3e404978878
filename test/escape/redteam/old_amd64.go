package redteam

import "golang.org/x/sys/unix"

// oldFiles are calls that amd64 has besides newer ones.
func oldFiles() []Act {
	return []Act{
		{Name: "open a secret file by open", Check: 5, Call: "open", Do: call(unix.SYS_OPEN, shadow, unix.O_RDONLY, 0)},
		{Name: "make a file by creat", Check: 5, Call: "creat", Do: call(unix.SYS_CREAT, in("made"), 0o600)},
		{Name: "look at a secret file by stat", Check: 5, Call: "stat", Do: call(unix.SYS_STAT, shadow, zeros(256))},
		{Name: "fork", Check: 7, Call: "fork", Do: forkedBy(unix.SYS_FORK)},
		{Name: "vfork", Check: 7, Call: "vfork", Do: vforked},
		{Name: "reach the hardware's ports", Check: 13, Call: "iopl", Do: call(unix.SYS_IOPL, 3), Optional: true},
		{Name: "reach one of the hardware's ports", Check: 13, Call: "ioperm", Do: call(unix.SYS_IOPERM, 0x80, 1, 1), Optional: true},
		{Name: "make a segment", Check: 12, Call: "modify_ldt", Do: call(unix.SYS_MODIFY_LDT, 1, data(uint32(0), uint32(0), uint32(0xfffff), uint32(0x51)), 16), Optional: true},
	}
}
