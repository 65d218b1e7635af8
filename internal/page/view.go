package page

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// What is shown of lists that may be long; each tells how many there are in all.
const (
	maxTables = 500
	maxLines  = 200
)

// view is what the template shows.
type view struct {
	CSS    template.CSS
	JS     template.JS
	Policy string
	Report *report

	Tone     string // good, plain or bad
	Headline string
	Lead     string
	Next     []part
	When     string
	Route    string
	Figures  []figure
	Picture  *picture
	Waits    []wait
	Rates    *rates

	Differences lines
	Differing   []tableOfDiffering
	Warnings    lines
	Roles       lines // created on the target
	Unverified  lines
	TableCount  string
	Rows        []row
	Rest        *row
	AllRows     row
	HasSizes    bool
	Sizes       []sizeRow
	SizeNote    string
	SlowTables  []slow
	SlowOthers  []slow
	Kinds       []kindCount
	Given       []setting
	Defaults    []setting
	Versions    []setting
}

type figure struct{ Value, Name string }

// lines is a list that is cut, with its true length.
type lines struct {
	Shown []string
	More  int
	Total int
}

func cut(all []string) lines {
	return lines{all[:min(len(all), maxLines)], max(len(all)-maxLines, 0), len(all)}
}

type row struct {
	Name, Verdict, Tone, Note, Extra string
	Rows, Bytes                      int64
	Seconds                          float64
	Source, Target                   string
	SourceBytes, TargetBytes         int64
}

type sizeRow struct {
	Name             string
	Source, Target   string
	SourceW, TargetW float64 // of 100
	Change           string
	source, target   int64
}

type slow struct {
	Name, Kind string
	Seconds    float64
	W          float64 // of 100
}

type kindCount struct {
	Name string
	N    int
}

func newView(r *report) *view {
	v := &view{Report: r, When: r.Started.UTC().Format("2 January 2006, 15:04:05 UTC")}
	v.verdict()
	v.route()
	v.figures()
	v.Picture = draw(r)
	v.waits()
	v.Rates = drawRates(r)
	if r.Result != nil {
		v.Differences = cut(r.Result.Mismatches)
		v.Unverified = cut(r.Result.Unverified)
		v.differing()
	}
	v.Warnings, v.Roles = cut(r.Warnings), cut(r.Roles)
	v.tables()
	v.sizes()
	v.slowest()
	v.kinds()
	v.settings()
	return v
}

func (v *view) route() {
	var names []string
	for _, side := range []string{"source", "target"} {
		for _, c := range v.Report.Connections {
			if c.Side == side {
				names = append(names, c.Name)
			}
		}
	}
	v.Route = strings.Join(names, " → ")
}

// largeObjects reports whether a table of the contents stands for the large objects, and how many there are.
func (v *view) largeObjects(i int) (int64, bool) {
	c := v.Report.Contents
	if c == nil || i >= len(c.Tables) || !c.Tables[i].Table.LargeObjects {
		return 0, false
	}
	return c.Tables[i].Table.Rows, true
}

func (v *view) figures() {
	r := v.Report
	if r.Contents == nil && len(r.Tables) == 0 {
		v.Figures = []figure{{took(r.Seconds), "until the end"}}
		return
	}
	tables, blobs := int64(len(r.Tables)), int64(0)
	for i := range r.Tables {
		if n, ok := v.largeObjects(i); ok {
			tables, blobs = tables-1, n
		}
	}
	add := func(value, name string) { v.Figures = append(v.Figures, figure{value, name}) }
	v.TableCount = count(tables)
	add(v.TableCount, "tables")
	add(count(r.Rows), "rows")
	add(bytes(r.Bytes), "of rows")
	add(took(r.Seconds), "from start to end")
	if r.Seconds > 0 {
		add(bytes(int64(float64(r.Bytes)/r.Seconds))+"/s", "on average")
	}
	if c := r.Contents; c != nil {
		add(count(len(c.Schema)), "definitions")
		add(count(len(c.Sequences)), "sequences")
		if blobs > 0 {
			add(count(blobs), "large objects")
		}
	}
}

func (v *view) tables() {
	r := v.Report
	for i := range r.Tables {
		t := &r.Tables[i]
		w := row{Name: t.Name, Verdict: t.Verdict, Note: t.Note, Rows: t.Rows, Bytes: t.Bytes, Seconds: t.Seconds}
		if n, ok := v.largeObjects(i); ok {
			w.Extra = plural(n, "object", "objects") + ", in pieces of 256 KiB at most"
		}
		w.Tone = toneOf(t.Verdict)
		if t.Source != nil {
			w.SourceBytes = t.Source.total()
			w.Source, v.HasSizes = bytes(w.SourceBytes), true
		}
		if t.Target != nil {
			w.TargetBytes = t.Target.total()
			w.Target, v.HasSizes = bytes(w.TargetBytes), true
		}
		v.AllRows.SourceBytes += w.SourceBytes
		v.AllRows.TargetBytes += w.TargetBytes
		v.AllRows.Seconds += t.Seconds
		v.Rows = append(v.Rows, w)
	}
	v.AllRows.Rows, v.AllRows.Bytes = r.Rows, r.Bytes
	order := map[string]int{"bad": 0, "plain": 1, "good": 1}
	slices.SortStableFunc(v.Rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(order[a.Tone], order[b.Tone]), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	if len(v.Rows) <= maxTables {
		return
	}
	rest := row{Name: fmt.Sprintf("%s more tables", count(len(v.Rows)-maxTables))}
	verdicts := map[string]int{}
	for _, w := range v.Rows[maxTables:] {
		rest.Rows += w.Rows
		rest.Bytes += w.Bytes
		rest.Seconds += w.Seconds
		rest.SourceBytes += w.SourceBytes
		rest.TargetBytes += w.TargetBytes
		verdicts[w.Verdict]++
	}
	var parts []string
	for name, n := range verdicts {
		parts = append(parts, count(n)+" "+name)
	}
	slices.Sort(parts)
	rest.Verdict = strings.Join(parts, ", ")
	if len(parts) == 1 {
		for name := range verdicts {
			rest.Verdict, rest.Tone = "all "+name, toneOf(name)
		}
	}
	rest.Source, rest.Target = bytes(rest.SourceBytes), bytes(rest.TargetBytes)
	v.Rest, v.Rows = &rest, v.Rows[:maxTables]
}

func toneOf(verdict string) string {
	switch verdict {
	case "equal", "counted":
		return "good"
	case "different", "missing":
		return "bad"
	}
	return "plain"
}

// sizes compares what both sides take on disk, over the tables that both were asked for.
func (v *view) sizes() {
	data, index := sizeRow{Name: "tables"}, sizeRow{Name: "indexes"}
	both := 0
	for _, t := range v.Report.Tables {
		if t.Source == nil || t.Target == nil {
			continue
		}
		both++
		data.source += t.Source.Table
		data.target += t.Target.Table
		index.source += t.Source.Indexes
		index.target += t.Target.Indexes
	}
	if both == 0 {
		return
	}
	all := sizeRow{Name: "together", source: data.source + index.source, target: data.target + index.target}
	whole := float64(max(all.source, all.target, 1))
	for _, s := range []sizeRow{data, index, all} {
		s.Source, s.Target = bytes(s.source), bytes(s.target)
		s.SourceW, s.TargetW = 100*float64(s.source)/whole, 100*float64(s.target)/whole
		if s.source > 0 {
			s.Change = fmt.Sprintf("%+.0f %%", 100*float64(s.target-s.source)/float64(s.source))
			s.Change = strings.Replace(s.Change, "-", "−", 1)
		}
		v.Sizes = append(v.Sizes, s)
	}
	switch d := float64(all.target-all.source) / float64(max(all.source, 1)); {
	case d < -0.02:
		v.SizeNote = "The target is smaller: rows and indexes were written anew there, without the dead rows, the free space and the half-empty index pages that updates and deletes had left on the source."
	case d > 0.02:
		v.SizeNote = "The target is larger. Usual reasons: another default of TOAST compression or of fillfactor there, another major version, pages that several loaders left partly filled, or compression that the source's table had and a new value does not use."
	default:
		v.SizeNote = "Both take about the same room."
	}
}

func (v *view) slowest() {
	r := v.Report
	byTime := slices.Clone(r.Tables)
	slices.SortStableFunc(byTime, func(a, b table) int { return cmp.Compare(b.Seconds, a.Seconds) })
	for _, t := range byTime[:min(len(byTime), 10)] {
		if t.Seconds > 0 {
			v.SlowTables = append(v.SlowTables, slow{Name: t.Name, Seconds: t.Seconds})
		}
	}
	if r.Timeline != nil {
		for _, s := range r.Timeline.Slowest[:min(len(r.Timeline.Slowest), 10)] {
			v.SlowOthers = append(v.SlowOthers, slow{Name: s.Object, Kind: s.Kind, Seconds: s.Seconds})
		}
	}
	for _, list := range [][]slow{v.SlowTables, v.SlowOthers} {
		for i := range list {
			list[i].W = 100 * list[i].Seconds / list[0].Seconds
		}
	}
}

func (v *view) kinds() {
	if v.Report.Contents == nil {
		return
	}
	n := map[string]int{}
	for _, s := range v.Report.Contents.Schema {
		n[strings.ToLower(s.Desc)]++
	}
	for name, c := range n {
		v.Kinds = append(v.Kinds, kindCount{name, c})
	}
	slices.SortFunc(v.Kinds, func(a, b kindCount) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Name, b.Name)) })
}

func (v *view) settings() {
	r := v.Report
	for _, s := range r.Settings {
		if s.Given {
			v.Given = append(v.Given, s)
		} else {
			v.Defaults = append(v.Defaults, s)
		}
	}
	add := func(name, value string) {
		if value != "" {
			v.Versions = append(v.Versions, setting{Name: name, Value: value})
		}
	}
	add("pgmove", r.Tool)
	for _, s := range r.Servers {
		text := cmp.Or(s.Name, "PostgreSQL "+s.Version)
		if s.Tool != "" {
			text += ", its schema read by pg_dump " + s.Tool
		}
		add(s.Side, text)
	}
	if c := r.Contents; c != nil {
		if !slices.ContainsFunc(r.Servers, func(s server) bool { return s.Side == "source" }) {
			add("source", c.Header.Source.Version)
		}
		add("encoding", c.Header.Source.Encoding)
		add("snapshot", c.Header.Source.Snapshot)
		if !c.Header.Live {
			add("compression", c.Header.Compression)
		}
		if n := len(c.Header.Resumes); n > 0 {
			add("resumed", plural(n, "time under a new snapshot", "times under new snapshots"))
		}
	}
	add("run", r.Run)
	add("machine", r.Machine)
}
