// Package pace adds up a run's events to how far it is: what bars, logs and metrics show.
//
// It imports stream and nothing else of pgmove. It prints nothing and starts nothing: Observe takes the
// events, Status tells how things stand.
package pace

import (
	"sync"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Tally is how far a run is. Its methods may be called from several goroutines.
type Tally struct {
	mu      sync.Mutex
	clock   func() time.Time
	command string
	started time.Time
	moved   time.Time // when something last did
	phases  map[string]phase
	meters  map[string]*meter
	working map[worker]*job
	tables  map[table]*table0

	entries  int // applied
	retries  map[string]int
	warnings int
	told     map[string]bool
}

type phase struct {
	name  string
	began time.Time
}

// worker is one of a side's workers.
type worker struct {
	side string
	n    int
}

// job is what a worker is doing.
type job struct {
	stream.Event
	bytes int64
}

type table struct {
	side  string
	entry stream.DumpID
}

// table0 is what is known of a table whose chunks are being done.
type table0 struct {
	parts       int
	rows, bytes int64
	began       time.Time
}

// New returns the Tally of a command that begins now.
func New(command string) *Tally { return newTally(command, time.Now) }

func newTally(command string, clock func() time.Time) *Tally {
	now := clock()
	return &Tally{clock: clock, command: command, started: now, moved: now, phases: map[string]phase{}, meters: map[string]*meter{},
		working: map[worker]*job{}, tables: map[table]*table0{}, retries: map[string]int{}, told: map[string]bool{}}
}

// Finished is what an event brought to its end, for those who log it.
type Finished struct {
	// Phase is a phase of Side that has ended after Seconds, "" for none.
	Phase string
	// Table is a table of which the last chunk is done, "" for none.
	Table       string
	Side        string
	Rows, Bytes int64
	Seconds     float64
	// Fresh says of a warning or a retry that it was not told before.
	Fresh bool
}

// Observe takes an event, and returns what it brought to its end.
func (t *Tally) Observe(e stream.Event) Finished {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	var f Finished
	switch e.Kind {
	case stream.EventPhase:
		f = t.phase(e, now)
	case stream.EventPlan:
		if m := t.meter(e.Side, e.What, e.Section); m != nil {
			m.plan(e, now)
		}
	case stream.EventBegin:
		t.working[worker{e.Side, e.Worker}] = &job{Event: e}
		if m := t.meter(e.Side, e.What, e.Section); m != nil {
			m.running++
		}
	case stream.EventRows:
		t.moved = now
		if m := t.meter(e.Side, stream.WorkChunk, 0); m != nil {
			m.pass(e.Bytes, now)
		}
		if j := t.working[worker{e.Side, e.Worker}]; j != nil {
			j.bytes += e.Bytes
		}
	case stream.EventChunk:
		t.moved = now
		if m := t.meter(e.Side, stream.WorkChunk, 0); m != nil {
			m.chunk(e)
		}
		f = t.table(e, now)
	case stream.EventEntry:
		t.moved = now
		t.entries += e.Count
		if m := t.meter(e.Side, stream.WorkEntry, e.Section); m != nil {
			m.entry(e)
		}
	case stream.EventEnd:
		t.moved = now
		delete(t.working, worker{e.Side, e.Worker})
		if m := t.meter(e.Side, e.What, e.Section); m != nil {
			m.running--
		}
	case stream.EventRetry:
		t.retries[e.Side]++
		f.Fresh = true
	case stream.EventWarning:
		f.Fresh = !t.told[e.Text]
		if f.Fresh {
			t.told[e.Text] = true
			t.warnings++
		}
	}
	return f
}

func (t *Tally) phase(e stream.Event, now time.Time) Finished {
	t.moved = now
	was, ok := t.phases[e.Side]
	if e.Text == "" {
		delete(t.phases, e.Side)
	} else {
		t.phases[e.Side] = phase{e.Text, now}
	}
	if !ok {
		return Finished{}
	}
	return Finished{Phase: was.name, Side: e.Side, Seconds: now.Sub(was.began).Seconds()}
}

// table counts a table's chunks, on the side that the command is about.
func (t *Tally) table(e stream.Event, now time.Time) Finished {
	if e.Parts == 0 || e.Side != MainSide(t.command) {
		return Finished{}
	}
	k := table{e.Side, e.Entry}
	d := t.tables[k]
	if d == nil {
		d = &table0{began: now}
		t.tables[k] = d
	}
	if !e.Began.IsZero() && e.Began.Before(d.began) {
		d.began = e.Began
	}
	d.parts++
	d.rows += e.Rows
	d.bytes += e.Bytes
	if d.parts < e.Parts {
		return Finished{}
	}
	delete(t.tables, k)
	return Finished{Table: e.Object, Side: e.Side, Rows: d.rows, Bytes: d.bytes, Seconds: now.Sub(d.began).Seconds()}
}

// MainSide is the side whose rows count as a command's.
func MainSide(command string) string {
	switch command {
	case "run", "restore":
		return "restore"
	}
	return command
}
