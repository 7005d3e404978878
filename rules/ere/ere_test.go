package ere

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		expr string
		yes  []string
		no   []string
	}{
		{"", []string{"", "a"}, nil},
		{"^$", []string{""}, []string{"a", "\n"}},
		{"^a", []string{"a", "ab"}, []string{"ba", "\na", ""}},
		{`\.bak$`, []string{".bak", "a/b.bak"}, []string{"a.bak/b", "abak", ".bak\n"}},
		{"^[Tt]est", []string{"Test", "testfile"}, []string{"keep/Test", "TEST"}},
		{"a.b", []string{"a\nb", "a\xffb", "a/b"}, []string{"ab", "a\xc3\xa9b"}},
		{"a*?", []string{"", "b"}, nil},                         // (a*)?
		{"^a+?$", []string{"", "a", "aa"}, nil},                 // (a+)?
		{`\d`, []string{"d"}, []string{"1"}},                    // a d
		{`\pL`, []string{"pL"}, []string{"a"}},                  // two letters
		{`\Qa.b\E`, []string{"QaxbE"}, []string{"a.b"}},         //
		{`\x41`, []string{"x41"}, []string{"A"}},                //
		{`^\n\t\r\0$`, []string{"ntr0"}, []string{"\n\t\r"}},    //
		{`\Aa\z`, []string{"Aaz"}, []string{"a"}},               //
		{`[\d]`, []string{"d", `\`}, []string{"1"}},             // no escape in [ ]
		{"[]a]", []string{"]", "a"}, []string{"["}},             //
		{"[^]a]", []string{"x"}, []string{"]", "a"}},            //
		{"[a-]", []string{"-", "a"}, []string{"b"}},             //
		{"[[]", []string{"["}, []string{"]"}},                   //
		{"[[.].]]", []string{"]"}, []string{"["}},               //
		{"[[.a.]-[.c.]]", []string{"b"}, []string{"d"}},         //
		{"[[=a=]b]", []string{"a", "b"}, []string{"="}},         //
		{"[[:upper:]_]", []string{"A", "_"}, []string{"a"}},     //
		{"[\xf0-\xff]", []string{"\xf5"}, []string{"\xef"}},     // bytes
		{"\xff", []string{"a\xff"}, []string{"\xfe", "\u00ff"}}, // one byte
		{"(a|)b{2}|", []string{"", "abb"}, nil},                 // empty branches
		{"^(|a)(){3}b$", []string{"b", "ab"}, []string{"aab"}},  //
		{"^a{,2}$", []string{"", "aa"}, []string{"aaa"}},        //
		{"^a{2}{2}$", []string{"aaaa"}, []string{"aa"}},         //
		{"^a{0}b", []string{"b"}, []string{"ab"}},               //
		{")", []string{")"}, []string{"("}},                     // a character
		{"a}", []string{"a}"}, []string{"a"}},                   //
		{"a^b|a$b", nil, []string{"ab", "a^b", "a$b", "a\nb"}},  // anchors anywhere
		{`\<a`, []string{"a", "b/a", "-a"}, []string{"ba", "_a", ""}},
		{`a\>`, []string{"a", "a/b", "ca."}, []string{"ab", "a_"}},
		{`\<a\>`, []string{"a", "x-a-y"}, []string{"xa-y", "a1"}},
		{`^\<|\>$`, []string{"a", "a.", ".a"}, []string{"", "."}},
		{`\<\>`, nil, []string{"", "a", ".", "a.a"}},
		{`\Ba`, []string{"ba"}, []string{"a", ".a"}},
		{`\b`, []string{"a", ".a"}, []string{"", "..", "\xe9"}},
		{"\\`a\\'", []string{"a"}, []string{"ab", "ba"}},
		{`\w\W\s\S`, []string{"a. x"}, []string{"ab x"}},
		{"(^|/)x", []string{"x", "a/x"}, []string{"ax"}},
	} {
		x, err := Compile(c.expr)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range c.yes {
			if !x.MatchString(name) {
				t.Errorf("%q does not match %q", c.expr, name)
			}
		}
		for _, name := range c.no {
			if x.MatchString(name) {
				t.Errorf("%q matches %q", c.expr, name)
			}
		}
		if x.String() != c.expr {
			t.Errorf("%q becomes %q", c.expr, x)
		}
	}
}

func TestRefused(t *testing.T) {
	for expr, want := range map[string]error{
		"*a": errNothing, "(+": errNothing, "a|?": errNothing, "^*": errNothing, `\b+`: errNothing, "{1}": errNothing,
		"(?i)a": errNothing, "(?:a)": errNothing, "(?P<n>a)": errNothing,
		"a\x00": errNUL, `a\`: errEscape, `(a)\1`: errBackRef, `\9`: errBackRef, "(a": errParen, "a|(b|(c)": errParen,
		"a{": errBrace, "a{x": errBrace, "a{}": errBrace, "a{1": errBrace, "a{1,2,3}": errBrace, "a{-1}": errBrace, `a{1\,2}`: errBrace,
		"a{2,1}": errInterval, "a{1001}": errRepeat, "a{1,99999999999999999999}": errRepeat, "(a{40}){40}": errProduct,
		"(^|/){2}": errAnchors, `(a\b){0,3}`: errAnchors, "[a": errBracket, "[]": errBracket, "[^]": errBracket, "[[:alpha:]": errBracket, "[[.a": errBracket,
		"[[:word:]]": errClass, "[[:ALPHA:]]": errClass, "[[::]]": errClass, "[[.space.]]": errCollate, "[[=ch=]]": errCollate, "[[..]]": errCollate,
		"[z-a]": errRange, "[a-c-e]": errRange, "[[:alpha:]-z]": errRange, "[a-[:alpha:]]": errRange, "[[=a=]-z]": errRange,
		"[%---]": errHyphens, "[---]": errHyphens, "[a---]": errHyphens,
		strings.Repeat("a", MaxLength+1): errLength, strings.Repeat("(", 300) + strings.Repeat(")", 300): errHeight, "a" + strings.Repeat("*", 300): errHeight,
		strings.Repeat(".{1000}", 30): errLarge,
	} {
		x, err := Compile(expr)
		if x != nil || !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", expr, err, want)
		}
	}
}

// What takes a backtracking matcher longer than anybody waits.
func TestLinear(t *testing.T) {
	for _, expr := range []string{"^(a|a)*b$", "^(a*)*c", "(a|aa)+$b", `(\<a|aa)+\>b`, "(.*)(.*)(.*)(.*)(.*)[^a]x"} {
		x, err := Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		if x.MatchString(strings.Repeat("a", 4096)) {
			t.Errorf("%q matches", expr)
		}
	}
}

func (n Need) holds(name string) bool {
	for _, l := range n.Literals {
		switch {
		case n.Start && n.End:
			if name == l {
				return true
			}
		case n.Start && strings.HasPrefix(name, l), n.End && strings.HasSuffix(name, l), !n.Start && !n.End && strings.Contains(name, l):
			return true
		}
	}
	return false
}

func checkNeeds(t *testing.T, x *Expr, name string) {
	t.Helper()
	for _, n := range x.Needs() {
		if len(n.Literals) == 0 || len(n.Literals) > maxLiterals || shortest(n) == 0 {
			t.Fatalf("%q: a need of %q", x, n.Literals)
		}
		if !n.holds(name) {
			t.Fatalf("%q matches %q, but is said to need %+v", x, name, n)
		}
	}
}

// A name that an expression matches has all that the expression needs.
func TestNeeds(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	checked := 0
	for range rounds(10_000) {
		x, err := Compile(randomExpr(r))
		if err != nil || len(x.Needs()) == 0 {
			continue
		}
		for _, name := range randomNames(r, 60) {
			if x.MatchString(name) {
				checked++
				checkNeeds(t, x, name)
			}
		}
	}
	if t.Logf("%d matches checked", checked); checked == 0 {
		t.Error("the test has lost its force")
	}
}

func TestNeedsTable(t *testing.T) {
	for expr, want := range map[string]string{
		"":                            "",
		".*":                          "",
		"^$":                          "",
		"foo":                         "foo",
		"^foo":                        "^foo",
		"foo$":                        "foo$",
		"^foo$":                       "^foo$",
		`\.(bak|tmp)$`:                ".bak$|.tmp$",
		"(^|/)[Tt]est(/|$)":           "Test|test",
		"^home/[^/]+/cache/.*x":       "^home/ /cache/ x",
		"(foo)+bar":                   "foo bar",
		"(foo)*bar":                   "bar",
		"fo{2}d":                      "food",
		"a(b.*|c.*)d":                 "a b|c d",
		`\bfoo\b`:                     "foo",
		"^(etc/passwd|etc/ssh/.*)":    "^etc/passwd|^etc/ssh/",
		"^a|b":                        "a|b",
		strings.Repeat("abcdefgh", 5): "abcdefghabcdefghabcdefghabcdefgh abcdefgh",
	} {
		x, err := Compile(expr)
		if err != nil {
			t.Error(err)
			continue
		}
		var all []string
		for _, n := range x.Needs() {
			var one []string
			for _, l := range n.Literals {
				if n.Start {
					l = "^" + l
				}
				if n.End {
					l += "$"
				}
				one = append(one, l)
			}
			all = append(all, strings.Join(one, "|"))
		}
		if got := strings.Join(all, " "); got != want {
			t.Errorf("%q needs %q, want %q", expr, got, want)
		}
	}
}

// FuzzExpr: no expression and no name crashes it, nothing that is accepted
// surprises the engine, and the needs hold.
func FuzzExpr(f *testing.F) {
	f.Add(`^(a|b)*\.(bak|[[:alpha:]]{2,3})$`, "a.bak")
	f.Add(`\<[^]x-z]+\>`, "a\xff b")
	f.Add("[[.a.]-[=b=]]{1,", "a")
	f.Fuzz(func(t *testing.T, expr, name string) {
		x, err := Compile(expr)
		if err != nil {
			if strings.Contains(err.Error(), "fault of lockstep") {
				t.Fatal(err)
			}
			return
		}
		if x.MatchString(name) {
			checkNeeds(t, x, name)
		}
	})
}
