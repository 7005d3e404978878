package unit

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is a host on which lockstep was installed, made of this one in a mount
// namespace: nothing of it is seen outside.
type Host struct {
	Dir    string   // holds usr and etc, which lie over the host's; run, lib and srv, which take the place of its
	Groups []string // cgroup.procs files of the unit's groups
	V1     bool     // leave it v1's control groups; a host of today has v2 alone
	V2     string   // where this host has cgroup v2
}

// scratch is what holds parts of the unit's view of the host, where systemd has it
// as well; it is there on the host.
const scratch = "/run/systemd/unit"

// make is done in a mount namespace of its own.
func (h Host) make() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, name := range []string{"usr", "etc"} {
		data := fmt.Sprintf("lowerdir=/%s,upperdir=%s/%s,workdir=%s/work-%s", name, h.Dir, name, h.Dir, name)
		if err := unix.Mount("overlay", "/"+name, "overlay", 0, data); err != nil {
			return fmt.Errorf("overlay on /%s: %w", name, err)
		}
	}
	if !h.V1 {
		if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount /sys/fs/cgroup: %w", err)
		}
		if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("cgroup v2: %w", err)
		}
	}
	for name, to := range map[string]string{"run": "/run", "lib": "/var/lib", "srv": "/srv"} {
		if err := bind(filepath.Join(h.Dir, name), to); err != nil {
			return err
		}
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// mount is done in a mount namespace of the unit's.
func (p *Plan) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if p.Proc != "" {
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, p.Proc); err != nil {
			return fmt.Errorf("proc: %w", err)
		}
	}
	if p.Dev {
		if err := privateDev(filepath.Join(scratch, "dev")); err != nil {
			return fmt.Errorf("private /dev: %w", err)
		}
	}
	places, err := p.places()
	if err != nil {
		return err
	}
	if err := protect(places); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

// places makes a mount of each place, and returns them from the longest path to
// the shortest. Of two with one path the later one counts.
func (p *Plan) places() ([]Place, error) {
	noDir, noFile := filepath.Join(scratch, "no-dir"), filepath.Join(scratch, "no-file")
	if err := errors.Join(os.Mkdir(noDir, 0), os.WriteFile(noFile, nil, 0)); err != nil {
		return nil, err
	}
	byPath := map[string]Place{}
	for _, one := range p.Places {
		real, err := filepath.EvalSymlinks(one.Path)
		if errors.Is(err, os.ErrNotExist) && !one.Must {
			continue
		}
		if err != nil {
			return nil, err
		}
		one.Path = real
		byPath[real] = one
	}
	var all []Place
	for _, one := range byPath {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Place) int { return cmp.Or(len(a.Path)-len(b.Path), strings.Compare(a.Path, b.Path)) })
	for _, one := range all {
		from, err := one.from(noDir, noFile)
		if err != nil {
			return nil, err
		}
		if from == "" {
			continue
		}
		if err := bind(from, one.Path); err != nil {
			return nil, err
		}
	}
	slices.Reverse(all)
	return all, nil
}

// from is what is bound to a place, so that there is a mount; "": there is one.
func (one Place) from(noDir, noFile string) (string, error) {
	switch one.Mode {
	case Hidden:
		info, err := os.Stat(one.Path)
		if err == nil && info.IsDir() {
			return noDir, nil
		}
		return noFile, err
	case Own:
		dir, err := os.MkdirTemp(scratch, "own-")
		return dir, errors.Join(err, os.Chmod(dir, 0o777|os.ModeSticky))
	}
	points, err := mountPoints()
	if slices.Contains(points, one.Path) {
		return "", err
	}
	return one.Path, err
}

// protect makes each mount read-only that is below, or at, a place that is.
func protect(places []Place) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for _, point := range points {
		i := slices.IndexFunc(places, func(one Place) bool {
			return one.Path == "/" || one.Path == point || strings.HasPrefix(point, one.Path+"/")
		})
		if i < 0 || places[i].Mode >= Writable {
			continue
		}
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		err := unix.MountSetattr(unix.AT_FDCWD, point, 0, &attr)
		// One that lies below another, which hides it, is not a mount point any more.
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%s read-only: %w", point, err)
		}
	}
	return nil
}

// mountPoints are those of this thread's mount namespace.
func mountPoints() ([]string, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		path := strings.Fields(line)[4]
		for _, c := range []string{" ", "\t", "\n", `\`} {
			path = strings.ReplaceAll(path, fmt.Sprintf(`\%03o`, c[0]), c)
		}
		points = append(points, path)
	}
	return points, nil
}

// privateDev puts a /dev with the pseudo devices of PrivateDevices= over the
// host's.
func privateDev(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755"); err != nil {
		return err
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		path := filepath.Join(dir, name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm", "mqueue", "hugepages"} {
		from := filepath.Join("/dev", name)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o755), bind(from, filepath.Join(dir, name))); err != nil {
			return err
		}
	}
	return unix.Mount(dir, "/dev", "", unix.MS_MOVE, "")
}
