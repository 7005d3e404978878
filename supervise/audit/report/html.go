package report

import (
	"html/template"
	"io"

	"lockstep/supervise/audit"
	"lockstep/supervise/audit/judge"
)

// HTML writes a page of its own.
func HTML(w io.Writer, r audit.Report) error {
	t, err := template.New("audit").Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, view(r))
}

// Page is what the template shows.
type pageView struct {
	audit.Report
	Summary   string
	Instances []instanceView
}

type instanceView struct {
	Where, Group  string
	Width, Height int
	Boxes         []box
	Notes         []string
}

// box is a process in the picture.
type box struct {
	audit.Process
	Name          string
	State         judge.State
	X, Y          int
	TextX, FirstY int
	SecondY       int
	Wide, High    int
	FromX, FromY  int // of the line from its parent
	ToX, ToY      int
	HasParent     bool
	Observed      int
}

// The picture's measures.
const (
	boxWide, boxHigh = 250, 44
	stepX, stepY     = 300, 56
	margin           = 12
)

func view(r audit.Report) pageView {
	v := pageView{Report: r, Summary: Summary(r)}
	for _, in := range r.Instances {
		v.Instances = append(v.Instances, draw(in))
	}
	return v
}

// draw places each process to the right of its parent, one a row.
func draw(in audit.Instance) instanceView {
	v := instanceView{Where: where(in), Group: in.Group, Notes: in.Notes}
	at := map[int]box{}
	for row, p := range in.Processes {
		b := box{Process: p, Name: clip(Name(p)), State: judge.Declared, X: margin, Y: margin + row*stepY, Wide: boxWide, High: boxHigh}
		if p.Deviates() {
			b.State = judge.Deviates
		}
		for _, c := range p.Checks {
			if c.State != judge.Unseen {
				b.Observed++
			}
		}
		if up, ok := at[p.Parent]; ok {
			b.X, b.HasParent = up.X+stepX, true
			b.FromX, b.FromY = up.X+boxWide/2, up.Y+boxHigh
			b.ToX, b.ToY = b.X, b.Y+boxHigh/2
		}
		b.TextX, b.FirstY, b.SecondY = b.X+margin, b.Y+18, b.Y+35
		at[p.PID] = b
		v.Boxes = append(v.Boxes, b)
		v.Width, v.Height = max(v.Width, b.X+boxWide+margin), b.Y+boxHigh+margin
	}
	return v
}

// clip shortens a name for its box; the table has all of it.
func clip(name string) string {
	const most = 32
	if r := []rune(name); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return name
}

const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>lockstep audit self</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
p.sum { padding: .6rem .9rem; border-left: 5px solid #2a7d46; background: #eef7f1 } p.bad { border-color: #b3261e; background: #fdeeed }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem } td, th { text-align: left; vertical-align: top; padding: .2rem .6rem; border-bottom: 1px solid #d9dee3 }
th { font-weight: 600 } td.s { white-space: nowrap } .deviates { color: #b3261e; font-weight: 600 } .unseen { color: #687077 }
ul { margin: .2rem 0; padding-left: 1.1rem } summary { cursor: pointer; padding: .25rem 0 } .notes { color: #4a5157 }
svg { max-width: 100%; height: auto } svg rect { fill: #eef7f1; stroke: #2a7d46 } svg rect.deviates { fill: #fdeeed; stroke: #b3261e; stroke-width: 2 }
svg path { fill: none; stroke: #8b949c } svg text { font: 13px system-ui, sans-serif; fill: #1b1f24 } svg text.small { font-size: 11px; fill: #4a5157 }
</style></head><body>
<h1>lockstep audit self</h1>
<p class="sum{{if .Deviations}} bad{{end}}">{{.Summary}}</p>
<p>lockstep {{.Version}} ({{.Build}})</p>
{{range .Instances}}
<h2>{{.Where}}, control group {{.Group}}</h2>
<svg viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-label="the processes of this lockstep">
{{range .Boxes}}{{if .HasParent}}<path d="M{{.FromX}} {{.FromY}} V{{.ToY}} H{{.ToX}}"/>
{{end}}<rect x="{{.X}}" y="{{.Y}}" width="{{.Wide}}" height="{{.High}}" rx="6" class="{{.State}}"/>
<text x="{{.TextX}}" y="{{.FirstY}}">{{.Name}}</text>
<text x="{{.TextX}}" y="{{.SecondY}}" class="small">pid {{.PID}}, {{.State}}, {{.Observed}} checks</text>
{{end}}</svg>
{{range .Boxes}}<details{{if .Deviates}} open{{end}}><summary>{{.PID}} {{.Role}} {{.Sync}} {{.Target}}</summary>
<table><tr><th>check</th><th>state</th><th>declared</th></tr>
{{range .Checks}}<tr><td class="s">{{.Check}}</td><td class="s {{if eq .State "deviates"}}deviates{{else if eq .State "not observable"}}unseen{{end}}">{{.State}}</td><td>{{.What}}{{if .Deviations}}<ul class="deviates">{{range .Deviations}}<li>{{.}}</li>{{end}}</ul>{{end}}</td></tr>
{{end}}</table></details>
{{end}}{{if .Notes}}<ul class="notes">{{range .Notes}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{else}}<p>No lockstep runs on this host as root.</p>
{{end}}{{if .Notes}}<ul class="notes">{{range .Notes}}<li>{{.}}</li>{{end}}</ul>{{end}}
</body></html>
`
