//go:build e2e && !amd64

package e2e

import (
	"testing"

	"lockstep/internal/testenv"
)

// forbiddenCall needs the registers of one architecture.
func forbiddenCall(t *testing.T, _ int) {
	t.Helper()
	testenv.Lacks(t, "setting registers is written for amd64 only")
}
