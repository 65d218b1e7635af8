package page

import (
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/timeline"
)

const rateHeight = 150.0

// rates is the throughput over time, laid out.
type rates struct {
	Height float64
	Bottom float64
	Lines  []line
	Ticks  []mark
	Levels []mark
	Step   float64 // seconds
}

type line struct{ Class, Name, Points, Peak string }

var rateNames = map[string][2]string{
	"dump": {"k-read", "read from the source"}, "restore": {"k-load", "loaded"}, "validate": {"k-check", "read back"}, "verify": {"k-check", "verified"},
}

func drawRates(r *report) *rates {
	t := r.Timeline
	if t == nil || len(t.Rates) == 0 || t.Step <= 0 || r.Seconds <= 0 {
		return nil
	}
	p := &rates{Bottom: rateHeight + 8, Height: rateHeight + 26, Step: t.Step}
	width := t.Step
	rest := t.Rates
	for r.Seconds/width > 120 { // no more points than can be told apart
		width *= 2
		rest = halve(rest)
	}
	p.Step = width
	peak := 0.0
	perSecond := make([][]float64, len(rest))
	for i, rate := range rest {
		for j, b := range rate.Bytes {
			// The last step is as wide as the run was in it.
			w := min(width, r.Seconds-float64(j)*width)
			v := max(float64(b), 0) / max(w, width/10)
			perSecond[i] = append(perSecond[i], v)
			peak = max(peak, v)
		}
	}
	if peak == 0 {
		return nil
	}
	unit := 1.0
	for peak/unit >= 1024 {
		unit *= 1024
	}
	step := nice(peak/unit/3) * unit
	top := step
	for top < peak {
		top += step
	}
	y := func(v float64) float64 { return 8 + rateHeight*(1-v/top) }
	for v := 0.0; v <= top*1.001; v += step {
		p.Levels = append(p.Levels, mark{Y: y(v), Label: strings.Replace(bytes(int64(v)), ".0 ", " ", 1) + "/s"})
	}
	x := func(s float64) float64 { return gutter + min(s, r.Seconds)*plotWidth/r.Seconds }
	for i, rate := range rest {
		var b strings.Builder
		most := 0.0
		for j, v := range perSecond[i] {
			from, to := float64(j)*width, float64(j+1)*width
			fmt.Fprintf(&b, "%.1f,%.1f %.1f,%.1f ", x(from), y(v), x(to), y(v))
			most = max(most, v)
		}
		name := rateNames[rate.Side]
		if name[0] == "" {
			name = [2]string{"k-ddl", rate.Side}
		}
		p.Lines = append(p.Lines, line{name[0], name[1], b.String(), bytes(int64(most)) + "/s"})
	}
	ticks := niceTime(r.Seconds / 9)
	for s := 0.0; s <= r.Seconds*1.0001; s += ticks {
		p.Ticks = append(p.Ticks, mark{X: x(s), Y: p.Bottom + 13, Label: tick(s, ticks)})
	}
	return p
}

func halve(in []timeline.Rate) []timeline.Rate {
	var out []timeline.Rate
	for _, r := range in {
		half := make([]int64, (len(r.Bytes)+1)/2)
		for i, n := range r.Bytes {
			half[i/2] += n
		}
		out = append(out, timeline.Rate{Side: r.Side, Bytes: half})
	}
	return out
}

// wait is a group of workers, and how much of their time they waited.
type wait struct {
	Name    string
	Workers int
	Busy    float64
	Waited  float64
	Share   string
	For     string
}

// waitsFor says what each group of workers waits for when it is not busy.
var waitsFor = map[string]string{
	"read":      "the target to take rows (in a direct run a reader's bar lasts until its rows are loaded)",
	"load":      "rows from the source, or tables that can be read back",
	"build":     "a table's last row, or locks that another builder holds",
	"define":    "the section before",
	"read back": "tables to be complete",
	"verify":    "the store",
}

func (v *view) waits() {
	if v.Picture == nil {
		return
	}
	for _, g := range v.Picture.Groups {
		if g.Lanes > 0 && g.Work+g.Waited > v.Report.Seconds/100 {
			v.Waits = append(v.Waits, wait{g.Name, g.Lanes, g.Work, g.Waited, g.Busy, waitsFor[g.Name]})
		}
	}
}
