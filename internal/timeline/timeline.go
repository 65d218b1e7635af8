// Package timeline keeps what a run did when: spans of work on lanes, and how many bytes
// passed in each moment.
//
// It imports nothing of pgmove. Its memory is bounded, whatever the run: where there are too many
// spans, neighbours on a lane become one that says how many it stands for. Totals stay exact.
package timeline

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Limits of what is kept.
const (
	maxSpans = 2000
	maxSteps = 240
	maxSlow  = 40
)

// Span is work on a lane, or several pieces of the same work that stood close together. Times are
// in seconds since the run began.
type Span struct {
	Side string `json:"side"`
	// Group tells one kind of worker of a side from another, "" where there is but one. Lane numbers its lanes from 0.
	Group string  `json:"group,omitempty"`
	Lane  int     `json:"lane"`
	Kind  string  `json:"kind"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	// Object is what was worked on; of several the one that took longest.
	Object string `json:"object,omitempty"`
	// N is how many pieces the span stands for, and Busy how long they took together.
	N    int     `json:"n"`
	Busy float64 `json:"busy"`
	// Bytes and Rows are those that passed.
	Bytes int64 `json:"bytes,omitempty"`
	Rows  int64 `json:"rows,omitempty"`

	longest float64 // of the pieces
}

// Total sums up all spans of a kind on a side.
type Total struct {
	Side string  `json:"side"`
	Kind string  `json:"kind"`
	N    int     `json:"n"`
	Busy float64 `json:"busy"`
	// Lanes is how many worked on it at a time, at most.
	Lanes int `json:"lanes"`
}

// Slow is an object and how long the work on it took.
type Slow struct {
	Kind    string  `json:"kind"`
	Object  string  `json:"object"`
	Seconds float64 `json:"seconds"`
}

// Rate is how many bytes passed on a side in each step.
type Rate struct {
	Side  string  `json:"side"`
	Bytes []int64 `json:"bytes"`
}

// Timeline is what is kept, in its form for a report.
type Timeline struct {
	// Merged is the width, in seconds, of the gaps over which spans were put together; 0 where each is its own.
	Merged float64 `json:"merged,omitempty"`
	Spans  []Span  `json:"spans"`
	Totals []Total `json:"totals"`
	// Slowest lists what is no table's rows: indexes, constraints, views.
	Slowest []Slow `json:"slowest,omitempty"`
	// Step is the width of the rates' steps, in seconds.
	Step  float64 `json:"step"`
	Rates []Rate  `json:"rates"`
}

// Recorder takes spans as they end, from several goroutines. The zero value is not ready: see New.
type Recorder struct {
	mu     sync.Mutex
	start  time.Time
	spans  []Span
	merged float64
	lanes  map[string][]float64 // by side and group of kinds: when each lane's last span ended
	totals map[[2]string]*Total
	slow   map[[2]string]float64
	step   float64
	rates  map[string][]int64
}

// New returns a Recorder of a run that began at start.
func New(start time.Time) *Recorder {
	return &Recorder{start: start, lanes: map[string][]float64{}, totals: map[[2]string]*Total{}, slow: map[[2]string]float64{},
		step: 0.1, rates: map[string][]int64{}}
}

// Add notes work that ended now and took the given time. Where the lane is negative, pieces of which several
// ran at a time get lanes of their own, within the span's group.
func (r *Recorder) Add(s Span, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.To = time.Since(r.start).Seconds()
	s.From = max(s.To-took.Seconds(), 0)
	s.N = max(s.N, 1)
	s.Busy = s.To - s.From
	s.longest = s.Busy
	if s.Lane < 0 {
		s.Lane = r.lane(s.Side+" "+s.Group, s.From, s.To)
	}
	key := [2]string{s.Side, s.Kind}
	t := r.totals[key]
	if t == nil {
		t = &Total{Side: s.Side, Kind: s.Kind}
		r.totals[key] = t
	}
	t.N += s.N
	t.Busy += s.Busy
	t.Lanes = max(t.Lanes, s.Lane+1)
	if r.spans = append(r.spans, s); len(r.spans) > maxSpans {
		r.compact()
	}
}

// lane returns the lane for a span: of those that were free at its beginning the one that was busy
// last. For spans in the order of their ends that needs no more lanes than there are workers.
func (r *Recorder) lane(group string, from, to float64) int {
	const slack = 0.0005 // clocks are read one after the other
	best := -1
	ends := r.lanes[group]
	for i, e := range ends {
		if e <= from+slack && (best < 0 || e > ends[best]) {
			best = i
		}
	}
	if best < 0 {
		best = len(ends)
		r.lanes[group] = append(ends, to)
	}
	r.lanes[group][best] = to
	return best
}

// Took notes how long work on an object took, for the list of the slowest. Several notes add up.
func (r *Recorder) Took(kind, object string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow[[2]string{kind, object}] += took.Seconds()
	if len(r.slow) > 8*maxSlow {
		keep := r.slowest()
		clear(r.slow)
		for _, s := range keep[:4*maxSlow] {
			r.slow[[2]string{s.Kind, s.Object}] = s.Seconds
		}
	}
}

func (r *Recorder) slowest() []Slow {
	var all []Slow
	for k, s := range r.slow {
		all = append(all, Slow{k[0], k[1], s})
	}
	slices.SortFunc(all, func(a, b Slow) int { return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Object, b.Object)) })
	return all
}

// Passed notes bytes that passed on a side during the time before now.
func (r *Recorder) Passed(side string, bytes int64, during time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := time.Since(r.start).Seconds()
	from := max(to-during.Seconds(), 0)
	for int(to/r.step) >= maxSteps {
		r.widen()
	}
	first, last := int(from/r.step), int(to/r.step)
	b := r.rates[side]
	for len(b) <= last {
		b = append(b, 0)
	}
	each, left := bytes/int64(last-first+1), bytes
	for i := first; i < last; i++ {
		b[i] += each
		left -= each
	}
	b[last] += left
	r.rates[side] = b
}

// widen makes the steps of the rates twice as wide.
func (r *Recorder) widen() {
	r.step *= 2
	for side, b := range r.rates {
		half := make([]int64, (len(b)+1)/2)
		for i, n := range b {
			half[i/2] += n
		}
		r.rates[side] = half
	}
}

// compact puts neighbours on a lane together, over ever wider gaps, until half of the room is free.
func (r *Recorder) compact() {
	slices.SortFunc(r.spans, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.From, b.From))
	})
	now := time.Since(r.start).Seconds()
	for len(r.spans) > maxSpans/2 {
		r.merged = max(2*r.merged, now/4096)
		r.spans = merge(r.spans, r.merged)
		if r.merged > now {
			break
		}
	}
}

func merge(spans []Span, gap float64) []Span {
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 {
			if p := &out[n-1]; p.Side == s.Side && p.Group == s.Group && p.Lane == s.Lane && p.Kind == s.Kind && s.From-p.To < gap &&
				(p.longest < gap || s.longest < gap) {
				p.join(s)
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

func (s *Span) join(other Span) {
	if other.longest > s.longest {
		s.longest, s.Object = other.longest, other.Object
	}
	s.To = max(s.To, other.To)
	s.N += other.N
	s.Busy += other.Busy
	s.Bytes += other.Bytes
	s.Rows += other.Rows
}

// Timeline returns what was kept; nil of a nil Recorder.
func (r *Recorder) Timeline() *Timeline {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &Timeline{Merged: r.merged, Spans: slices.Clone(r.spans), Step: r.step}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	for i := range t.Spans {
		s := &t.Spans[i]
		s.From, s.To, s.Busy = round(s.From), round(s.To), round(s.Busy)
	}
	for _, total := range r.totals {
		total.Busy = round(total.Busy)
		t.Totals = append(t.Totals, *total)
	}
	slices.SortFunc(t.Totals, func(a, b Total) int { return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.Kind, b.Kind)) })
	t.Slowest = r.slowest()
	t.Slowest = t.Slowest[:min(len(t.Slowest), maxSlow)]
	for i := range t.Slowest {
		t.Slowest[i].Seconds = round(t.Slowest[i].Seconds)
	}
	for side, b := range r.rates {
		t.Rates = append(t.Rates, Rate{side, slices.Clone(b)})
	}
	slices.SortFunc(t.Rates, func(a, b Rate) int { return cmp.Compare(a.Side, b.Side) })
	return t
}

// round leaves tenths of milliseconds.
func round(s float64) float64 { return float64(int64(s*1e4+0.5)) / 1e4 }
