package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
)

var impatient = stream.WaitOptions{Every: 3 * time.Millisecond, Silence: 400 * time.Millisecond, Begin: 5 * time.Second}

// dumpTo writes a sample as dump does, slowly.
func dumpTo(ctx context.Context, store stream.Store, run string, pause time.Duration, mac stream.MACKey) (*sample, error) {
	w := stream.NewWriter(store, false, stream.Zstd)
	w.Authenticate(mac)
	s := newSample(w, false)
	claimed, err := w.Claim(ctx, run)
	if err == nil {
		err = func() error {
			h, err := w.Begin(claimed, stream.Header{Run: run}, s.entries, s.chunks)
			if err != nil {
				return err
			}
			for _, c := range s.chunks {
				time.Sleep(pause)
				if claimed.Err() != nil {
					return context.Cause(claimed)
				}
				if _, err := w.WriteChunk(claimed, c, fill(s.rows[c.Key], 100)); err != nil {
					return err
				}
			}
			return w.Seal(claimed, []stream.NamedObject{{Key: "toc.dat", Data: []byte("an index")}}, stream.NewContents(h, s.entries, w.Records()))
		}()
		w.Fail(ctx, err)
	}
	return s, err
}

// restoreFrom waits for an archive and reads all of it.
func restoreFrom(ctx context.Context, store stream.Store, o stream.WaitOptions) (rows map[string][]byte, r *stream.Reader, err error) {
	if r, err = stream.Wait(ctx, store, "there", o); err != nil {
		return nil, nil, err
	}
	if err := begin(ctx, r); err != nil {
		return nil, r, err
	}
	rows = map[string][]byte{}
	for {
		c, err := r.Next(ctx)
		if err == io.EOF {
			return rows, r, r.Confirm(ctx)
		}
		if err != nil {
			return rows, r, err
		}
		cr, err := r.OpenChunk(ctx, c)
		if err != nil {
			return rows, r, err
		}
		b, err := io.ReadAll(cr)
		if err == nil {
			_, err = cr.Verify(-1)
		}
		if err != nil {
			cr.GiveBack(err, false)
			return rows, r, err
		}
		if err := cr.Close(); err != nil {
			return rows, r, err
		}
		rows[c.Key] = b
	}
}

// TestWait: whichever side begins, all rows come over, and the reader has the manifest at the end.
func TestWait(t *testing.T) {
	key := stream.MACKey("a secret of both sides")
	for name, c := range map[string]struct{ dumpAfter, restoreAfter time.Duration }{
		"the reader first": {dumpAfter: 100 * time.Millisecond}, "the dump first": {restoreAfter: 30 * time.Millisecond}, "when all is over": {restoreAfter: 600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			store := &memory{}
			var s *sample
			dumped := make(chan error, 1)
			go func() {
				time.Sleep(c.dumpAfter)
				var err error
				s, err = dumpTo(ctx, store, "run-1", 15*time.Millisecond, key)
				dumped <- err
			}()
			time.Sleep(c.restoreAfter)
			o := impatient
			o.MAC = key
			rows, r, err := restoreFrom(ctx, store, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-dumped; err != nil {
				t.Fatal(err)
			}
			for k, want := range s.rows {
				if got, ok := rows[k]; !ok || !bytes.Equal(got, want) {
					t.Errorf("chunk %s: %d bytes instead of %d", k, len(got), len(want))
				}
			}
			if m := r.Manifest(); m == nil || len(m.Contents.Tables) != len(s.entries) {
				t.Error("there is no manifest at the end")
			}
		})
	}
}

// TestWaitInVain: what never comes ends in a Failure that says so, of the kind that tells what to do.
func TestWaitInVain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	expect := func(name string, err error, kind stream.Kind, words string) {
		t.Helper()
		if stream.KindOf(err) != kind || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: kind %d, %v", name, stream.KindOf(err), err)
		}
	}
	o := impatient
	o.Begin = 50 * time.Millisecond
	_, _, err := restoreFrom(ctx, &memory{}, o)
	expect("no dump", err, stream.Outage, "no dump has begun")

	// The dump dies in the middle, without a word.
	store := &memory{}
	dctx, kill := context.WithCancel(ctx)
	w := stream.NewWriter(store, false, stream.None)
	s := newSample(w, false)
	claimed, err := w.Claim(dctx, "run-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Begin(claimed, stream.Header{Run: "run-1"}, s.entries, s.chunks); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteChunk(claimed, s.chunks[0], fill(s.rows[s.chunks[0].Key], 100)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, kill)
	rows, _, err := restoreFrom(ctx, store, impatient)
	expect("a dump that was killed", err, stream.Outage, "silent")
	if len(rows) != 1 {
		t.Errorf("%d chunks were read until then", len(rows))
	}

	// The dump fails.
	store = &memory{}
	boom := errors.New("the source went away\nfor good")
	w = stream.NewWriter(store, false, stream.None)
	if claimed, err = w.Claim(ctx, "run-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Begin(claimed, stream.Header{Run: "run-1"}, s.entries, s.chunks); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { w.Fail(ctx, boom) })
	_, _, err = restoreFrom(ctx, store, impatient)
	expect("a dump that failed", err, stream.NotResumable, `the source went away\nfor good`)
	_, _, err = restoreFrom(ctx, store, impatient)
	expect("a dump that failed before", err, stream.NotResumable, "has failed")

	// Another dump begins in the same place.
	store = &memory{}
	other := &memory{}
	if _, err := dumpTo(ctx, other, "run-2", 0, nil); err != nil {
		t.Fatal(err)
	}
	w = stream.NewWriter(store, false, stream.None)
	if claimed, err = w.Claim(ctx, "run-1"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { store.put("pgmove/heartbeat.json", other.objects["pgmove/heartbeat.json"]) })
	_, _, err = restoreFrom(ctx, store, impatient)
	expect("another dump's heartbeat", err, stream.NotResumable, "another dump")
	<-claimed.Done()
	expect("what the first dump says", context.Cause(claimed), stream.Busy, "another dump")
	w.Fail(ctx, context.Cause(claimed))

	// The heartbeat is damaged.
	store.put("pgmove/heartbeat.json", []byte("{}"))
	_, _, err = restoreFrom(ctx, store, impatient)
	expect("a damaged heartbeat", err, stream.Integrity, "heartbeat")
	if _, _, err = restoreFrom(ctx, other, stream.WaitOptions{MAC: stream.MACKey("a secret of both sides")}); stream.KindOf(err) != stream.Integrity {
		t.Errorf("a heartbeat that bears no code: %v", err)
	}
}

// TestWaitNeedsItsTurn: who is cancelled stops waiting, also while another one looks.
func TestWaitCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := restoreFrom(ctx, &memory{}, stream.WaitOptions{Every: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// flaky is a store that does not answer at times.
type flaky struct {
	*memory
	asked atomic.Int64
}

func (f *flaky) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if n := f.asked.Add(1); strings.HasSuffix(key, "heartbeat.json") && n%3 == 0 {
		return nil, stream.Fail(stream.Outage, "the server is not available")
	}
	return f.memory.Get(ctx, key, offset)
}

// TestWaitThroughOutages: a look that fails is no silence.
func TestWaitThroughOutages(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := &memory{}
	dumped := make(chan error, 1)
	go func() {
		_, err := dumpTo(ctx, store, "run-1", 20*time.Millisecond, nil)
		dumped <- err
	}()
	for store.get("pgmove/heartbeat.json") == nil {
		time.Sleep(time.Millisecond)
	}
	if rows, _, err := restoreFrom(ctx, &flaky{memory: store}, impatient); err != nil || len(rows) != 5 {
		t.Errorf("%d chunks, %v", len(rows), err)
	}
	if err := <-dumped; err != nil {
		t.Error(err)
	}
}

// TestConfirm: a manifest that says otherwise than what was followed undoes the restore.
func TestConfirm(t *testing.T) {
	for _, what := range []string{"record", "entries", "plan", "run"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		store, other := &memory{}, &memory{}
		run := "run-1"
		if what == "run" {
			run = "run-2"
		}
		if _, err := dumpTo(ctx, store, "run-1", 0, nil); err != nil {
			t.Fatal(err)
		}
		// The same run with other contents, as only somebody who forges it has.
		w := stream.NewWriter(other, false, stream.Zstd)
		s := newSample(w, false)
		switch what {
		case "record":
			s.rows[s.chunks[0].Key] = textRows("forged", 100)
		case "entries":
			s.entries[0].Defn = "DROP TABLE students"
		case "plan":
			s.chunks[0].Range = "true"
		}
		seal(t, w, s, run)
		manifest := store.get("pgmove/manifest.json")
		forged := other.get("pgmove/manifest.json")
		_ = store.Delete(ctx, "pgmove/manifest.json")
		store.put("pgmove/heartbeat.json", running(t, store))
		time.AfterFunc(100*time.Millisecond, func() { store.put("pgmove/manifest.json", forged) })
		_, _, err := restoreFrom(ctx, store, stream.WaitOptions{Every: 2 * time.Millisecond})
		if stream.KindOf(err) != stream.Integrity {
			t.Errorf("%s: kind %d, %v", what, stream.KindOf(err), err)
		}
		store.put("pgmove/manifest.json", manifest)
		if _, _, err := restoreFrom(ctx, store, impatient); err != nil {
			t.Errorf("the true one: %v", err)
		}
		cancel()
	}
}

// running makes the heartbeat of a dump that has written all chunks and not yet sealed.
func running(t *testing.T, store *memory) []byte {
	t.Helper()
	tmp := &memory{}
	w := stream.NewWriter(tmp, false, stream.Zstd)
	s := newSample(w, false)
	ctx, err := w.Claim(t.Context(), "run-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Begin(ctx, stream.Header{Run: "run-1"}, s.entries, s.chunks); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.chunks {
		if _, err := w.WriteChunk(ctx, c, fill(s.rows[c.Key], 100)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		b := tmp.get("pgmove/heartbeat.json")
		_, done, _ := bytes.Cut(b, []byte(`"done":`)) // other digits stand before it
		if bytes.Contains(done, []byte(fmt.Sprint(s.chunks[len(s.chunks)-1].ID))) {
			w.Fail(ctx, errors.New("over"))
			return b
		}
		time.Sleep(time.Millisecond)
	}
}
