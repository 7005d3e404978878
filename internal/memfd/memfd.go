// Package memfd makes sealed memory files: data and program images that nobody
// can change any more, whoever holds a descriptor.
//
// Trust: linked into every program that hands one over. Its input is data the
// caller already trusts; it looks at none of it.
//
// Invariant: a file that is returned has all four seals (memfd_create(2)) and
// is close-on-exec; on an error nothing stays open.
package memfd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// seals forbid every change of the content, and of the seals themselves.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Sealed returns a sealed memory file that holds data. Its content is not
// executable where the kernel can say so (Linux 6.3). name is for /proc only.
func Sealed(name string, data []byte) (*os.File, error) {
	file, err := create(name, unix.MFD_NOEXEC_SEAL)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(data); err != nil {
		return nil, errors.Join(fmt.Errorf("memfd %s: write: %w", name, err), file.Close())
	}
	return seal(name, file)
}

// Image returns a sealed, executable copy of the program that src is open on,
// from its beginning, whatever src's position. A package upgrade, or whoever
// can write the file src was opened from, cannot change it any more.
func Image(name string, src *os.File) (*os.File, error) {
	info, err := src.Stat()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, fmt.Errorf("image %s: %s is not a regular file with content", name, src.Name())
	}
	file, err := create(name, unix.MFD_EXEC)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, io.NewSectionReader(src, 0, info.Size()))
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%d of %d bytes: the file was changed while it was read", n, info.Size())
	}
	if err == nil {
		// Readable and executable by any uid (the worker's is not known here),
		// writable by none.
		err = file.Chmod(0o555)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: copy: %w", name, err), file.Close())
	}
	return seal(name, file)
}

// create makes an empty memory file. Kernels before 6.3 know neither MFD_EXEC
// nor MFD_NOEXEC_SEAL and answer EINVAL; their memory files are executable.
func create(name string, exec int) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|exec)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal forbids all change, checks that it took effect, and closes on error.
func seal(name string, file *os.File) (*os.File, error) {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(fmt.Errorf("memfd %s: F_ADD_SEALS: %w", name, err), file.Close())
	}
	have, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err == nil && have&seals != seals {
		err = fmt.Errorf("seals are %#x, want %#x", have, seals)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memfd %s: F_GET_SEALS: %w", name, err), file.Close())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("memfd %s: %w", name, err), file.Close())
	}
	return file, nil
}
