package pgsession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// endless yields rows for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("1\n", len(p)/2)), nil
}

// TestStandStill: a connection that hangs is cut, in every state; one whose server works, or whose rows are late, is not.
func TestStandStill(t *testing.T) {
	noSettings(t)
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "CREATE TABLE t (a int); CREATE TABLE locked (a int)")
	for _, k := range []struct {
		name   string
		freeze bool
		do     func(ctx context.Context, s *Session) error
	}{
		{"a statement that works", false, func(ctx context.Context, s *Session) error { return s.Do(ctx, "SELECT pg_sleep(4)") }},
		{"a COPY that waits for a lock", false, func(ctx context.Context, s *Session) error {
			go func() {
				_ = p.Exec(ctx, db, "BEGIN; LOCK TABLE public.locked; SELECT pg_sleep(4); COMMIT")
			}()
			time.Sleep(300 * time.Millisecond)
			_, err := s.CopyFrom(ctx, io.LimitReader(endless{}, 8<<20), "COPY public.locked FROM STDIN")
			return err
		}},
		{"rows that are late", false, func(ctx context.Context, s *Session) error {
			_, err := s.CopyFrom(ctx, &late{4 * time.Second}, "COPY public.t FROM STDIN")
			return err
		}},
		{"a writer that takes nothing", false, func(ctx context.Context, s *Session) error {
			_, err := s.CopyTo(ctx, &sleepy{d: 4 * time.Second}, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT")
			return err
		}},
		{"a statement's answer", true, func(ctx context.Context, s *Session) error { return s.Do(ctx, "SELECT 1") }},
		{"COPY FROM", true, func(ctx context.Context, s *Session) error {
			_, err := s.CopyFrom(ctx, io.LimitReader(endless{}, 64<<20), "COPY public.t FROM STDIN")
			return err
		}},
		{"COPY TO", true, func(ctx context.Context, s *Session) error {
			_, err := s.CopyTo(ctx, io.Discard, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 2000000)) TO STDOUT")
			return err
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			// Each has a relay of its own, to be frozen.
			relay := testbed.NewRelay(t, p.Addr())
			c := mustParse(t, p.URLThrough(relay.Addr(), db))
			c.StandStill = 500 * time.Millisecond
			s, err := Connect(t.Context(), c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.End()
			if k.freeze {
				go func() {
					if k.name != "a statement's answer" {
						for relay.Passed() < 1<<20 {
							time.Sleep(time.Millisecond)
						}
					}
					relay.Freeze()
				}()
				if k.name == "a statement's answer" {
					time.Sleep(50 * time.Millisecond)
				}
			}
			begun := time.Now()
			err = k.do(t.Context(), s)
			if !k.freeze {
				if err != nil {
					t.Fatalf("it was cut: %v", err)
				}
				return
			}
			if !Lost(err) || stream.KindOf(Explain(err, "x")) != stream.Outage || time.Since(begun) > 20*time.Second {
				t.Fatalf("after %v: %v", time.Since(begun), err)
			}
			// What the server still has of it can be ended.
			other, err := Connect(t.Context(), c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer other.End()
			if err := other.Bury(t.Context(), s.Backend); err != nil {
				t.Fatal(err)
			}
			if row, err := other.Row(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE pid = "+s.Backend.pid); err != nil || row[0] != "0" {
				t.Errorf("the backend is still there: %v %v", row, err)
			}
		})
	}
}

// late yields a row after a while, and no more.
type late struct{ d time.Duration }

func (l *late) Read(p []byte) (int, error) {
	if l.d == 0 {
		return 0, io.EOF
	}
	time.Sleep(l.d)
	l.d = 0
	return copy(p, "1\n"), nil
}

// sleepy takes its time once.
type sleepy struct{ d time.Duration }

func (s *sleepy) Write(p []byte) (int, error) {
	time.Sleep(s.d)
	s.d = 0
	return len(p), nil
}

// TestFreshConnections: each connection looks its host up anew and asks for its password.
func TestFreshConnections(t *testing.T) {
	noSettings(t)
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	c := mustParse(t, strings.Replace(strings.Replace(p.URL(db), "127.0.0.1", "db.example", 1), p.Password(), "wrong", 1))
	var lookups, asked atomic.Int64
	c.config.LookupFunc = func(context.Context, string) ([]string, error) {
		lookups.Add(1)
		return []string{"127.0.0.1"}, nil
	}
	if _, err := Connect(t.Context(), c, Options{}); stream.KindOf(err) != stream.Denied {
		t.Fatalf("with a wrong password: %v", err)
	}
	lookups.Store(0)
	c.Password = func(context.Context) (string, error) { asked.Add(1); return p.Password(), nil }
	for range 3 {
		s, err := Connect(t.Context(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.End()
	}
	if lookups.Load() < 3 || asked.Load() != 3 {
		t.Errorf("%d look-ups and %d passwords for 3 connections", lookups.Load(), asked.Load())
	}
	c.Password = func(context.Context) (string, error) { return "", errors.New("no token") }
	if _, err := Connect(t.Context(), c, Options{}); stream.KindOf(err) != stream.Denied || !strings.Contains(fmt.Sprint(err), "no token") {
		t.Errorf("without a token: %v", err)
	}
}

// TestHangUp: a server that hangs up while it greets, as one does that is being stopped, is an outage and tried again.
func TestHangUp(t *testing.T) {
	noSettings(t)
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	relay := testbed.NewRelay(t, p.Addr())
	var greetings atomic.Int64
	relay.Judge(func(b []byte) testbed.Verdict {
		if strings.Contains(string(b), "application_name") && greetings.Add(1) <= 2 {
			return testbed.HangUp
		}
		return testbed.Pass
	})
	c := mustParse(t, p.URLThrough(relay.Addr(), db))
	if _, err := Connect(t.Context(), c, Options{}); stream.KindOf(err) != stream.Outage {
		t.Errorf("a server that hangs up: %v", err)
	}
	s, err := Connect(t.Context(), c, Options{Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.End()
}

// TestUnseenBackend: a role whose settings make it another one, as those that are given out for a day do, may not see its own process.
// Nothing is known of it then: it is neither cut while it works, nor taken for ended.
func TestUnseenBackend(t *testing.T) {
	noSettings(t)
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "CREATE ROLE "+db+"_owner; CREATE ROLE "+db+"_today LOGIN PASSWORD 'x' IN ROLE "+db+"_owner; ALTER ROLE "+db+"_today SET role = '"+db+"_owner'")
	t.Cleanup(func() {
		_ = p.Exec(context.Background(), "postgres", "DROP ROLE "+db+"_today; DROP ROLE "+db+"_owner")
	})
	c := mustParse(t, p.URLAs(db+"_today", "x", db))
	c.StandStill = 300 * time.Millisecond
	s, err := Connect(t.Context(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	if row, err := s.Row(t.Context(), "SELECT current_user"); err != nil || row[0] != db+"_owner" {
		t.Fatalf("the session's role: %v, %v", row, err)
	}
	if err := s.Do(t.Context(), "SELECT pg_sleep(4)"); err != nil {
		t.Fatalf("it was cut: %v", err)
	}
	other, err := Connect(t.Context(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.End()
	if err := other.Bury(t.Context(), s.Backend); err == nil {
		if err := s.Do(t.Context(), "SELECT 1"); err == nil {
			t.Error("a process that lives was taken for ended")
		}
	}
}
