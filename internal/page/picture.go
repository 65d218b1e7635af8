package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/timeline"
)

// The pictures' measures, in the units of their view box.
const (
	pictureWidth = 1000.0
	gutter       = 118.0 // for the lanes' names
	plotWidth    = pictureWidth - gutter - 46
)

// picture is the timeline, laid out.
type picture struct {
	Height float64
	Ticks  []mark
	Bottom float64 // of the lanes
	Phases []bar
	Groups []group
	Lanes  []bar // the ground of each lane
	Bars   []bar
	Legend []kind
	Note   string
}

type mark struct {
	X, Y  float64
	Label string
}

// bar is a rectangle with its tooltip.
type bar struct {
	X, Y, W, H float64
	Class      string
	Title      string
	Label      string // what is written on it, "" where there is no room
}

// group is the lanes of one kind of worker.
type group struct {
	Name    string
	Y, H    float64
	Busy    string  // share
	Class   string  // of Busy
	Lanes   int     // how many
	Work    float64 // seconds that all lanes worked
	Waited  float64 // seconds that all lanes didn't, between the first and the last work of the group
	LongTip string
}

type kind struct{ Class, Name string }

// kinds tells the classes of the spans' kinds, in the order of the legend.
var kinds = []struct{ kind, class, name string }{
	{"read", "k-read", "rows read from the source"},
	{"load", "k-load", "rows loaded"},
	{"index", "k-index", "index or key built"},
	{"constraint", "k-fk", "constraint checked"},
	{"check", "k-check", "rows read back and compared"},
	{"analyze", "k-analyze", "statistics gathered"},
	{"view", "k-view", "materialized view filled"},
	{"ddl", "k-ddl", "other definitions"},
}

func classOf(k string) string {
	for _, known := range kinds {
		if known.kind == k {
			return known.class
		}
	}
	return "k-ddl"
}

// lanesOf orders the groups of lanes: the way that rows go.
var lanesOf = []struct{ side, lane, name string }{
	{"dump", "", "read"}, {"restore", "load", "load"}, {"restore", "build", "build"}, {"restore", "order", "define"},
	{"validate", "", "read back"}, {"verify", "", "verify"},
}

// groupOf tells which lanes a span stands on.
func groupOf(s *timeline.Span) int {
	for i, g := range lanesOf {
		if g.side == s.Side && (g.lane == "" || g.lane == s.Group) {
			return i
		}
	}
	return len(lanesOf) - 1
}

// draw lays the timeline out; nil where there is nothing to show.
func draw(r *report) *picture {
	if r.Timeline == nil || len(r.Timeline.Spans) == 0 || r.Seconds <= 0 {
		return nil
	}
	p := &picture{}
	scale := plotWidth / r.Seconds
	x := func(s float64) float64 { return gutter + min(max(s, 0), r.Seconds)*scale }
	y := p.phases(r, x, 6)
	byGroup := make([][]timeline.Span, len(lanesOf))
	used := map[string]bool{}
	for _, s := range r.Timeline.Spans {
		g := groupOf(&s)
		byGroup[g] = append(byGroup[g], s)
		used[classOf(s.Kind)] = true
	}
	for i, spans := range byGroup {
		if len(spans) > 0 {
			y = p.group(lanesOf[i].name, spans, x, y+12)
		}
	}
	p.Bottom = y + 4
	step := niceTime(r.Seconds / 9)
	for s := 0.0; s <= r.Seconds*1.0001; s += step {
		p.Ticks = append(p.Ticks, mark{X: x(s), Y: p.Bottom + 13, Label: tick(s, step)})
	}
	p.Height = p.Bottom + 18
	for _, k := range kinds {
		if used[k.class] {
			p.Legend = append(p.Legend, kind{k.class, k.name})
		}
	}
	if m := r.Timeline.Merged; m > 0 {
		p.Note = fmt.Sprintf("Pieces of work less than %s apart are drawn as one; totals are exact.", took(m))
	}
	return p
}

// phases draws a row for each side's phases, and returns where they end.
func (p *picture) phases(r *report, x func(float64) float64, y float64) float64 {
	var sides []string
	for _, s := range r.Sections {
		if !slices.Contains(sides, s.Side) {
			sides = append(sides, s.Side)
		}
	}
	const h = 15
	for _, side := range sides {
		p.Groups = append(p.Groups, group{Name: side, Y: y, H: h})
		for _, s := range r.Sections {
			if s.Side != side || s.Seconds < 0 {
				continue
			}
			from := s.Started.Sub(r.Started).Seconds()
			b := bar{X: x(from), Y: y, W: max(x(from+s.Seconds)-x(from), 0.8), H: h, Class: "phase",
				Title: fmt.Sprintf("%s: %s, from %s, for %s", side, s.Name, took(from), took(s.Seconds))}
			if float64(len(s.Name))*5.4+8 < b.W {
				b.Label = s.Name
			}
			p.Phases = append(p.Phases, b)
		}
		y += h + 3
	}
	return y
}

// group draws the lanes of one kind of worker.
func (p *picture) group(name string, spans []timeline.Span, x func(float64) float64, y float64) float64 {
	g := group{Name: name, Y: y}
	first, last := spans[0].From, 0.0
	for _, s := range spans {
		g.Lanes = max(g.Lanes, s.Lane+1)
		first, last = min(first, s.From), max(last, s.To)
		g.Work += s.Busy
	}
	pitch, thick := 13.0, 10.0
	switch {
	case g.Lanes > 64:
		pitch, thick = 2.5, 2
	case g.Lanes > 16:
		pitch, thick = 5, 4
	}
	whole := float64(g.Lanes) * (last - first)
	g.Waited = max(whole-g.Work, 0)
	g.Busy = percent(min(g.Work, whole), whole)
	g.H = float64(g.Lanes) * pitch
	g.LongTip = fmt.Sprintf("%s: %s, busy for %s of %s; they waited for %s in all", name, plural(g.Lanes, "worker", "workers"),
		took(g.Work), took(whole), took(g.Waited))
	p.Groups = append(p.Groups, g)
	for i := range g.Lanes {
		p.Lanes = append(p.Lanes, bar{X: x(first), Y: y + float64(i)*pitch, W: max(x(last)-x(first), 0.8), H: thick})
	}
	slices.SortStableFunc(spans, func(a, b timeline.Span) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.From, b.From))
	})
	for _, s := range spans {
		p.Bars = append(p.Bars, bar{X: x(s.From), Y: y + float64(s.Lane)*pitch, W: max(x(s.To)-x(s.From), 0.6), H: thick,
			Class: classOf(s.Kind), Title: tip(&s)})
	}
	return y + g.H
}

// tip is a span's tooltip.
func tip(s *timeline.Span) string {
	what := s.Object
	if s.N > 1 {
		what = fmt.Sprintf("%s, the longest of %s", s.Object, plural(s.N, "piece", "pieces"))
	}
	parts := []string{what}
	for _, k := range kinds {
		if k.kind == s.Kind {
			parts = append(parts, k.name)
		}
	}
	parts = append(parts, fmt.Sprintf("%s to %s: %s", took(s.From), took(s.To), took(s.To-s.From)))
	if s.N > 1 {
		parts = append(parts, took(s.Busy)+" of work")
	}
	if s.Rows > 0 {
		parts = append(parts, plural(s.Rows, "row", "rows"))
	}
	if s.Bytes > 0 {
		parts = append(parts, bytes(s.Bytes))
	}
	return strings.Join(parts, "\n")
}
