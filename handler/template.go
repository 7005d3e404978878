package handler

import (
	"slices"
	"strconv"
	"strings"
)

// ListName is which list file a word names.
type ListName uint8

// The lists.
const (
	Include ListName = iota + 1
	Exclude
)

// Piece is a part of a word: text, or the path that a list has got.
type Piece struct {
	Text string
	List ListName // 0: Text
}

// Word is one word of a call.
type Word []Piece

// slot is what a batch puts into a word.
type slot uint8

const (
	slotText slot = iota
	slotNames
	slotInclude
	slotExclude
	slotMask
	slotType
)

// part is a piece of a template's word.
type part struct {
	slot slot
	text string // as it is; of a macro, how it was written
}

type word []part

// names says that the word stands for the names of a run.
func (w word) names() bool { return len(w) == 1 && w[0].slot == slotNames }

func has(words []word, slots ...slot) bool {
	return slices.ContainsFunc(words, func(w word) bool {
		return slices.ContainsFunc(w, func(p part) bool { return slices.Contains(slots, p.slot) })
	})
}

// parse reads a template. %RSYNC-ARGS% as a word of its own is several.
func (m *Maker) parse(template []string) []word {
	var out []word
	for _, s := range template {
		if s == "%RSYNC-ARGS%" {
			out = append(out, m.parse(m.rsyncArgs())...)
			continue
		}
		out = append(out, m.word(s))
	}
	return out
}

func (m *Maker) rsyncArgs() []string {
	if m.opt.PreferInclude {
		return []string{"-aH", "--delete", "--include-from", "%INCLUDE-LIST-PATH%", "--exclude=*"}
	}
	return []string{"-aH", "--delete", "--exclude-from", "%EXCLUDE-LIST-PATH%", "--include-from", "%INCLUDE-LIST-PATH%", "--exclude=*"}
}

// word reads one word: %name% is a macro, %% a per cent sign. What is no macro,
// and a per cent sign that has no second one, is left as it is.
func (m *Maker) word(s string) word {
	var w word
	text := func(t string) {
		if n := len(w); n > 0 && w[n-1].slot == slotText {
			w[n-1].text += t
			return
		}
		w = append(w, part{text: t})
	}
	whole := s
	for s != "" {
		before, rest, found := strings.Cut(s, "%")
		name, after, closed := strings.Cut(rest, "%")
		if !found || !closed {
			text(s)
			break
		}
		if before != "" {
			text(before)
		}
		switch p := m.macro(name); {
		case p.slot == slotText:
			text(p.text)
		case p.slot == slotNames && whole != p.text:
			// Among other text there is no place for several words: clsync puts
			// nothing there.
		default:
			w = append(w, p)
		}
		s = after
	}
	return w
}

func (m *Maker) macro(name string) part {
	p := part{text: "%" + name + "%"}
	switch name {
	case "":
		p.text = "%"
	case "INCLUDE-LIST":
		p.slot = slotNames
	case "INCLUDE-LIST-PATH":
		p.slot = slotInclude
	case "EXCLUDE-LIST-PATH":
		p.slot = slotExclude
	case "EVENT-MASK":
		p.slot = slotMask
	case "TYPE":
		p.slot = slotType
	case "RSYNC-ARGS":
		p.text = "" // among other text, as above
	case "PID":
		if m.opt.PID > 0 {
			p.text = strconv.Itoa(m.opt.PID)
		}
	default:
		if v, ok := m.value(name); ok {
			p.text = v
		}
	}
	return p
}

// value is that of an option; one that is not set leaves the macro as it is.
func (m *Maker) value(name string) (string, bool) {
	own := ""
	switch name {
	case "label":
		own = m.opt.Label
	case "watch-dir":
		own = m.opt.Watch
	case "destination-dir":
		own = m.opt.Destination
	case "mode":
		own = m.opt.Mode.String()
	}
	if own != "" {
		return own, true
	}
	v, ok := m.opt.Values[name]
	return v, ok
}

// call fills a template. each is the one entry of a call that is for it alone.
func (m *Maker) call(template []word, kind string, names []string, each *Entry) []Word {
	out := []Word{{{Text: m.opt.Path}}}
	for _, w := range template {
		if w.names() {
			for _, name := range names {
				out = append(out, Word{{Text: name}})
			}
			continue
		}
		filled := Word{}
		for _, p := range w {
			switch p.slot {
			case slotInclude:
				filled = append(filled, Piece{List: Include})
				continue
			case slotExclude:
				if m.opt.excludes() {
					filled = append(filled, Piece{List: Exclude})
					continue
				}
				p.text = "" // there is no such list
			case slotType:
				p.text = kind
			case slotMask:
				if each != nil {
					p.text = strconv.FormatUint(uint64(each.Mask), 10)
				}
			case slotText, slotNames:
			}
			filled = append(filled, Piece{Text: p.text})
		}
		out = append(out, filled)
	}
	return out
}

// Fill is the words of a call once its lists have paths.
func Fill(words []Word, path func(ListName) string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		for _, p := range w {
			if p.List != 0 {
				out[i] += path(p.List)
				continue
			}
			out[i] += p.Text
		}
	}
	return out
}

// listPath is room for the path of a list that has none yet.
const listPath = 4096

// longestType is the longest word that %TYPE% can become. (%EVENT-MASK% is longer
// than any mask.)
const longestType = "initialsync"

// pointer is what the kernel counts for a word beside its bytes and their NUL.
const pointer = 8

func weigh(text string) int { return len(text) + 1 + pointer }

// copies is how often a template has the names.
func copies(template []word) int {
	n := 0
	for _, w := range template {
		if w.names() {
			n++
		}
	}
	return n
}

// cost is the bytes of a call without its names, at most.
func (m *Maker) cost(template []word) int {
	n := weigh(m.opt.Path) + pointer
	for _, w := range template {
		if w.names() {
			continue
		}
		n += weigh("")
		for _, p := range w {
			switch p.slot {
			case slotInclude, slotExclude:
				n += listPath
			case slotType:
				n += len(longestType)
			default:
				n += len(p.text)
			}
		}
	}
	return n
}
