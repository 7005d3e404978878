package cgroup

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/containerd/cgroups/v3/cgroup2"
)

// ErrNoFilter: the group has no device filter of its own.
var ErrNoFilter = errors.New("no device filter")

// InspectDevices compares the device filter of the leaf at dir with the one that
// these limits make. It returns ErrNoFilter where none can be seen.
func InspectDevices(dir string, l Limits) error {
	list, err := readSmall(filepath.Join(dir, "devices.list"))
	if err == nil {
		return compareList(list, l)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(dir); err != nil {
		return err
	}
	if unified, err := has(filepath.Join(dir, controllersFile)); err != nil {
		return err
	} else if !unified {
		return ErrNoFilter // of version 1, with other controllers
	}
	return inspectFilter(dir, l)
}

// compareList compares what version 1 says with the rules: it lists what is
// allowed.
func compareList(list string, l Limits) error {
	var want []string
	for _, r := range rules(l) {
		if r.Allow {
			want = append(want, fmt.Sprintf("%s %s:%s %s", r.Type, star(*r.Major), star(*r.Minor), r.Access))
		}
	}
	have := strings.FieldsFunc(list, func(r rune) bool { return r == '\n' })
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		return fmt.Errorf("devices.list allows %q, declared: %q", have, want)
	}
	return nil
}

func star(n int64) string {
	if n < 0 {
		return "*"
	}
	return strconv.FormatInt(n, 10)
}

// inspectFilter compares the program that is attached to a group of version 2, by
// the tag that the kernel makes of its instructions.
func inspectFilter(dir string, l Limits) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	found, err := link.QueryPrograms(link.QueryOptions{Target: int(f.Fd()), Attach: ebpf.AttachCGroupDevice})
	runtime.KeepAlive(f)
	switch {
	case errors.Is(err, ebpf.ErrNotSupported), err == nil && len(found.Programs) == 0:
		return ErrNoFilter
	case err != nil:
		return fmt.Errorf("the programs of the group: %w", err)
	}
	want, err := tagsOf(l)
	if err != nil {
		return err
	}
	for _, p := range found.Programs {
		have, err := tag(p.ID)
		if err != nil {
			return err
		}
		if !slices.Contains(want, have) {
			return fmt.Errorf("a device filter with the tag %s is attached, declared: %s", have, strings.Join(want, " or "))
		}
	}
	return nil
}

func tag(id ebpf.ProgramID) (_ string, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "", fmt.Errorf("device filter: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	info, err := p.Info()
	if err != nil {
		return "", fmt.Errorf("device filter: %w", err)
	}
	return info.Tag, nil
}

// tagsOf is the tag of the filter that the rules make: the first 8 bytes of SHA-256
// of the instructions, or, before Linux 6.18, of SHA-1. (None of them names a map.)
func tagsOf(l Limits) ([]string, error) {
	program, _, err := cgroup2.DeviceFilter(rules(l))
	if err != nil {
		return nil, fmt.Errorf("device filter: %w", err)
	}
	var raw bytes.Buffer
	// The library takes no NativeEndian; that of both architectures is little.
	if err := program.Marshal(&raw, binary.LittleEndian); err != nil {
		return nil, fmt.Errorf("device filter: %w", err)
	}
	now, before := sha256.Sum256(raw.Bytes()), sha1.Sum(raw.Bytes())
	return []string{hex.EncodeToString(now[:8]), hex.EncodeToString(before[:8])}, nil
}

// InspectLimits says what of the limits does not hold in any of a leaf's
// directories. What Missing names is passed as absent.
func InspectLimits(dirs []string, l Limits, absent func(feature string) bool) []string {
	var wrong []string
	page := int64(os.Getpagesize())
	for _, one := range []struct {
		controller string
		want       int64
		files      []string
	}{
		{memory, l.Memory / page * page, []string{"memory.limit_in_bytes", "memory.max"}},
		{pids, l.Pids, []string{"pids.max"}},
	} {
		if one.want == 0 || absent("cgroup-"+one.controller) {
			continue
		}
		var seen []string
		for _, dir := range dirs {
			for _, name := range one.files {
				if text, err := readSmall(filepath.Join(dir, name)); err == nil {
					seen = append(seen, strings.TrimSpace(text))
				}
			}
		}
		if !slices.Contains(seen, decimal(one.want)) {
			wrong = append(wrong, fmt.Sprintf("the limit of %s is %q, declared: %d", one.controller, seen, one.want))
		}
	}
	return wrong
}

// readSmall reads a control file.
func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, 1<<16))
	return string(data), errors.Join(err, f.Close())
}
