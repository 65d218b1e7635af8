package pace

import (
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// times is a clock that the test moves.
type times struct{ now time.Time }

func (c *times) after(d time.Duration) { c.now = c.now.Add(d) }

func begun(t *testing.T, command string) (*Tally, *times) {
	t.Helper()
	c := &times{time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
	return newTally(command, func() time.Time { return c.now }), c
}

func bar(t *testing.T, s Status, name string) Bar {
	t.Helper()
	for _, b := range s.Bars {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("no bar %q in %+v", name, s.Bars)
	return Bar{}
}

// A load of 10 chunks of 100 MB at 10 MB a second by the plan, of which the real size is half.
func TestETA(t *testing.T) {
	t.Parallel()
	y, clock := begun(t, "restore")
	const size = 100_000_000
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkChunk, Count: 10, Bytes: 10 * size})
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkEntry, Section: stream.PostData, Count: 4, Bytes: 4 * size})
	if b := bar(t, y.Status(), Load); b.ETA != nil || b.Ratio != 0 || b.Total != 10 {
		t.Errorf("at the start: %+v", b)
	}
	for chunk := range 10 {
		e := stream.Event{Kind: stream.EventBegin, Side: "restore", What: stream.WorkChunk, Object: "t", Entry: 1, Part: chunk, Parts: 10, Worker: 1, Planned: size, Began: clock.now}
		y.Observe(e)
		for range 10 {
			clock.after(time.Second)
			y.Observe(stream.Event{Kind: stream.EventRows, Side: "restore", Entry: 1, Worker: 1, Bytes: size / 20})
			b := bar(t, y.Status(), Load)
			if b.Ratio >= 1 {
				t.Fatalf("chunk %d is under way, and all is done: %+v", chunk, b)
			}
			if b.ETA == nil && y.Seconds() > 4 {
				t.Fatalf("after %.0f s nobody knows how long it takes: %+v", y.Seconds(), b)
			}
		}
		e.Kind, e.Rows, e.Bytes, e.Took = stream.EventChunk, 1000, size/2, 10*time.Second
		done := y.Observe(e)
		if (done.Table == "t") != (chunk == 9) {
			t.Errorf("chunk %d: %+v", chunk, done)
		}
		if chunk == 9 && (done.Rows != 10000 || done.Bytes != 5*size || done.Seconds != 100) {
			t.Errorf("the table: %+v", done)
		}
		e.Kind = stream.EventEnd
		y.Observe(e)
		if chunk == 4 {
			s := y.Status()
			if b := bar(t, s, Load); b.ETA == nil || *b.ETA < 45 || *b.ETA > 55 || b.Ratio < 0.499 || b.Ratio > 0.501 || b.Rate < 4e6 || b.Rate > 6e6 {
				t.Errorf("in the middle, where 50 s are left: %+v, %v", b, b.ETA)
			}
			if b := bar(t, s, Build); b.ETA != nil {
				t.Errorf("indexes wait for the rows, and their time is known: %+v", b)
			}
		}
	}
	if b := bar(t, y.Status(), Load); b.Ratio != 1 || b.ETA != nil || b.Rows != 10000 || b.Bytes != 5*size {
		t.Errorf("at the end: %+v", b)
	}
	// Indexes of one table, 20 s each.
	for n := range 4 {
		e := stream.Event{Kind: stream.EventBegin, Side: "restore", What: stream.WorkEntry, Section: stream.PostData, Object: "i", Worker: 2, Count: 1, Planned: size, Began: clock.now}
		y.Observe(e)
		for range 20 {
			clock.after(time.Second)
			y.Status()
		}
		b := bar(t, y.Status(), Build)
		if n == 2 && (b.ETA == nil || *b.ETA < 19 || *b.ETA > 21) {
			t.Errorf("after two of four indexes: %+v %v", b, b.ETA)
		}
		if n == 3 {
			clock.after(40 * time.Second)
			if b := bar(t, y.Status(), Build); b.ETA != nil {
				t.Errorf("an index takes much longer than those before, and it is known how long: %+v %v", b, *b.ETA)
			}
		}
		e.Kind, e.Took = stream.EventEntry, 20*time.Second
		y.Observe(e)
		e.Kind = stream.EventEnd
		y.Observe(e)
	}
	if b := bar(t, y.Status(), Build); b.Ratio != 1 || b.Done != 4 || b.Running != 0 {
		t.Errorf("at the end: %+v", b)
	}
}

// A chunk that comes again counts once, and the counters of metrics never go down.
func TestComesAgain(t *testing.T) {
	t.Parallel()
	y, clock := begun(t, "run")
	o := stream.Observer(func(e stream.Event) { y.Observe(e) })
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "dump", What: stream.WorkChunk, Count: 1, Bytes: 10 << 20})
	var most int64
	for try := range 3 {
		job := o.Begin(t.Context(), stream.Event{Side: "dump", What: stream.WorkChunk, Object: "t", Entry: 1, Parts: 1, Planned: 10 << 20})
		for range 5 {
			job.Pass(1 << 20)
			clock.after(time.Second)
			b := bar(t, y.Status(), Read)
			if b.MostBytes < most || b.Bytes > 10<<20 || b.Ratio > 0.6 {
				t.Fatalf("try %d: %+v", try, b)
			}
			most = b.MostBytes
		}
		if try == 2 {
			job.Done(7, 5<<20)
		}
		job.End()
		if try < 2 {
			o.Retry("dump", "t", "it comes again")
		}
	}
	s := y.Status()
	if b := bar(t, s, Read); b.Bytes != 5<<20 || b.MostBytes != 5<<20 || b.Rows != 7 || b.Done != 1 || b.Running != 0 || b.Ratio != 1 {
		t.Errorf("%+v", b)
	}
	if s.Retries != 2 || s.RetriesOf["dump"] != 2 || len(s.Working) != 0 {
		t.Errorf("%+v", s)
	}
}

// What an earlier process did counts as done; a second plan is of what is left.
func TestTakenBefore(t *testing.T) {
	t.Parallel()
	y, _ := begun(t, "run")
	for n := range 3 {
		y.Observe(stream.Event{Kind: stream.EventChunk, Side: "restore", What: stream.WorkChunk, Entry: 1, Part: n, Parts: 4, Planned: 1 << 20, Rows: 5, Text: stream.TakenBefore})
	}
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkChunk, Count: 1, Bytes: 1 << 20})
	if b := bar(t, y.Status(), Load); b.Ratio < 0.74 || b.Ratio > 0.76 || b.Done != 3 || b.Total != 4 || b.Rows != 15 {
		t.Errorf("%+v", b)
	}
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "restore", What: stream.WorkChunk})
	if b := bar(t, y.Status(), Load); b.Ratio != 1 || b.Total != 3 {
		t.Errorf("%+v", b)
	}
}

// Nothing is said of how long it takes while nothing moves.
func TestStalled(t *testing.T) {
	t.Parallel()
	y, clock := begun(t, "dump")
	y.Observe(stream.Event{Kind: stream.EventPlan, Side: "dump", What: stream.WorkChunk, Count: 2, Bytes: 2 << 20})
	y.Observe(stream.Event{Kind: stream.EventBegin, Side: "dump", What: stream.WorkChunk, Worker: 1, Planned: 1 << 20, Began: clock.now})
	y.Observe(stream.Event{Kind: stream.EventRows, Side: "dump", Worker: 1, Bytes: 1 << 19})
	for range 120 {
		clock.after(time.Second)
		y.Status()
	}
	s := y.Status()
	if b := bar(t, s, Read); b.ETA != nil || b.Rate != 0 || s.IdleSeconds != 120 {
		t.Errorf("%+v, idle %v", b, s.IdleSeconds)
	}
}
