package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Shown is a file or directory of the host that the jail of a handler shows because
// a person has named it.
type Shown struct {
	Path     string // absolute, without symbolic links
	Dev, Ino uint64
	Dir      bool
}

// shown looks at what was named, as it is now.
func shown(paths []string) ([]Shown, error) {
	var all []Shown
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, fmt.Errorf("what the handler is to be shown: %w; put it back, or take it out of the configuration", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("what the handler is to be shown: %s is neither a directory nor a regular file any more", path)
		}
		all = append(all, Shown{Path: path, Dev: st.Dev, Ino: st.Ino, Dir: info.IsDir()})
	}
	return all, nil
}

// resolvConf names the name servers.
const resolvConf = "/etc/resolv.conf"

// network is what programs read of the host to reach others: addresses of names,
// certificates, ssh's settings for all. No key.
func (h *Handler) network() error {
	for _, path := range []string{"/etc/hosts", "/etc/services", "/etc/protocols", "/etc/host.conf", "/etc/gai.conf", "/etc/ssl/openssl.cnf", "/etc/ssl/certs",
		"/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d", "/etc/ssh/ssh_known_hosts"} {
		switch info, err := os.Lstat(path); {
		case err != nil:
			continue
		case !info.IsDir() && !info.Mode().IsRegular():
			continue // a link leads where the jail may have nothing
		case info.IsDir():
			h.Shows = append(h.Shows, Shown{Path: path, Dir: true})
		default:
			h.Files = append(h.Files, path)
		}
		if err := safe(path); err != nil {
			return err
		}
	}
	// Where a service of the host writes it, it is a link to a file of that service's.
	real, err := filepath.EvalSymlinks(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", resolvConf, err)
	}
	h.Names = real
	return nil
}
