package ask

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"lockstep/internal/escape"
)

// status is what people see of a status.
type status struct {
	Syncs []struct {
		Name, State, Why string
		Targets          []struct {
			Target, State, Why string
			Numbers            numbers
		}
	}
}

// numbers are those of a target that people see.
type numbers struct {
	Queue    uint64
	Big      uint64
	InFlight uint64 `json:"in_flight"`
	Doubt    uint64
	Synced   uint64
	LastSync int64 `json:"last_sync"`
}

// Text writes a result for a person.
func Text(w io.Writer, command string, result json.RawMessage) error {
	if command == "status" {
		return showStatus(w, result)
	}
	v, err := Value(result)
	if err != nil {
		return err
	}
	if said, ok := v.(map[string]any); ok && len(said) == 1 {
		for _, key := range []string{"text", "path"} {
			if text, ok := said[key].(string); ok {
				_, err := fmt.Fprintln(w, escape.Name(text))
				return err
			}
		}
	}
	return show(w, v, 0)
}

func showStatus(w io.Writer, result json.RawMessage) error {
	var s status
	if err := json.Unmarshal(result, &s); err != nil {
		return errors.New("the answer is no status")
	}
	var b strings.Builder
	for _, one := range s.Syncs {
		fmt.Fprintf(&b, "%s: %s%s\n", escape.Name(one.Name), escape.Name(one.State), reason(one.Why))
		for _, t := range one.Targets {
			n := t.Numbers
			fmt.Fprintf(&b, "  %s: %s%s; queue %d, in flight %d, in doubt %d, synced %d", escape.Name(t.Target), escape.Name(t.State), reason(t.Why),
				n.Queue+n.Big, n.InFlight, n.Doubt, n.Synced)
			if n.LastSync > 0 {
				b.WriteString(", last sync " + time.Unix(0, n.LastSync).Format(time.DateTime))
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func reason(why string) string {
	if why == "" {
		return ""
	}
	return " (" + escape.Name(why) + ")"
}

// show writes any value of JSON, a line each: name and value.
func show(w io.Writer, v any, depth int) error {
	indent := strings.Repeat("  ", depth)
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := member(w, indent+escape.Name(name)+":", v[name], depth); err != nil {
				return err
			}
		}
	case []any:
		for _, one := range v {
			if err := member(w, indent+"-", one, depth); err != nil {
				return err
			}
		}
	default:
		_, err := fmt.Fprintln(w, indent+scalar(v))
		return err
	}
	return nil
}

// member writes what stands behind a name, or a dash.
func member(w io.Writer, name string, v any, depth int) error {
	const deepest = 16
	nested := false
	switch v := v.(type) {
	case map[string]any:
		nested = len(v) > 0
	case []any:
		nested = len(v) > 0
	}
	if !nested || depth > deepest {
		_, err := fmt.Fprintln(w, strings.TrimRight(name+" "+scalar(v), " "))
		return err
	}
	if _, err := fmt.Fprintln(w, name); err != nil {
		return err
	}
	return show(w, v, depth+1)
}

func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any, []any:
		return ""
	case string:
		return escape.Name(v)
	default:
		return escape.Name(fmt.Sprint(v))
	}
}
