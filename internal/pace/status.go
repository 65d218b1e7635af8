package pace

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Status is how far a run is. Its JSON form is what /progress answers.
type Status struct {
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// IdleSeconds is for how long nothing has moved.
	IdleSeconds float64   `json:"idle_seconds"`
	Phases      []Phase   `json:"phases"`
	Bars        []Bar     `json:"bars"`
	Working     []Working `json:"working"`
	Rows        int64     `json:"rows"`
	Bytes       int64     `json:"bytes"`
	Entries     int       `json:"entries"`
	Retries     int       `json:"retries"`
	Warnings    int       `json:"warnings"`

	// RetriesOf are the retries by side.
	RetriesOf map[string]int `json:"-"`
}

// Phase is what a side is at.
type Phase struct {
	Side    string  `json:"side"`
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Bar is how far one kind of work is.
type Bar struct {
	Name  string `json:"name"`
	Side  string `json:"side"`
	Rows  int64  `json:"rows"`  // of finished chunks
	Bytes int64  `json:"bytes"` // passed, those of unfinished chunks included
	// Done, Running and Total count chunks, or entries; Total is 0 as long as there is no plan.
	Done    int `json:"done"`
	Running int `json:"running"`
	Total   int `json:"total"`
	// Ratio is from 0 to 1, of bytes by the source's estimates; 1 once all has ended, and not before.
	Ratio float64 `json:"ratio"`
	Rate  float64 `json:"bytes_per_second"`
	// ETA is how many seconds the rest takes at the present rate; nil as long as nobody knows.
	ETA *float64 `json:"eta_seconds"`

	// MostBytes never goes down, as Bytes does where a chunk comes again.
	MostBytes int64 `json:"-"`
}

// Working is what a worker does now.
type Working struct {
	Side   string `json:"side"`
	What   string `json:"what"` // read, load, check, apply or analyze
	Object string `json:"object"`
	// Part counts from 1.
	Part    int     `json:"part,omitempty"`
	Parts   int     `json:"parts,omitempty"`
	Count   int     `json:"count,omitempty"` // of entries in one transaction
	Worker  int     `json:"worker"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

var sides = []string{"dump", "restore", "validate", "verify"}

// Status returns how far the run is.
func (t *Tally) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	s := Status{Command: t.command, Started: t.started, Seconds: now.Sub(t.started).Seconds(), IdleSeconds: now.Sub(t.moved).Seconds(),
		Phases: []Phase{}, Bars: []Bar{}, Working: t.work(now), Entries: t.entries, Warnings: t.warnings, RetriesOf: map[string]int{}}
	for _, side := range sides {
		if p, ok := t.phases[side]; ok {
			s.Phases = append(s.Phases, Phase{side, p.name, now.Sub(p.began).Seconds()})
		}
		s.Retries += t.retries[side]
		if n := t.retries[side]; n > 0 {
			s.RetriesOf[side] = n
		}
	}
	for _, name := range order {
		m := t.meters[name]
		if m == nil || m.done+max(m.left, 0)+m.running == 0 {
			continue
		}
		b := t.bar(name, m, now)
		s.Bars = append(s.Bars, b)
		if b.Side == MainSide(t.command) && name != Build {
			s.Rows, s.Bytes = b.Rows, b.Bytes
		}
	}
	return s
}

func (t *Tally) bar(name string, m *meter, now time.Time) Bar {
	var jobs []*job
	for w, j := range t.working {
		if w.side == m.side && j.What == stream.WorkChunk && name != Build {
			jobs = append(jobs, j)
		}
	}
	done := m.progress(jobs)
	bytes, weight, known := m.rate(now, done)
	m.sample(now, done)
	b := Bar{Name: name, Side: m.side, Rows: m.rows, Bytes: m.bytes, MostBytes: m.most, Done: m.done, Running: m.running, Rate: math.Round(bytes)}
	if !m.hasPlan {
		return b
	}
	b.Total = m.done + max(m.left, 0)
	switch {
	case m.left <= 0:
		b.Ratio, b.Rate = 1, 0
		return b
	case m.planned > 0:
		b.Ratio = math.Round(max(min(done/m.planned, 0.999), 0)*1e4) / 1e4
	}
	if name == Build {
		b.ETA = t.building(m, now)
		return b
	}
	if known && weight > 0 {
		eta := math.Ceil((m.planned - done) / weight)
		b.ETA = &eta
	}
	return b
}

// building returns how many seconds entries take that are still to come. An index tells nothing until it is built: those that were built
// tell how long a byte of a table takes. Nobody knows while rows are loaded, which indexes wait for, and where one takes
// much longer than that.
func (t *Tally) building(m *meter, now time.Time) *float64 {
	if !t.loaded() || m.took < basis || m.ended < m.planned/100 {
		return nil
	}
	rate := m.took.Seconds() / m.ended
	left, longest, running := (m.planned-m.ended)*rate, 0.0, 0
	for w, j := range t.working {
		if w.side != m.side || j.What != stream.WorkEntry {
			continue
		}
		running++
		own, gone := (float64(j.Planned)+least)*rate, now.Sub(j.Began).Seconds()
		if gone > 1.5*own+basis.Seconds() {
			return nil
		}
		left -= min(own, gone)
		longest = max(longest, own-gone)
	}
	eta := math.Ceil(max(left/float64(max(running, 1)), longest, 1))
	return &eta
}

// loaded reports whether all rows are in.
func (t *Tally) loaded() bool {
	m := t.meters[Load]
	return m == nil || m.hasPlan && m.left <= 0
}

// work lists what is being done, the longest first.
func (t *Tally) work(now time.Time) []Working {
	list := []Working{}
	for w, j := range t.working {
		if w.side == "dump" && t.isLoaded(j) {
			continue // in a direct run it is the same rows
		}
		v := Working{Side: w.side, What: verb(w.side, j.What), Object: j.Object, Parts: j.Parts, Count: j.Count, Worker: w.n,
			Bytes: j.bytes, Seconds: now.Sub(j.Began).Seconds()}
		if j.Parts > 0 {
			v.Part = j.Part + 1
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b Working) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Worker, b.Worker))
	})
	return list
}

// isLoaded reports whether what is read is being loaded at the same time.
func (t *Tally) isLoaded(read *job) bool {
	for w, j := range t.working {
		if w.side == "restore" && j.What == stream.WorkChunk && j.Entry == read.Entry && j.Part == read.Part {
			return true
		}
	}
	return false
}

func verb(side string, what stream.Work) string {
	switch {
	case what == stream.WorkEntry:
		return "apply"
	case what == stream.WorkAnalyze:
		return "analyze"
	case side == "dump":
		return "read"
	case side == "restore":
		return "load"
	}
	return "check"
}

// Seconds is for how long the run has gone on.
func (t *Tally) Seconds() float64 { return t.clock().Sub(t.started).Seconds() }
