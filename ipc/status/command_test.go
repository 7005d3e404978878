package status

import "testing"

func TestCommandNamesATarget(t *testing.T) {
	for _, verb := range []Command{CommandVerify, CommandResync, CommandRetry} {
		if verb.Verb() != verb || verb.Target() != 0 {
			t.Errorf("command %d without a target: %d of %d", verb, verb.Verb(), verb.Target())
		}
		for _, target := range []uint64{1, 7, 65535} {
			c := verb.For(target)
			if c.Verb() != verb || c.Target() != target || c.For(0) != verb {
				t.Errorf("command %d for %d: %d of %d", verb, target, c.Verb(), c.Target())
			}
		}
	}
}

// Merging all targets' reports gives the sums, and the gravest state.
func TestMerge(t *testing.T) {
	whole := Report{State: StateInStep, Dirs: 5}
	for _, one := range []Report{
		{State: StateInStep, Target: 1, Queue: 1, Synced: 10, LastSync: 3},
		{State: StateRetrying, Target: 2, Queue: 2, Synced: 20, LastSync: 1, Attempts: 4, LastCode: 12, Fault: 9},
		{State: StateSyncing, Target: 3, Queue: 4, Attempts: 1, LastCode: 23},
	} {
		whole.Merge(&one)
	}
	want := Report{State: StateRetrying, Dirs: 5, Queue: 7, Synced: 30, LastSync: 3, Attempts: 4, LastCode: 12, Fault: 9}
	if whole != want {
		t.Errorf("%+v, want %+v", whole, want)
	}
}
