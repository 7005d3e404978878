package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"lockstep/trail"
)

// Limits says what was not shown, for want of a key or of an anchor.
func Limits(r Result, o Options) []string {
	var out []string
	if o.Seed == nil && r.Signed <= r.Last {
		out = append(out, fmt.Sprintf("records %d to %d are covered by no signature yet: without the seed, who can write to the file could have made them", max(r.Signed, r.First), r.Last))
	}
	if o.Seed == nil && (o.Public == "" || r.First > 0) { // the public key is that of the beginning
		out = append(out, "without the public key and the beginning, or the seed, all of it may be of somebody who began another trail in its place")
	}
	if r.First > 0 {
		out = append(out, fmt.Sprintf("what was before record %d was not looked at", r.First))
	}
	if _, told := o.Anchors[r.Last]; told {
		return out
	}
	if r.Stopped {
		return append(out, fmt.Sprintf("it ends with a stop, of the last run or of an earlier one: whether later runs were behind record %d, and were cut off, only an anchor shows", r.Last))
	}
	return append(out, fmt.Sprintf("it ends without a stop: lockstep runs or was killed, or what was behind record %d was cut off; only an anchor shows that", r.Last))
}

// Words says in lines what was found.
func Words(r Result, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "trail %s: %d records in %d file(s), %d to %d, are what was written\n", trail.Printable(r.Trail), r.Records, r.Files, r.First, r.Last)
	fmt.Fprintf(&b, "its last record: %d:%s\n", r.Last, r.Sum)
	if r.Lost > 0 {
		fmt.Fprintf(&b, "%d event(s) could not be recorded, and are counted in it\n", r.Lost)
	}
	if r.Torn > 0 {
		fmt.Fprintf(&b, "%d line(s) were not written to their end, which it accounts for\n", r.Torn)
	}
	for _, l := range Limits(r, o) {
		b.WriteString("note: " + l + "\n")
	}
	return b.String()
}

// Counts counts records. The zero value is ready.
type Counts struct {
	rows    map[Row]uint64
	first   string
	last    string
	runs    uint64
	unclean uint64
}

// Row is what is counted together.
type Row struct {
	Sync    string        `json:"sync,omitempty"`
	Target  string        `json:"target,omitempty"`
	Type    trail.Type    `json:"type"`
	Rule    string        `json:"rule,omitempty"`
	Outcome trail.Outcome `json:"outcome"`
}

// Counted is a row and how many records there are of it.
type Counted struct {
	Row
	Records uint64 `json:"records"`
}

// Report is a summary; its names are stable.
type Report struct {
	Result  Result    `json:"result"`
	Begin   string    `json:"begin"` // times
	End     string    `json:"end"`
	Runs    uint64    `json:"runs"`
	Unclean uint64    `json:"unclean"` // of them, after one without a stop
	Rows    []Counted `json:"rows"`
}

// Add counts a record.
func (c *Counts) Add(r trail.Record) {
	if c.rows == nil {
		c.rows, c.first = map[Row]uint64{}, r.TS
	}
	c.last = r.TS
	if r.Type == trail.Start {
		c.runs++
		if r.Facts.Unclean {
			c.unclean++
		}
	}
	c.rows[Row{r.Object.Sync, r.Object.Target, r.Type, r.Why.Rule, r.Outcome}]++
}

// Report is the summary of what was counted.
func (c *Counts) Report(r Result) Report {
	out := Report{Result: r, Begin: c.first, End: c.last, Runs: c.runs, Unclean: c.unclean, Rows: []Counted{}}
	for row, n := range c.rows {
		out.Rows = append(out.Rows, Counted{row, n})
	}
	slices.SortFunc(out.Rows, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(a.Sync, b.Sync), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

// Text is the summary as a table.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trail %s: %d records from %s to %s; %d start(s), %d of them after an end without a stop; %d event(s) lost\n\n",
		trail.Printable(r.Result.Trail), r.Result.Records, trail.Printable(r.Begin), trail.Printable(r.End), r.Runs, r.Unclean, r.Result.Lost)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYNC\tTARGET\tTYPE\tRULE\tOUTCOME\tRECORDS")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", dash(row.Sync), dash(row.Target), dash(string(row.Type)), dash(row.Rule), dash(string(row.Outcome)), row.Records)
	}
	_ = w.Flush() // into memory
	return b.String()
}

// dash shows a text of the trail, which somebody else may have written.
func dash(s string) string { return cmp.Or(trail.Printable(s), "-") }
