package restore_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
)

var quick = stream.Retry{Tries: 4, First: time.Millisecond, Most: 2 * time.Millisecond}

// tries counts tries by name.
type tries struct {
	mu sync.Mutex
	n  map[string]int
}

func (s *tries) next(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = map[string]int{}
	}
	s.n[name]++
	return s.n[name]
}

// TestOutages: chunks and entries that an outage stopped come again, beside chunks that wait for others, until it is over; what
// can't be outlasted, and what doesn't end, ends the restore.
func TestOutages(t *testing.T) {
	gone := stream.Fail(stream.Outage, "gone")
	needs := map[string]string{"31.dat": "load 12.dat", "12.dat": "load 13.dat"}
	for _, jobs := range []int{1, 2, 4} {
		var s tries
		f := &fake{copy: func(c stream.Chunk, log []string) error {
			if s.next(c.Key) <= 3 {
				return gone
			}
			if n := needs[c.Key]; n != "" && !slices.Contains(log, n) {
				return notYet{}
			}
			return nil
		}, exec: func(e *stream.Entry) error {
			if (e.Tag == "t3" || e.Tag == "refresh") && s.next(string(e.Tag)) <= 3 { // t3 fails its whole batch
				return gone
			}
			return nil
		}}
		var warnings tries
		if err := run(t, archive(t), f, restore.Options{Jobs: jobs, Retry: quick, Observe: func(e stream.Event) {
			if e.Kind == stream.EventRetry {
				warnings.next("all")
			}
		}}); err != nil {
			t.Fatal(err)
		}
		f.before(t, "load 13.dat", "load 12.dat", "load 31.dat", "index of t1")
		if n := warnings.n["all"]; n != 3*6 {
			t.Errorf("%d warnings", n)
		}
	}
	for _, c := range []struct {
		err  error
		want int // tries
	}{{gone, 4}, {stream.Last(gone), 1}, {stream.Fail(stream.Busy, "another"), 1}} {
		var s tries
		f := &fake{copy: func(c2 stream.Chunk, _ []string) error {
			if c2.Key == "12.dat" {
				s.next(c2.Key)
				return c.err
			}
			return nil
		}}
		if err := run(t, archive(t), f, restore.Options{Jobs: 2, Retry: quick}); !errors.Is(err, c.err) || s.n["12.dat"] != c.want {
			t.Errorf("%v: %v after %d tries", c.err, err, s.n["12.dat"])
		}
		s = tries{}
		f = &fake{exec: func(e *stream.Entry) error {
			if strings.HasPrefix(string(e.Tag), "index of t2") {
				s.next("x")
				return c.err
			}
			return nil
		}}
		if err := run(t, archive(t), f, restore.Options{Jobs: 1, Retry: quick}); !errors.Is(err, c.err) || s.n["x"] < c.want {
			t.Errorf("%v of an entry: %v after %d tries", c.err, err, s.n["x"])
		}
	}
}
