package pace

import (
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Names of the bars, in the order in which they are shown.
const (
	Read   = "dump data"
	Load   = "load data"
	Build  = "indexes"
	Check  = "read back"
	Verify = "verify"
)

var order = []string{Read, Load, Build, Check, Verify}

// least is what a chunk or an entry weighs on top of its bytes, so that empty tables weigh something.
const least = 8 << 10

// basis is how long something must have moved before its rate says how long the rest takes.
const basis = 3 * time.Second

// window is over how long a rate is measured.
const window = 30 * time.Second

// meter measures one kind of work of one side.
type meter struct {
	side        string
	rows        int64
	bytes       int64 // passed, those of unfinished chunks included
	most        int64 // the most that bytes ever were
	done        int   // chunks or entries that have ended
	running     int
	left        int           // still to come, the running ones included; only of a plan
	planned     float64       // the weight of all
	ended       float64       // the weight of what has ended
	endedBytes  int64         // what it really was, of what passed here
	passedEnded float64       // its weight
	took        time.Duration // of the workers, for entries that have ended
	hasPlan     bool
	samples     []sample
}

type sample struct {
	at    time.Time
	bytes int64
	done  float64
}

// meter returns the meter that work counts on, nil for work that has none.
func (t *Tally) meter(side string, what stream.Work, section stream.Section) *meter {
	name := ""
	switch {
	case what == stream.WorkEntry && section == stream.PostData:
		name = Build
	case what != stream.WorkChunk:
		return nil
	case side == "dump":
		name = Read
	case side == "restore":
		name = Load
	case side == "validate":
		name = Check
	case side == "verify":
		name = Verify
	default:
		return nil
	}
	m := t.meters[name]
	if m == nil {
		m = &meter{side: side}
		t.meters[name] = m
	}
	return m
}

// plan takes what is to come; a later one replaces what was still to come.
func (m *meter) plan(e stream.Event, now time.Time) {
	m.hasPlan = true
	m.left = e.Count
	m.planned = m.ended + float64(e.Bytes) + float64(e.Count)*least
	m.samples = nil
	m.sample(now, m.ended)
}

func (m *meter) pass(bytes int64, now time.Time) {
	m.bytes += bytes
	m.most = max(m.most, m.bytes)
	if len(m.samples) == 0 {
		m.sample(now, m.ended)
	}
}

func (m *meter) chunk(e stream.Event) {
	m.rows += e.Rows
	m.done++
	w := float64(e.Planned) + least
	m.ended += w
	if e.Text == stream.TakenBefore {
		return // the plan that follows counts what is left
	}
	m.left--
	m.endedBytes += e.Bytes
	m.passedEnded += w
}

func (m *meter) entry(e stream.Event) {
	m.took += e.Took
	if e.Count == 0 {
		return
	}
	m.done += e.Count
	m.left -= e.Count
	m.ended += float64(e.Planned) + least
}

// progress is the weight of what has ended and, by bytes, of what is under way.
func (m *meter) progress(jobs []*job) float64 {
	ratio := 1.0
	if m.endedBytes > 0 {
		ratio = m.passedEnded / float64(m.endedBytes)
	}
	done := m.ended
	for _, j := range jobs {
		done += j.weight(ratio)
	}
	return done
}

// weight is what has passed of a job, in the plan's measure. It isn't finished before it says so.
func (j *job) weight(ratio float64) float64 {
	return min(float64(j.bytes)*ratio, 0.99*(float64(j.Planned)+least))
}

// sample notes how far things are, and forgets what is older than the window.
func (m *meter) sample(now time.Time, done float64) {
	if n := len(m.samples); n > 0 && now.Sub(m.samples[n-1].at) < 500*time.Millisecond {
		return
	}
	m.samples = append(m.samples, sample{now, m.bytes, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= window {
		m.samples = m.samples[1:]
	}
}

// rate is bytes a second and weight a second over the window; not ok where it is too short to tell.
func (m *meter) rate(now time.Time, done float64) (bytes, weight float64, ok bool) {
	if len(m.samples) == 0 {
		return 0, 0, false
	}
	s := m.samples[0]
	took := now.Sub(s.at)
	if took <= 0 {
		return 0, 0, false
	}
	bytes = max(float64(m.bytes-s.bytes), 0) / took.Seconds()
	weight = max(done-s.done, 0) / took.Seconds()
	return bytes, weight, took >= basis
}
