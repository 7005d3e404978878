// Package resolve turns the host of a remote target into the addresses that its
// jail will know, since nothing in the jail can ask for a name.
//
// Trust: linked into the supervisor. What a name server answers is hostile: it
// chooses addresses, and nothing else.
//
// Invariants: what File returns has no byte that is not of a name that was
// checked or of an address that was printed here; a look-up ends within its
// time, whatever the servers do.
package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"lockstep/internal/escape"
)

const (
	// MaxAddrs is how many addresses of a host are kept.
	MaxAddrs = 16
	// MaxTime bounds a look-up, whatever its context allows.
	MaxTime = 10 * time.Second
	// maxName is the longest name that DNS knows.
	maxName = 253
)

// Hosts is a host and where it is.
type Hosts struct {
	Name  string
	Addrs []netip.Addr // sorted, IPv4 first; 1 to MaxAddrs
}

// ErrName is in the error for what can be no host: the configuration must be
// changed. Any other error may be gone the next time.
var ErrName = errors.New("is no host's name or address")

// Host finds a host's addresses; one that is written as an address is its own.
func Host(ctx context.Context, name string) (Hosts, error) {
	return host(ctx, name, net.DefaultResolver.LookupNetIP)
}

type lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)

func host(ctx context.Context, name string, look lookup) (Hosts, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Zone() != "" {
			return Hosts{}, fmt.Errorf("%s %w that a jail can use: it has a zone", escape.Name(name), ErrName)
		}
		return Hosts{name, []netip.Addr{addr}}, nil
	}
	if !isName(name) {
		return Hosts{}, fmt.Errorf("%q %w", escape.Name(name), ErrName)
	}
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		// The context ends it too; but it is not waited for.
		addrs, err := look(ctx, "ip", name)
		got <- answer{addrs, err}
	}()
	var a answer
	select {
	case a = <-got:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	if a.err != nil {
		return Hosts{}, fmt.Errorf("host %s cannot be resolved: %s; check its name and this host's name servers", name, reason(a.err))
	}
	addrs := usable(a.addrs)
	if len(addrs) == 0 {
		return Hosts{}, fmt.Errorf("host %s has no address that can be connected to; check its name", name)
	}
	return Hosts{name, addrs}, nil
}

// reason is an error of the resolver without what a server has written.
func reason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "given up"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host"
	case errors.As(err, &dns) && dns.IsTimeout:
		return "no answer in time"
	}
	return escape.Name(err.Error())
}

// usable leaves out what is no peer's address, and sorts: the same answers
// make the same jail.
func usable(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		if a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), MaxAddrs)]
}

// isName: labels of letters, digits, "-" and "_", as in DNS.
func isName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		const longest = 63
		if label == "" || len(label) > longest || label[0] == '-' || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// File is the jail's /etc/hosts: this host and no other.
func (h Hosts) File() []byte {
	var b bytes.Buffer
	for _, a := range h.Addrs {
		if a.String() != h.Name {
			fmt.Fprintf(&b, "%s %s\n", a, h.Name)
		}
	}
	return b.Bytes()
}
