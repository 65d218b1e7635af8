package main

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/timeline"
	"github.com/pgmove/pgmove/stream"
)

// ServerReport tells the version of a side's server, and of the pg_dump that told its schema.
type ServerReport struct {
	Side    string `json:"side"`
	Name    string `json:"name"` // with the version
	Version string `json:"version"`
	Tool    string `json:"pg_dump,omitempty"`
}

// Setting is a flag and what it was set to, if by nothing but its default.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Given bool   `json:"given,omitempty"`
}

// sizer is the ability of a source to tell what its tables take on disk, after it was closed too.
type sizer interface{ Sizes() []stream.DiskSize }

// reads notes which database a side is.
func (r *Report) reads(side string, db source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sides[side] = db
}

// describe adds what the sides' databases tell: versions, and what tables take on disk.
func (r *Report) describe() {
	sizes := map[string]map[[2]stream.Text]*stream.DiskSize{}
	for _, side := range []string{"source", "target"} {
		db := r.sides[side]
		if db == nil {
			continue
		}
		f := db.Facts()
		h := stream.Header{Engine: "postgresql", Source: f}
		if r.Contents != nil {
			h.Engine = r.Contents.Header.Engine // both sides are of one
		}
		r.Servers = append(r.Servers, ServerReport{Side: side, Name: serverName(&h), Version: f.Version, Tool: f.DumpTool})
		sized, ok := db.(sizer)
		if !ok {
			continue
		}
		all := sized.Sizes()
		sizes[side] = make(map[[2]stream.Text]*stream.DiskSize, len(all))
		for i := range all {
			sizes[side][[2]stream.Text{all[i].Namespace, all[i].Name}] = &all[i]
		}
	}
	if r.Contents == nil {
		return
	}
	for i := range min(len(r.Tables), len(r.Contents.Tables)) {
		t := &r.Contents.Tables[i].Table
		if t.LargeObjects {
			continue
		}
		name := [2]stream.Text{t.Namespace, t.Name}
		r.Tables[i].Source, r.Tables[i].Target = sizes["source"][name], sizes["target"][name]
	}
}

// record notes on the timeline what has ended. The caller holds r.mu.
func (r *Report) record(e stream.Event) {
	switch e.Kind {
	case stream.EventRows:
		r.times.Passed(e.Side, e.Bytes, 0)
	case stream.EventEntry:
		if desc, name := splitDesc(e.Object); e.Section == stream.PostData {
			r.times.Took(strings.ToLower(desc), name, e.Took)
		}
	case stream.EventChunk:
		if e.Text != stream.TakenBefore {
			r.passed[[2]any{e.Side, e.Worker}] = e
		}
	case stream.EventEnd:
		s := timeline.Span{Side: e.Side, Lane: e.Worker - 1, Object: e.Object, N: max(e.Count, 1)}
		switch {
		case e.What == stream.WorkAnalyze:
			s.Kind = "analyze"
		case e.What == stream.WorkEntry:
			s.Kind = kindOf(e.Object)
		default:
			s.Kind = map[string]string{"dump": "read", "restore": "load"}[e.Side]
			s.Kind = cmp.Or(s.Kind, "check")
			key := [2]any{e.Side, e.Worker}
			if done, ok := r.passed[key]; ok {
				s.Rows, s.Bytes = done.Rows, done.Bytes
				delete(r.passed, key)
			}
			if e.Parts > 1 {
				s.Object += fmt.Sprintf(", part %d of %d", e.Part+1, e.Parts)
			}
		}
		if e.Side == "validate" && r.phases["restore"] != "" {
			s.Side = "restore" // its workers read tables back while others are loaded
		}
		if s.Side == "restore" {
			switch {
			case e.Worker == 0:
				s.Group = "order"
			case e.Worker <= r.jobs:
				s.Group = "load"
			default:
				s.Group, s.Lane = "build", s.Lane-r.jobs
			}
		}
		r.times.Add(s, e.Took)
	}
}

// kindOf tells what applying an entry is, for the timeline.
func kindOf(object string) string {
	switch desc, _ := splitDesc(object); desc {
	case "INDEX", "CONSTRAINT":
		return "index"
	case "FK CONSTRAINT", "CHECK CONSTRAINT":
		return "constraint"
	case "MATERIALIZED VIEW DATA":
		return "view"
	}
	return "ddl"
}

// longDescs are pg_dump's kinds of more than one word; those that aren't listed lose no more than their second word.
var longDescs = []string{"FK CONSTRAINT", "CHECK CONSTRAINT", "MATERIALIZED VIEW DATA", "MATERIALIZED VIEW", "INDEX ATTACH",
	"TABLE ATTACH", "EVENT TRIGGER", "ROW SECURITY", "PUBLICATION TABLE", "DEFAULT ACL", "STATISTICS DATA", "SEQUENCE SET"}

// splitDesc parts "INDEX public.a" into kind and name.
func splitDesc(object string) (desc, name string) {
	for _, d := range longDescs {
		if rest, ok := strings.CutPrefix(object, d+" "); ok {
			return d, rest
		}
	}
	desc, name, _ = strings.Cut(object, " ")
	return desc, name
}

// secretName matches flags whose value is nobody's business.
var secretName = regexp.MustCompile(`password|secret|token|credential`)

// settings lists the command's flags without what names the sides, and without secrets.
func settings(c *cli.Context) []Setting {
	var out []Setting
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if slices.Contains([]string{"source", "target", "help"}, name) {
			continue
		}
		v := fmt.Sprint(c.Value(name))
		switch x := c.Value(name).(type) {
		case cli.StringSlice:
			v = strings.Join(x.Value(), ", ")
		case []string:
			v = strings.Join(x, ", ")
		case *outputs:
			v = strings.Join(*x, ", ")
		}
		given := c.IsSet(name)
		if v == "" || (v == "false" || v == "0") && !given {
			continue
		}
		if secretName.MatchString(name) {
			v = "(not shown)"
		}
		out = append(out, Setting{Name: name, Value: withoutUser(v), Given: given})
	}
	return out
}

// withoutUser takes user and password out of a URL.
func withoutUser(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		if strings.Contains(s, "://") && strings.Contains(s, "@") {
			return "(not shown)"
		}
		return s
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// machine tells what pgmove ran on, as far as its speed depends on it.
func machine() string {
	return fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
