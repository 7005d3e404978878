package whom

import "testing"

// Owners of the control socket are names or numbers; nothing is root's.
func TestOwner(t *testing.T) {
	for text, want := range map[string][2]int{"": {0, 0}, "root": {0, 0}, "7": {7, 0}, ":8": {0, 8}, "7:8": {7, 8}, "root:root": {0, 0}} {
		uid, gid, err := Owner(text)
		if err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q: %d, %d, %v", text, uid, gid, err)
		}
	}
}
