//go:build e2e

package e2e

import "testing"

func TestTmpPoll(t *testing.T) { scripts(t, 1, func(t *testing.T) *mirror { return newMirror(t, "--monitor", "poll") }) }
