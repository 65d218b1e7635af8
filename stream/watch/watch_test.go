package watch_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

func open(t *testing.T) (*watch.Store, *filestore.Store) {
	t.Helper()
	f, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return watch.New(f), f
}

func put(t *testing.T, s stream.Store, key, body string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(body)); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, s stream.Store, key string) string {
	t.Helper()
	r, err := s.Get(t.Context(), key, 0)
	if err != nil {
		t.Error(err)
		return ""
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestVisible(t *testing.T) {
	s, below := open(t)
	put(t, below, "before", "x") // not announced, but there
	var keys []string
	var follower sync.WaitGroup
	follower.Go(func() {
		for i := range 3 {
			key, err := s.Visible(t.Context(), i)
			if err != nil {
				t.Error(err)
			}
			keys = append(keys, key+"="+get(t, s, key))
		}
	})
	put(t, s, "a", "1")
	if err := s.Put(t.Context(), "failed", errReader{}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	put(t, s, "b", "2")
	put(t, s, "c", "3")
	follower.Wait()
	if got := strings.Join(keys, " "); got != "a=1 b=2 c=3" {
		t.Errorf("announced: %s", got)
	}
	if got := get(t, s, "before"); got != "x" {
		t.Errorf("read %q", got)
	}
	if _, err := s.Visible(t.Context(), -1); err == nil {
		t.Error("Visible takes a negative number")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// TestGetWaits: for its own key, through other announcements, and again after a Delete.
func TestGetWaits(t *testing.T) {
	s, _ := open(t)
	for _, body := range []string{"first", "second"} {
		got := make(chan string)
		go func() { got <- get(t, s, "k") }()
		put(t, s, "other", "x")
		put(t, s, "k", body)
		if b := <-got; b != body {
			t.Errorf("read %q, want %q", b, body)
		}
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
}

// TestNoPutIsMissed: a Put that falls between the looking and the waiting.
func TestNoPutIsMissed(t *testing.T) {
	for range 200 {
		s, _ := open(t)
		got := make(chan string)
		go func() { got <- get(t, s, "k") }()
		put(t, s, "k", "x")
		if b := <-got; b != "x" {
			t.Errorf("read %q", b)
		}
	}
}

func TestUnblock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		waiting := make(chan error, 2)
		wait := func(ctx context.Context) {
			go func() { _, err := s.Get(ctx, "k", 0); waiting <- err }()
			go func() { _, err := s.Visible(ctx, 1); waiting <- err }()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wait(ctx)
		for range 2 {
			if err := <-waiting; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waited until %v", err)
			}
		}
		wait(t.Context())
		time.Sleep(time.Second)
		s.CloseWithError(errBroken)
		s.CloseWithError(nil)
		wait(t.Context()) // also calls to come
		for range 4 {
			if err := <-waiting; !errors.Is(err, errBroken) {
				t.Errorf("waited until %v", err)
			}
		}
		// What needs no waiting goes on.
		put(t, s, "k", "x")
		if b := get(t, s, "k"); b != "x" {
			t.Errorf("read %q", b)
		}
		if key, err := s.Visible(t.Context(), 0); key != "k" || err != nil {
			t.Errorf("Visible = %q, %v", key, err)
		}
	})
}
