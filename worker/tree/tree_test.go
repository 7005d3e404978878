package tree

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNodeSize(t *testing.T) {
	if size := reflect.TypeOf(node{}).Size(); size != nodeBytes {
		t.Errorf("a node has %d bytes, nodeBytes says %d", size, nodeBytes)
	}
}

// ref is the obvious tree: one Go object with a map for each directory.
type ref struct {
	id     ID
	name   string
	wd     int32
	mark   uint16
	stamp  uint32
	parent *ref
	kids   map[string]*ref
}

type refTree struct {
	root  *ref
	all   map[ID]*ref
	limbo []refLimbo
	dead  []ID

	given    []given
	gave     int
	returned int
}

// give remembers the last of what was given up: a ring, from slot 0 on.
func (t *refTree) give(cookie uint32, wd int32) {
	if len(t.given) < lateHalves {
		t.given = append(t.given, given{cookie, wd, true})
	} else {
		t.given[t.gave%lateHalves] = given{cookie, wd, true}
	}
	t.gave++
}

// again counts the first that has come again.
func (t *refTree) again(is func(given) bool) {
	i := slices.IndexFunc(t.given, func(g given) bool { return g.away && is(g) })
	if i >= 0 {
		t.given[i].away = false
		t.returned++
	}
}

type refLimbo struct {
	node   *ref
	cookie uint32
	wd     int32
	since  time.Time
}

func newRef(id ID, name string) *ref {
	return &ref{id: id, name: name, wd: NoWD, kids: map[string]*ref{}}
}

func (r *ref) path() (string, bool) {
	var parts []string
	for ; r.parent != nil; r = r.parent {
		parts = append([]string{r.name}, parts...)
	}
	return strings.Join(parts, "/"), r.name == ""
}

// size counts r and what is below it.
func (r *ref) size() int {
	n := 1
	for _, kid := range r.kids {
		n += kid.size()
	}
	return n
}

func (r *ref) below(top *ref) bool {
	for ; r != nil; r = r.parent {
		if r == top {
			return true
		}
	}
	return false
}

// machine does the same to both.
type machine struct {
	tb   testing.TB
	tree *Tree
	ref  refTree
	next func(n int) int // a choice below n
	now  time.Time
}

func newMachine(tb testing.TB, next func(int) int) *machine {
	m := &machine{tb: tb, tree: New(), next: next, now: time.Unix(1, 0)}
	root := newRef(m.tree.Root(), "")
	m.ref = refTree{root: root, all: map[ID]*ref{root.id: root}}
	return m
}

func (m *machine) fail(format string, args ...any) {
	m.tb.Helper()
	m.tb.Fatalf(format, args...)
}

// pick is any ID that was ever given out, living or not.
func (m *machine) pick() ID {
	if len(m.ref.dead) > 0 && m.next(8) == 0 {
		return m.ref.dead[m.next(len(m.ref.dead))]
	}
	n := m.next(len(m.ref.all))
	for s := range m.tree.used { // in slot order: a map's order is no seed's
		id := m.tree.id(s)
		if m.ref.all[id] != nil {
			if n == 0 {
				return id
			}
			n--
		}
	}
	return None
}

func (m *machine) name() string {
	names := []string{"a", "b", "c", "d", "", ".", "..", "x/y", "n\x00", strings.Repeat("l", 255), strings.Repeat("l", 256)}
	if i := m.next(12); i < 4 {
		return names[m.next(len(names))]
	}
	return string(rune('a' + m.next(6)))
}

func (m *machine) remove(r *ref, gone map[int32]int) {
	for _, kid := range r.kids {
		m.remove(kid, gone)
	}
	gone[r.wd]++
	delete(m.ref.all, r.id)
	m.ref.dead = append(m.ref.dead, r.id)
}

func (m *machine) unlink(r *ref) {
	if r.parent != nil {
		delete(r.parent.kids, r.name)
		r.parent = nil
	}
	for i, l := range m.ref.limbo {
		if l.node == r {
			m.ref.limbo = append(m.ref.limbo[:i:i], m.ref.limbo[i+1:]...)
			break
		}
	}
}

func (m *machine) move(r, p *ref, name string) bool {
	if r == nil || p == nil || r == m.ref.root || !ValidName(name) || p.below(r) || p.kids[name] != nil {
		return false
	}
	m.unlink(r)
	r.parent, r.name = p, name
	p.kids[name] = r
	return true
}

func (m *machine) step() {
	id, other, name := m.pick(), m.pick(), m.name()
	r, p := m.ref.all[id], m.ref.all[other]
	switch m.next(11) {
	case 0, 1, 2:
		m.add(p, other, name)
	case 3:
		if got, want := m.tree.Move(id, other, name), m.move(r, p, name); got != want {
			m.fail("Move: %v, want %v", got, want)
		}
	case 4:
		m.watch(id, r)
	case 5:
		if m.next(3) == 0 {
			m.removeBoth(id, r)
		}
	case 6:
		m.detach(id, r)
	case 7:
		m.attach(p, other, name)
	case 8:
		m.expire()
	case 9:
		m.stamp(id, r)
	case 10:
		m.claim()
	}
}

func (m *machine) stamp(id ID, r *ref) {
	stamp := uint32(m.next(6))
	m.tree.SetStamp(id, stamp)
	if r != nil {
		r.stamp = stamp
	}
	if m.next(8) == 0 {
		m.tree.ResetStamps()
		for _, r := range m.ref.all {
			r.stamp = 0
		}
	}
}

func (m *machine) claim() {
	cookie, want := uint32(m.next(5)), None
	for _, l := range m.ref.limbo {
		if l.cookie == cookie {
			want = l.node.id
		}
	}
	if want == None {
		m.ref.again(func(g given) bool { return g.cookie == cookie })
	}
	if got := m.tree.Claim(cookie); got != want || m.tree.Returned() != m.ref.returned {
		m.fail("Claim: %x, want %x; %d returned, want %d", got, want, m.tree.Returned(), m.ref.returned)
	}
}

// settled is Settled of the obvious tree.
func (m *machine) settled(r *ref, stamp uint32) bool {
	for ; r.stamp <= stamp; r = r.parent {
		if r.parent == nil {
			return r == m.ref.root
		}
	}
	return false
}

func (m *machine) add(p *ref, parent ID, name string) {
	id, added := m.tree.Add(parent, name)
	if p == nil || !ValidName(name) {
		if id != None || added {
			m.fail("Add of %q was accepted", name)
		}
		return
	}
	if have := p.kids[name]; have != nil {
		if id != have.id || added {
			m.fail("Add did not find %q", name)
		}
		return
	}
	if !added || m.ref.all[id] != nil {
		m.fail("Add gave a living node's ID")
	}
	n := newRef(id, name)
	n.parent, n.mark = p, uint16(m.next(1<<16))
	m.tree.SetMark(id, n.mark)
	p.kids[name], m.ref.all[id] = n, n
}

func (m *machine) watch(id ID, r *ref) {
	wd := int32(m.next(40)) - 1
	before := m.tree.SetWD(id, wd)
	if r == nil {
		if before != None {
			m.fail("SetWD of a stale node")
		}
		return
	}
	want := None
	for _, o := range m.ref.all {
		if wd >= 0 && o != r && o.wd == wd {
			want, o.wd = o.id, NoWD
		}
	}
	if want == None && wd >= 0 && r.wd != wd {
		m.ref.again(func(g given) bool { return g.wd == wd })
	}
	r.wd = wd
	if before != want {
		m.fail("SetWD: before %x, want %x", before, want)
	}
}

func (m *machine) removeBoth(id ID, r *ref) {
	got, want := map[int32]int{}, map[int32]int{}
	m.tree.Remove(id, func(wd int32, _ uint16) { got[wd]++ })
	if r != nil && r != m.ref.root {
		m.unlink(r)
		m.remove(r, want)
	}
	if !reflect.DeepEqual(got, want) {
		m.fail("Remove: %v, want %v", got, want)
	}
}

func (m *machine) detach(id ID, r *ref) {
	cookie := uint32(m.next(4))
	got := m.tree.Detach(id, cookie, m.now)
	if want := r != nil && r != m.ref.root; got != want {
		m.fail("Detach: %v, want %v", got, want)
	}
	if got {
		m.unlink(r)
		m.ref.limbo = append(m.ref.limbo, refLimbo{r, cookie, r.wd, m.now})
	}
}

func (m *machine) attach(p *ref, parent ID, name string) {
	cookie := uint32(m.next(4))
	got, want := m.tree.Attach(cookie, parent, name), None
	for i := len(m.ref.limbo) - 1; i >= 0; i-- {
		if l := m.ref.limbo[i]; l.cookie == cookie {
			if m.move(l.node, p, name) {
				want = l.node.id
			}
			break
		}
	}
	if got != want {
		m.fail("Attach: %x, want %x", got, want)
	}
}

func (m *machine) expire() {
	m.now = m.now.Add(time.Duration(m.next(3)) * time.Second)
	got, want := map[int32]int{}, map[int32]int{}
	none := m.tree.Watched() == 0
	n := m.tree.Expire(m.now, 4*time.Second, func(wd int32, _ uint16) { got[wd]++ })
	for len(m.ref.limbo) > 0 && m.now.Sub(m.ref.limbo[0].since) >= 4*time.Second {
		top := m.ref.limbo[0].node
		if top.wd == m.ref.limbo[0].wd && (top.wd >= 0 || none) {
			m.ref.give(m.ref.limbo[0].cookie, top.wd)
			n--
		}
		m.unlink(top)
		m.remove(top, want)
	}
	if n != 0 || !reflect.DeepEqual(got, want) {
		m.fail("Expire: %d too many, %v, want %v", n, got, want)
	}
}

// check compares the two trees in every way the API shows them.
func (m *machine) check() {
	watched := 0
	var last *ref
	for id, r := range m.ref.all {
		rel, attached := m.tree.Path(id)
		wantRel, wantAttached := r.path()
		wantAttached = wantAttached && r.below(m.ref.root)
		if !wantAttached {
			wantRel = ""
		}
		if rel != wantRel || attached != wantAttached || m.tree.Attached(id) != attached {
			m.fail("Path: %q %v, want %q %v", rel, attached, wantRel, wantAttached)
		}
		if m.tree.WD(id) != r.wd || m.tree.Name(id) != r.name || m.tree.Mark(id) != r.mark {
			m.fail("%q: wd %d, want %d", rel, m.tree.WD(id), r.wd)
		}
		for stamp := range uint32(6) {
			if m.tree.Stamp(id) != r.stamp || m.tree.Settled(id, stamp) != m.settled(r, stamp) {
				m.fail("%q: stamp %d, want %d, or settled for %d", rel, m.tree.Stamp(id), r.stamp, stamp)
			}
		}
		if r.wd >= 0 {
			watched++
			if m.tree.ByWD(r.wd) != id {
				m.fail("ByWD(%d) is not %q", r.wd, rel)
			}
		}
		kids := m.tree.Children(nil, id)
		if len(kids) != len(r.kids) {
			m.fail("%q has %d children, want %d", rel, len(kids), len(r.kids))
		}
		for name, kid := range r.kids {
			if m.tree.Child(id, name) != kid.id || m.tree.Parent(kid.id) != id {
				m.fail("%q has no child %q", rel, name)
			}
		}
		seen := 0
		m.tree.Walk(id, func(below ID) {
			if seen++; seen == 2 && (!m.ref.all[below].below(r) || !m.tree.Within(below, id)) {
				m.fail("Walk left %q", rel)
			}
		})
		if last != nil && m.tree.Within(last.id, id) != last.below(r) {
			m.fail("%q is within %q, or is not", last.name, rel)
		}
		last = r
		if want := r.size(); seen != want {
			m.fail("Walk of %q saw %d, want %d", rel, seen, want)
		}
	}
	for _, id := range m.ref.dead {
		if m.tree.Valid(id) {
			m.fail("a stale ID is valid")
		}
	}
	if m.tree.Len() != len(m.ref.all) || m.tree.Watched() != watched {
		m.fail("Len %d, want %d; Watched %d, want %d", m.tree.Len(), len(m.ref.all), m.tree.Watched(), watched)
	}
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			m := newMachine(t, rng.IntN)
			for i := range 400 {
				m.step()
				if i%20 == 0 {
					m.check()
				}
			}
			m.check()
		})
	}
}

func FuzzTree(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz0123456789"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 4096 { // what is longer finds the same, more slowly
			return
		}
		m := newMachine(t, func(n int) int {
			if len(ops) == 0 {
				return 0
			}
			b := int(ops[0])
			ops = ops[1:]
			return b % n
		})
		for len(ops) > 0 {
			m.step()
		}
		m.check()
	})
}

func TestSettled(t *testing.T) {
	tr := New()
	a, _ := tr.Add(tr.Root(), "a")
	b, _ := tr.Add(a, "b")
	if !tr.Settled(b, 0) {
		t.Error("new node not settled")
	}
	tr.SetStamp(a, 5)
	if tr.Settled(b, 4) || !tr.Settled(b, 5) || !tr.Settled(tr.Root(), 0) || tr.Stamp(a) != 5 {
		t.Error("a later stamp above is overlooked, or one below counts")
	}
	tr.Detach(a, 1, time.Time{})
	if tr.Settled(b, 9) {
		t.Error("settled in limbo")
	}
	tr.ResetStamps()
	tr.Attach(1, tr.Root(), "c")
	if !tr.Settled(b, 0) {
		t.Error("stamps not reset")
	}
}

// TestArenaIsRewritten: names that come and go do not pile up.
func TestArenaIsRewritten(t *testing.T) {
	tr := New()
	keep, _ := tr.Add(tr.Root(), "keep")
	id, _ := tr.Add(tr.Root(), "x")
	for i := range 100_000 {
		if !tr.Move(id, keep, fmt.Sprintf("%0200d", i)) {
			t.Fatal("not moved")
		}
	}
	if got := tr.names.bytes(); got > 8*blockSize {
		t.Errorf("the arena has %d bytes for two names", got)
	}
	if rel, _ := tr.Path(id); rel != "keep/"+fmt.Sprintf("%0200d", 99_999) {
		t.Errorf("path %q", rel)
	}
}
