package reload

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/config/keys"
)

func local(path string) config.Target {
	return config.Target{Kind: config.Local, Spec: path, Path: path}
}

func one(name, source string, targets ...config.Target) config.Sync {
	return config.Sync{Name: name, Source: source, Targets: targets}
}

func set(syncs ...config.Sync) config.Set {
	return config.Set{Path: "/etc/x.toml", Service: config.Service{StateDir: "/state", User: "lockstep", StopTimeout: time.Second}, Syncs: syncs}
}

func TestCompare(t *testing.T) {
	a, b, c := one("a", "/a", local("/x")), one("b", "/b", local("/y")), one("c", "/c", local("/z"))
	with := func(s config.Sync, change func(*config.Sync)) config.Sync {
		s.Targets = slices.Clone(s.Targets)
		change(&s)
		return s
	}
	later := set(a, b)
	later.StopTimeout = 2 * time.Second
	for name, x := range map[string]struct {
		old, next config.Set
		want      Plan
	}{
		"nothing":        {set(a, b), set(a, b), Plan{Same: []string{"a", "b"}}},
		"another order":  {set(a, b), set(b, a), Plan{Same: []string{"b", "a"}}},
		"one more":       {set(a), set(a, c), Plan{Same: []string{"a"}, Begin: []string{"c"}}},
		"one less":       {set(a, b), set(b), Plan{Same: []string{"b"}, End: []string{"a"}}},
		"a rule":         {set(a, b), set(with(a, func(s *config.Sync) { s.Rules = []string{"-f\\.o$"} }), b), Plan{Same: []string{"b"}, Changed: []string{"a"}}},
		"a target":       {set(a), set(with(a, func(s *config.Sync) { s.Targets[0] = local("/w") })), Plan{Changed: []string{"a"}}},
		"another name":   {set(a), set(with(a, func(s *config.Sync) { s.Name = "d" })), Plan{Begin: []string{"d"}, End: []string{"a"}}},
		"made meanwhile": {set(with(a, func(s *config.Sync) { s.Targets[0].Missing = true })), set(a), Plan{Same: []string{"a"}}},
		"stop_timeout":   {set(a, b), later, Plan{Changed: []string{"a", "b"}}},
	} {
		got, problems := Compare(x.old, x.next)
		if len(problems) > 0 || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s: %+v, want %+v; %v", name, got, x.want, problems)
		}
		if got.Idle() != (len(x.want.Changed)+len(x.want.Begin)+len(x.want.End) == 0) {
			t.Errorf("%s: idle %v", name, got.Idle())
		}
	}
}

// Whatever a service can be told either changes all its syncs or needs a restart: no
// field, not even one that is new, is passed over. So it is with one run.
func TestEveryServiceKeyCounts(t *testing.T) {
	for _, part := range []func(*config.Set) reflect.Value{
		func(s *config.Set) reflect.Value { return reflect.ValueOf(&s.Service).Elem() },
		func(s *config.Set) reflect.Value { return reflect.ValueOf(&s.Run).Elem() },
	} {
		plain := set()
		for i := range leaves("", part(&plain)) {
			old, next := set(one("a", "/a", local("/x"))), set(one("a", "/a", local("/x")))
			field := leaves("", part(&next))[i]
			if field.Name == "AcceptRoot" {
				continue // a Set has a list of names, which a reload does not take
			}
			other(t, field.Value)
			plan, problems := Compare(old, next)
			if len(problems) == 0 && !slices.Equal(plan.Changed, []string{"a"}) {
				t.Errorf("%s changes nothing: %+v", field.Name, plan)
			}
			for _, p := range problems {
				if !strings.Contains(p.Advice, "restart") || p.Thing == "" || p.Reason == "" || !reflect.DeepEqual(plan, Plan{}) {
					t.Errorf("%s: %+v, %+v", field.Name, p, plan)
				}
			}
		}
	}
}

// leaf is a field that is no struct.
type leaf struct {
	Name string
	reflect.Value
}

// leaves are all fields of a struct, and of the structs in it.
func leaves(name string, v reflect.Value) (all []leaf) {
	if v.Kind() != reflect.Struct {
		return []leaf{{name, v}}
	}
	for i := range v.NumField() {
		all = append(all, leaves(v.Type().Field(i).Name, v.Field(i))...)
	}
	return all
}

// other gives a field another value.
func other(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + int64(time.Second))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"cgroup-devices"}))
	default:
		t.Fatalf("%v: write how to change it", v.Type())
	}
}

// Every field of a sync counts.
func TestEverySyncKeyCounts(t *testing.T) {
	plain := one("a", "/a", local("/x"))
	for i := range leaves("", reflect.ValueOf(&plain).Elem()) {
		a := one("a", "/a", local("/x"))
		v := leaves("", reflect.ValueOf(&a).Elem())[i]
		switch {
		case v.Name == "Targets":
			a.Targets = []config.Target{local("/x"), local("/y")}
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
			v.Set(reflect.ValueOf([]uint8{1}))
		case v.Kind() == reflect.Slice:
			v.Set(reflect.ValueOf([]string{"x"}))
		case v.CanUint():
			v.SetUint(v.Uint() + 1)
		default:
			other(t, v.Value)
		}
		if Equal(one("a", "/a", local("/x")), a) {
			t.Errorf("%s does not count", v.Name)
		}
	}
}

func TestFixedNamesThePlace(t *testing.T) {
	old, next := set(), set()
	next.MaxJobs = 5
	next.Places = config.Places{{In: config.InService, Key: "max_jobs"}: {File: "/etc/x.toml", Line: 3, Column: 1}}
	got := Fixed(old, next).Error()
	if want := "/etc/x.toml:3:1: max_jobs: cannot change while lockstep runs: it is 0, and would be 5; put it back, or restart lockstep"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, name := range append(fixed(), inSyncs()...) {
		if _, ok := keys.Lookup(name); !ok {
			t.Errorf("there is no key %s", name)
		}
	}
}

// nested is the overlap of paths without mounts.
func nested(a, b string) bool {
	in := func(a, b string) bool { return strings.HasPrefix(a, strings.TrimSuffix(b, "/")+"/") }
	return a == b || in(a, b) || in(b, a)
}

func TestAfter(t *testing.T) {
	far := func(spec string) config.Target {
		target, err := config.ParseTarget(spec)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	status := func(s config.Sync) config.Sync {
		s.StatusFile = "/run/status"
		return s
	}
	writes := func(s config.Sync, path string) config.Sync {
		s.Writes = []string{path}
		return s
	}
	for name, x := range map[string]struct {
		next, last config.Sync
		want       bool
	}{
		"a handler writes there":  {one("b", "/b", local("/w")), writes(one("a", "/a", local("/x")), "/w/in"), true},
		"a handler reads that":    {one("b", "/w/in", local("/y")), writes(one("a", "/a", local("/x")), "/w"), true},
		"its handler does":        {writes(one("b", "/b", local("/y")), "/a"), one("a", "/a", local("/x")), true},
		"handlers, in one place":  {writes(one("b", "/b", local("/y")), "/w"), writes(one("a", "/a", local("/x")), "/w"), true},
		"handlers, apart":         {writes(one("b", "/b", local("/y")), "/v"), writes(one("a", "/a", local("/x")), "/w"), false},
		"apart":                   {one("b", "/b", local("/y")), one("a", "/a", local("/x")), false},
		"the same name":           {one("a", "/b", local("/y")), one("a", "/a", local("/x")), true},
		"one source":              {one("b", "/a", local("/y")), one("a", "/a", local("/x")), false},
		"one target":              {one("b", "/b", local("/x")), one("a", "/a", local("/x")), true},
		"a target inside":         {one("b", "/b", local("/x/in")), one("a", "/a", local("/x")), true},
		"a target around":         {one("b", "/b", local("/")), one("a", "/a", local("/x")), true},
		"writes where it reads":   {one("b", "/b", local("/a/in")), one("a", "/a", local("/x")), true},
		"reads where it writes":   {one("b", "/x", local("/y")), one("a", "/a", local("/x")), true},
		"the second target":       {one("b", "/b", local("/y"), local("/x")), one("a", "/a", local("/w"), local("/x")), true},
		"one status file":         {status(one("b", "/b", local("/y"))), status(one("a", "/a", local("/x"))), true},
		"one host, apart":         {one("b", "/b", far("h:/y")), one("a", "/a", far("h:/x")), false},
		"one place of a host":     {one("b", "/b", far("u@h:/x/")), one("a", "/a", far("h:/x")), true},
		"inside, there":           {one("b", "/b", far("h:/x/in")), one("a", "/a", far("h:/x")), true},
		"below a login directory": {one("b", "/b", far("h:x")), one("a", "/a", far("h:/home/u/x")), true},
		"ssh and a daemon":        {one("b", "/b", far("h:/x")), one("a", "/a", far("rsync://h/m")), true},
		"two modules":             {one("b", "/b", far("rsync://h/n")), one("a", "/a", far("rsync://h/m")), false},
		"one module":              {one("b", "/b", far("rsync://h/m/in")), one("a", "/a", far("rsync://h/m")), true},
		"another host":            {one("b", "/b", far("h:/x")), one("a", "/a", far("i:/x")), false},
		"here and there":          {one("b", "/b", far("h:/x")), one("a", "/a", local("/x")), false},
	} {
		if got := After(x.next, x.last, nested); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Of any two sets: each sync of either has one fate; what stays is equal; and where
// one that begins needs not wait for one that ends, nothing that the one writes is
// read or written by the other.
func TestRandomSets(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	places := []string{"/a", "/a/in", "/b", "/c", "/c/in/in", "/d"}
	place := func() string { return places[r.IntN(len(places))] }
	random := func() config.Set {
		var all []config.Sync
		for i := range r.IntN(5) {
			s := one(fmt.Sprint(i), place(), local(place()))
			if r.IntN(3) == 0 {
				s.Targets = append(s.Targets, local(place()))
			}
			all = append(all, s)
		}
		r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		return set(all...)
	}
	for range 300 {
		old, next := random(), random()
		p, problems := Compare(old, next)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		before, after := slices.Concat(p.Same, p.Changed, p.End), slices.Concat(p.Same, p.Changed, p.Begin)
		if !slices.Equal(sorted(before), names(old)) || !slices.Equal(sorted(after), names(next)) {
			t.Fatalf("%v and %v: %+v", old.Syncs, next.Syncs, p)
		}
		for _, name := range p.Same {
			a, _ := find(old, name)
			b, _ := find(next, name)
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%v and %v are taken for one", a, b)
			}
		}
		for _, begins := range slices.Concat(p.Changed, p.Begin) {
			for _, ends := range slices.Concat(p.Changed, p.End) {
				b, _ := find(next, begins)
				e, _ := find(old, ends)
				if !After(b, e, nested) && touches(b, e) {
					t.Fatalf("%v does not wait for %v", b, e)
				}
			}
		}
	}
}

// touches says that one of two syncs writes where the other one reads or writes.
func touches(a, b config.Sync) bool {
	uses := func(s config.Sync) (out []string) {
		for _, t := range s.Targets {
			out = append(out, t.Path)
		}
		return out
	}
	for _, w := range uses(a) {
		for _, x := range append(uses(b), b.Source) {
			if nested(w, x) {
				return true
			}
		}
	}
	return slices.ContainsFunc(uses(b), func(w string) bool { return nested(w, a.Source) })
}

func names(s config.Set) []string {
	var out []string
	for _, x := range s.Syncs {
		out = append(out, x.Name)
	}
	return sorted(out)
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// Requests that come before one is taken are one, and all who asked are told.
func TestAsked(t *testing.T) {
	a := NewAsked()
	if _, any := a.Take(); any {
		t.Error("nobody has asked")
	}
	answers := []<-chan error{a.Add(""), a.Add("x"), a.Add("y"), a.Add("x")}
	<-a.Wake
	r, any := a.Take()
	if !any || !slices.Equal(r.Blocks, []string{"y", "x"}) {
		t.Errorf("%v %v", r.Blocks, any)
	}
	later := a.Add("")
	r.Answer(nil)
	for _, c := range answers {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	select {
	case <-later:
		t.Error("who asked later was told as well")
	default:
	}
	if r, any := a.Take(); !any || len(r.Blocks) != 0 {
		t.Errorf("%v %v", r, any)
	}
}

func TestLoad(t *testing.T) {
	old := []string{"a", "b", "c"}
	if got := Load(old, "a"); !slices.Equal(got, []string{"b", "c", "a"}) || !slices.Equal(old, []string{"a", "b", "c"}) {
		t.Errorf("%v of %v", got, old)
	}
}
