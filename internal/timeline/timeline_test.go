package timeline

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// TestBounded: however many spans there are, few are kept, and their totals are exact.
func TestBounded(t *testing.T) {
	r := New(time.Now().Add(-time.Hour))
	const n = 20000
	var bytes int64
	for i := range n {
		// Work of the past: as if the clock had stood there.
		r.start = time.Now().Add(-time.Duration(i+1) * 50 * time.Millisecond)
		r.Add(Span{Side: "dump", Kind: "rows", Object: fmt.Sprint("t", i), Bytes: int64(i), Rows: 1}, 40*time.Millisecond)
		r.Passed("dump", int64(i), 40*time.Millisecond)
		r.Took("INDEX", fmt.Sprint("i", i), time.Duration(i)*time.Millisecond)
		bytes += int64(i)
	}
	tl := r.Timeline()
	if len(tl.Spans) > maxSpans || len(tl.Slowest) > maxSlow || len(tl.Rates) != 1 || len(tl.Rates[0].Bytes) > maxSteps {
		t.Errorf("%d spans, %d slowest, %d steps", len(tl.Spans), len(tl.Slowest), len(tl.Rates[0].Bytes))
	}
	var got Span
	for _, s := range tl.Spans {
		got.N += s.N
		got.Bytes += s.Bytes
		got.Rows += s.Rows
		got.Busy += s.Busy
		if s.Lane != 0 {
			t.Fatalf("the lane is another: %+v", s)
		}
	}
	if got.N != n || got.Bytes != bytes || got.Rows != n || math.Abs(got.Busy-n*0.04) > 1 {
		t.Errorf("the spans come to %+v", got)
	}
	if tl.Totals[0].N != n || math.Abs(tl.Totals[0].Busy-n*0.04) > 1 || tl.Totals[0].Lanes != 1 {
		t.Errorf("the total is %+v", tl.Totals[0])
	}
	var passed int64
	for _, b := range tl.Rates[0].Bytes {
		passed += b
	}
	if passed != bytes {
		t.Errorf("%d bytes passed, not %d", passed, bytes)
	}
	if tl.Slowest[0].Object != fmt.Sprint("i", n-1) || tl.Slowest[0].Seconds != (n-1)*0.001 {
		t.Errorf("the slowest is %+v", tl.Slowest[0])
	}
	if tl.Merged == 0 {
		t.Error("nothing tells that spans were put together")
	}
}

// TestLanes: what ran at the same time stands on lanes of its own, and no more of them than workers.
func TestLanes(t *testing.T) {
	now := time.Now()
	r := New(now.Add(-10 * time.Second))
	for _, s := range []struct{ from, to float64 }{{0, 1}, {2, 3}, {0.5, 4}, {3.3, 5}, {4.3, 6}} {
		r.start = time.Now().Add(-time.Duration(s.to * float64(time.Second)))
		r.Add(Span{Lane: -1, Side: "restore", Kind: "rows"}, time.Duration((s.to-s.from)*float64(time.Second)))
	}
	var lanes []int
	for _, s := range r.Timeline().Spans {
		lanes = append(lanes, s.Lane)
	}
	if fmt.Sprint(lanes) != "[0 1 0 0 1]" { // by their beginnings
		t.Errorf("lanes %v", lanes)
	}
}
