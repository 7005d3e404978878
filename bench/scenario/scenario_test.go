package scenario

import (
	"slices"
	"testing"
)

func TestWants(t *testing.T) {
	all, err := WantsOf(nil)
	if err != nil || !all(Idle) || !all(SmallTree) {
		t.Errorf("without words not everything is wanted: %v", err)
	}
	some, err := WantsOf([]string{"large-tree", "latency"})
	if err != nil || !some(LargeTree) || !some(Latency) || some(SmallTree) || some(Idle) {
		t.Errorf("two words: %v", err)
	}
	if _, err := WantsOf([]string{"speed"}); err == nil {
		t.Error("a scenario that does not exist is taken")
	}
	for _, s := range steps() {
		for _, part := range s.parts {
			if !slices.Contains(Names(), word(part)) {
				t.Errorf("%q cannot be chosen", part)
			}
		}
	}
}

func TestInitialCommand(t *testing.T) {
	const text = `{"syncs":[{"name":"x","targets":[{"target":"/d","commands":{"initial":["rsync","-aH","--","/s/","/d/"]}}]}]}`
	got, err := initialCommand([]byte(text))
	if err != nil || !slices.Equal(got, []string{"rsync", "-aH", "--", "/s/", "/d/"}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"syncs":[{"targets":[{}]}]}`} {
		if got, err := initialCommand([]byte(bad)); err == nil {
			t.Errorf("%s is %q", bad, got)
		}
	}
}

func TestMostSwitches(t *testing.T) {
	most, sum, who := mostSwitches(map[string]int64{"a 1": 5, "b 2": 10, "c 3": 1}, map[string]int64{"a 1": 6, "b 2": 13, "d 4": 99})
	if most != 3 || sum != 4 || who != "b 2: 3" {
		t.Errorf("%d, %d, %s", most, sum, who)
	}
}
