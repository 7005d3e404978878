package host

/*
#cgo CFLAGS: -std=gnu11 -Wall -Wextra -Werror -I${SRCDIR}/../../include
#cgo LDFLAGS: -Wl,--export-dynamic -ldl
#include "module.h"
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"strconv"
	"strings"
	"unsafe"

	"lockstep/plugin/frame"
)

// Host is a process that a module is loaded into. Its methods must all be called
// by one thread.
type Host struct {
	forks, channel, object int
	path                   string
	c                      *C.struct_host
}

// New makes the host of the module that path, open as object, leads to. At most
// forks of its children run at a time; none gets the object, or the channel to
// the runner.
func New(path string, object, channel, forks int) *Host {
	return &Host{forks: forks, channel: channel, object: object, path: path}
}

// Load loads the module for a sync.
func (h *Host) Load(in frame.Init) *frame.Fault {
	h.c = C.host_new(C.int(h.forks), C.int(h.channel), C.int(h.object), context(in))
	if h.c == nil {
		return &frame.Fault{Why: frame.NotLoadable, Text: "out of memory"}
	}
	path := C.CString(h.path)
	defer C.free(unsafe.Pointer(path))
	rsync := C.int(0)
	if in.Mode == frame.ModeRsync {
		rsync = 1
	}
	var text *C.char
	switch C.host_load(h.c, path, rsync, &text) {
	case C.LOADED:
		return nil
	case C.NO_FUNCTION:
		return &frame.Fault{Why: frame.NoFunction, Text: C.GoString(text)}
	}
	return &frame.Fault{Why: frame.NotLoadable, Text: C.GoString(text)}
}

// context is what the module may see of its sync, for as long as the process
// lives.
func context(in frame.Init) C.ctx_t {
	ctx := C.ctx_t{
		label: C.CString(in.Label), watchdir: C.CString(bare(in.WatchDir)), destdir: C.CString(bare(in.DestDir)),
		watchdirwslash: C.CString(slashed(in.WatchDir)), destdirwslash: C.CString(slashed(in.DestDir)),
	}
	flags := [C.CLSYNC_FLAGS]bool{
		C.CLSYNC_FLAG_DEBUG:              in.Debug,
		C.CLSYNC_FLAG_THREADING:          in.Threading,
		C.CLSYNC_FLAG_RSYNCPREFERINCLUDE: in.PreferIncludes,
	}
	for i, on := range flags {
		if on {
			ctx.flags[i] = 1
		}
	}
	return ctx
}

// bare is a directory without a slash at its end, but for /; "" is no directory.
func bare(dir string) string {
	if dir == "" {
		return ""
	}
	return "/" + strings.Trim(dir, "/")
}

// slashed is it with one.
func slashed(dir string) string {
	if dir = bare(dir); dir == "" || dir == "/" {
		return dir
	}
	return dir + "/"
}

func (h *Host) Init() frame.Result { return result(C.host_init(h.c)) }

// setRound puts what is told of a call where the module, and the programs that it
// starts, look for it. It fails without memory only.
func setRound(r frame.Round) bool {
	set := true
	for name, value := range map[string]string{"CLSYNC_STATUS": r.Status, "CLSYNC_ITERATION": strconv.FormatUint(r.Iteration, 10)} {
		n, v := C.CString(name), C.CString(value)
		set = C.setenv(n, v, 1) == 0 && set
		C.free(unsafe.Pointer(n))
		C.free(unsafe.Pointer(v))
	}
	return set
}

// Sync calls clsyncapi_sync.
func (h *Host) Sync(m *frame.Sync) frame.Result {
	if !setRound(m.Round) {
		return frame.Result{Code: -1}
	}
	block, events, err := events(m.Entries)
	defer C.free(unsafe.Pointer(block))
	defer C.free(unsafe.Pointer(events))
	if err != nil {
		return frame.Result{Code: -1}
	}
	return result(C.host_sync(h.c, C.int(len(m.Entries)), events))
}

// events is the entries as C has them, and the strings in them. Nothing of it is
// Go's: the module may write to it.
func events(entries []frame.Entry) (*C.char, *C.api_eventinfo_t, error) {
	size := 0
	for i := range entries {
		size += len(entries[i].Path) + 1
	}
	block := (*C.char)(C.malloc(C.size_t(size)))
	array := (*C.api_eventinfo_t)(C.calloc(C.size_t(len(entries)), C.sizeof_api_eventinfo_t))
	if block == nil || array == nil {
		return block, array, errors.New("out of memory")
	}
	text := unsafe.Slice((*byte)(unsafe.Pointer(block)), size)
	at := 0
	list := unsafe.Slice(array, len(entries))
	for i := range entries {
		e := &entries[i]
		list[i] = C.api_eventinfo_t{
			evmask: C.uint32_t(e.Mask), flags: C.uint32_t(e.Flags),
			path_len: C.size_t(len(e.Path)), path: (*C.char)(unsafe.Pointer(&text[at])),
			objtype_old: C.eventobjtype_t(e.Old), objtype_new: C.eventobjtype_t(e.New),
		}
		at += copy(text[at:], e.Path)
		text[at] = 0
		at++
	}
	return block, array, nil
}

// Rsync calls clsyncapi_rsync.
func (h *Host) Rsync(m *frame.Rsync) frame.Result {
	if !setRound(m.Round) {
		return frame.Result{Code: -1}
	}
	in, ex := C.CString(m.Include), (*C.char)(nil)
	if m.Exclude != "" {
		ex = C.CString(m.Exclude)
	}
	defer C.free(unsafe.Pointer(in))
	defer C.free(unsafe.Pointer(ex))
	return result(C.host_rsync(h.c, in, ex))
}

func (h *Host) Deinit() frame.Result { return result(C.host_deinit(h.c)) }

func result(r C.struct_result) frame.Result {
	return frame.Result{Code: int32(r.code), Left: uint32(r.left)}
}
