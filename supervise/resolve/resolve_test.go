package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// answers is a name server that says this.
func answers(addrs ...string) lookup {
	return func(context.Context, string, string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

func failing(err error) lookup {
	return func(context.Context, string, string) ([]netip.Addr, error) { return nil, err }
}

func never(t *testing.T) lookup {
	return func(_ context.Context, _, name string) ([]netip.Addr, error) {
		t.Errorf("%q was asked for", name)
		return nil, nil
	}
}

func TestHost(t *testing.T) {
	h, err := host(t.Context(), "web2.example", answers("2001:db8::2", "192.0.2.7", "192.0.2.5", "192.0.2.7", "::ffff:192.0.2.5"))
	if err != nil {
		t.Fatal(err)
	}
	want := "192.0.2.5 web2.example\n192.0.2.7 web2.example\n2001:db8::2 web2.example\n"
	if got := string(h.File()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Addresses are asked of nobody, and need no line.
	for _, literal := range []string{"192.0.2.7", "2001:db8::2"} {
		h, err := host(t.Context(), literal, never(t))
		if err != nil || !slices.Equal(h.Addrs, []netip.Addr{netip.MustParseAddr(literal)}) || len(h.File()) != 0 {
			t.Errorf("%s: %v, %v, %q", literal, h, err, h.File())
		}
	}
}

// TestRealLookUp asks this machine's resolver for the one name that it has.
func TestRealLookUp(t *testing.T) {
	h, err := Host(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range h.Addrs {
		if !a.IsLoopback() {
			t.Errorf("localhost is %v", a)
		}
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", ".", "a..b", "-oProxyCommand=x", "a.-b", "a b", "a\nb", "a\x00b", "a#b", "ä.example", "fe80::1%eth0",
		"[::1]", "::1]", "a/b", "a:b", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "aa"} {
		if h, err := host(t.Context(), bad, never(t)); !errors.Is(err, ErrName) || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %v, %v", bad, h, err)
		}
	}
	for _, good := range []string{"a", "WEB2", "a_b.example.", "1.example", strings.Repeat("a", 63) + ".b", "xn--a"} {
		if _, err := host(t.Context(), good, answers("192.0.2.1")); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// TestHostileAnswers: a name server chooses addresses, at most so many, and not
// another byte of the jail's files or of a message.
func TestHostileAnswers(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("192.0.%d.%d", i/250, i%250+1))
	}
	h, err := host(t.Context(), "x", answers(many...))
	if err != nil || len(h.Addrs) != MaxAddrs || strings.Count(string(h.File()), "\n") != MaxAddrs {
		t.Errorf("%d addresses, %v", len(h.Addrs), err)
	}
	zone := func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("fe80::1").WithZone("eth0\n6.6.6.6 x"), {}, netip.MustParseAddr("192.0.2.1")}, nil
	}
	if h, err := host(t.Context(), "x", zone); err != nil || string(h.File()) != "192.0.2.1 x\n" {
		t.Errorf("%q, %v", h.File(), err)
	}
	for _, nobody := range []lookup{answers(), answers("0.0.0.0", "::", "224.0.0.1", "ff02::1")} {
		if h, err := host(t.Context(), "x", nobody); err == nil {
			t.Errorf("%v", h)
		}
	}
	evil := "evil\x1b[2J\n<3>spoofed"
	for _, fail := range []error{errors.New(evil), &net.DNSError{Err: evil, Name: evil, Server: evil}} {
		_, err := host(t.Context(), "x", failing(fail))
		if err == nil || errors.Is(err, ErrName) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q", err)
		}
	}
	_, err = host(t.Context(), "x", failing(&net.DNSError{IsNotFound: true, Err: evil}))
	if err == nil || !strings.Contains(err.Error(), "there is no such host") {
		t.Errorf("%v", err)
	}
}

// TestLookUpIsBounded: also one that ignores its context.
func TestLookUpIsBounded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := host(ctx, "x", func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > MaxTime {
			t.Errorf("deadline %v, %v", d, ok)
		}
		<-release
		return nil, nil
	})
	if err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%v", err)
	}
}
