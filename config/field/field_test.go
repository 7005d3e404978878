package field

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "7": 7, "7B": 7, "1KiB": 1024, "128MiB": 128 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%s = %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5MiB", "1MB", "1M", "1 MiB", "0x10", "1BB", "18446744073709551616"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q = %d", in, got)
		}
	}
}

func TestFormats(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s",
		30 * time.Minute: "30m", 10 * time.Second: "10s", 200 * time.Millisecond: "200ms", 100 * time.Minute: "1h40m"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
		if again, err := time.ParseDuration(want); err != nil || again != d {
			t.Errorf("%s: %v %v", want, again, err)
		}
	}
	for n, want := range map[uint64]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 128 << 20: "128MiB", 3 << 40: "3TiB", 5 << 50: "5120TiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
		if again, err := ParseSize(want); err != nil || again != n {
			t.Errorf("%s: %v %v", want, again, err)
		}
	}
}
