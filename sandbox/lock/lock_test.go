package lock

import (
	"bytes"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseFDs(t *testing.T) {
	for list, want := range map[string]map[string]int{
		"a=3":         {"a": 3},
		"a=3,b=4":     {"a": 3, "b": 4},
		"root1=65535": {"root1": 65535},
		"":            nil,
		"a":           nil,
		"=3":          nil,
		"a=":          nil,
		"a=2":         nil,
		"a=0":         nil,
		"a=-3":        nil,
		"a=+3":        nil,
		"a=03":        nil,
		"a=3,":        nil,
		"a=3,a=4":     nil,
		"a=3,b=3":     nil,
		"a=65536":     nil,
		"a=3=4":       nil,
		"a=3 ":        nil,
	} {
		got, err := parseFDs(list)
		if (err == nil) != (want != nil) || len(got) != len(want) {
			t.Errorf("%q: %v, %v; want %v", list, got, err, want)
			continue
		}
		for name, fd := range want {
			if got[name] != fd {
				t.Errorf("%q: %s is %d, want %d", list, name, got[name], fd)
			}
		}
	}
}

func TestDonated(t *testing.T) {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil { // not close-on-exec
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	t.Setenv(fdsVar, "r="+strconv.Itoa(p[0])+",w="+strconv.Itoa(p[1]))
	fds, err := Donated()
	if err != nil {
		t.Fatal(err)
	}
	if fds["r"] != p[0] || fds["w"] != p[1] || len(fds) != 2 {
		t.Errorf("got %v", fds)
	}
	for _, fd := range p {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags != unix.FD_CLOEXEC {
			t.Errorf("descriptor %d has flags %#x, %v", fd, flags, err)
		}
	}
	if _, ok := os.LookupEnv(fdsVar); ok {
		t.Error("the variable is still there")
	}
	if _, err := Donated(); err == nil {
		t.Error("a second Donated found something")
	}
	if err := unix.Close(p[0]); err != nil {
		t.Fatal(err)
	}
	t.Setenv(fdsVar, "r="+strconv.Itoa(p[0]))
	if _, err := Donated(); err == nil {
		t.Error("a closed descriptor passed as donated")
	}
}

// memfd makes a memfd with a content and seals.
func memfd(t *testing.T, data []byte, seal int) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, data); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seal); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestRead(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	fd := memfd(t, want, seals)
	defer unix.Close(fd)
	for range 2 { // whatever the position: it stands at the end
		got, err := Read(fd)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
	}
	for _, missing := range []int{unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE} {
		fd := memfd(t, want, seals&^missing)
		if _, err := Read(fd); err == nil {
			t.Errorf("a memfd without seal %#x was read", missing)
		}
		unix.Close(fd)
	}
	empty := memfd(t, nil, seals)
	defer unix.Close(empty)
	if _, err := Read(empty); err == nil {
		t.Error("an empty memfd was read")
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := Read(int(file.Fd())); err == nil {
		t.Error("/dev/null was read as a memfd")
	}
	if _, err := Read(-1); err == nil {
		t.Error("descriptor -1 was read")
	}
}

func TestFile(t *testing.T) {
	if err := Poller(); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	file, err := File(pair[0], "helper")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("a read without data ended by %v, want a timeout of the poller", err)
	}
	regular, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(regular)
	if _, err := File(regular, "directory"); err == nil {
		t.Error("a directory passed as registered with the poller")
	}
	if _, err := File(-1, "none"); err == nil {
		t.Error("descriptor -1 was registered")
	}
}

func TestParseFilter(t *testing.T) {
	got, err := parseFilter([]byte{0x15, 0, 1, 2, 0x78, 0x56, 0x34, 0x12})
	if err != nil {
		t.Fatal(err)
	}
	if want := (unix.SockFilter{Code: 0x15, Jt: 1, Jf: 2, K: 0x12345678}); len(got) != 1 || got[0] != want {
		t.Errorf("parsed %+v, want %+v", got, want)
	}
	for _, size := range []int{0, 1, 7, 9, 8*4096 + 1, 8 * 4097} {
		if _, err := parseFilter(make([]byte, size)); err == nil {
			t.Errorf("%d bytes passed as a filter", size)
		}
	}
}
